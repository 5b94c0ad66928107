"""The supported Python interpreters of this machine, one a line: version, a tab, path.

Looked for on PATH (python3.11, python3.12, python3.13) and, where pyenv is installed, among its versions. A name that
does not run (a pyenv shim of a version that is not selected) does not count.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13")


def version_of(python: str) -> str:
    """``3.12``, or an empty string when the interpreter does not run."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def candidates(version: str) -> Iterator[str]:
    """Interpreters that may be of this version, the preferred first."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = shutil.which("pyenv")
    if not pyenv:
        return
    listed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False).stdout.split()
    for name in listed:
        if name == version or name.startswith(f"{version}."):
            prefix = subprocess.run([pyenv, "prefix", name], capture_output=True, text=True, check=False).stdout.strip()
            if prefix:
                yield str(Path(prefix) / "bin" / "python")


def found() -> dict[str, str]:
    """Version → interpreter, for those that are here."""
    here = {}
    for version in SUPPORTED:
        working = next((python for python in candidates(version) if version_of(python) == version), None)
        if working:
            here[version] = working
    return here


if __name__ == "__main__":
    for version, python in found().items():
        print(f"{version}\t{python}")
