"""``--seed`` below 0 is the user's mistake, wherever it is given."""

from __future__ import annotations

import pytest

from tumorlens.cli.main import main


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "a", "b"],
        ["verify", "default"],
        ["phantom", "made"],
        ["split", "phantom:12", "--out", "m.csv"],
        ["evaluate", "default", "phantom:12"],
        ["train", "phantom:12"],
        ["crossval", "phantom:12"],
        ["tune", "phantom:12"],
    ],
    ids=lambda command: command[0],
)
def test_a_seed_below_0_is_refused(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--seed", "-1"]) == 2
    error = capsys.readouterr().err
    assert "seed" in error
    assert "-1" in error
    assert "hint:" in error
    assert "fault in tumorlens" not in error
    assert list(tmp_path.iterdir()) == []
