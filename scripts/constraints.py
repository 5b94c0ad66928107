"""Write constraints.txt: the exact version of everything that a development install brings, on every supported Python.

    python scripts/constraints.py            write it, from the newest versions that fit pyproject.toml
    python scripts/constraints.py --keep     write it, with the versions that it has, and new packages only
    python scripts/constraints.py --check    resolve with it and fail when something is not pinned or does not fit

pip resolves for each interpreter that scripts/pythons.py finds; nothing is installed. The oldest Python goes first and
the others follow its choices where they can, so that one version serves all; where they cannot, the line gets an
environment marker.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import pythons  # noqa: E402

FILE = ROOT / "constraints.txt"
HEADER = """\
# Exact versions of everything that `pip install -e '.[dev]'` brings, build backend included, on Linux x86-64 with
# Python 3.11, 3.12 and 3.13. Written by scripts/constraints.py; change pyproject.toml and run `make constraints`.
# Other platforms take the same versions; the few packages that only they need are not pinned.
"""


def normalised(name: str) -> str:
    """The package name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(python: str, constraints: Path | None) -> dict[str, str]:
    """Package → version that pip would install for development.

    Raises:
        subprocess.CalledProcessError: when nothing fits.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = {*project["project"]["dependencies"], *project["build-system"]["requires"], "pip"}
    todo, done = ["dev"], set()
    while todo:
        extra = todo.pop()
        done.add(extra)
        for line in extras[extra]:
            own = re.fullmatch(r"tumorlens\[(.*)\]", line)
            if own:
                todo += [name for name in own[1].split(",") if name not in done]
            else:
                wanted.add(line)
    with tempfile.TemporaryDirectory() as folder:
        venv, report = Path(folder) / "venv", Path(folder) / "report.json"
        subprocess.run([python, "-m", "venv", str(venv)], check=True)
        # An old pip resolves far more slowly, so this one's pip looks at that interpreter.
        command = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet"]
        command += ["--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", str(report)]
        if constraints is not None:
            command += ["--constraint", str(constraints)]
        subprocess.run([*command, *sorted(wanted)], check=True)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {normalised(item["metadata"]["name"]): item["metadata"]["version"] for item in installed}


def pinned() -> dict[str, str]:
    """Package → version, of the lines without a marker."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("==", 1) for line in lines if ";" not in line)


def write(found: dict[str, dict[str, str]]) -> None:
    """Write the file from Python version → package → version."""
    lines = []
    for name in sorted({name for packages in found.values() for name in packages}):
        versions = {python: packages[name] for python, packages in found.items() if name in packages}
        if len(set(versions.values())) == 1:
            lines.append(f"{name}=={next(iter(versions.values()))}")
            continue
        lines += [f'{name}=={version} ; python_version == "{python}"' for python, version in versions.items()]
        if name == "tensorflow-cpu":
            raise SystemExit("TensorFlow's version differs by Python, which the line for other platforms cannot say")
    every = found[min(found)]
    lines.append(f"tensorflow=={every['tensorflow-cpu']}")  # where there is no tensorflow-cpu
    FILE.write_text(HEADER + "\n".join(sorted(lines)) + "\n", encoding="utf-8")


def main() -> int:
    """Write or check."""
    check = sys.argv[1:] == ["--check"]
    kept = pinned() if sys.argv[1:] == ["--keep"] else {}
    interpreters = pythons.found()
    missing = [version for version in pythons.SUPPORTED if version not in interpreters]
    if missing:
        print(f"not on this machine, so not resolved: Python {', '.join(missing)}", file=sys.stderr)
        if not check:
            return 1
    found: dict[str, dict[str, str]] = {}
    for version, python in sorted(interpreters.items()):
        if check:
            found[version] = resolve(python, FILE)
            loose = sorted(set(found[version]) - set(pinned()))
            marked = FILE.read_text(encoding="utf-8")
            loose = [name for name in loose if f"\n{name}==" not in marked]
            if loose:
                print(f"Python {version}: not pinned: {', '.join(loose)}", file=sys.stderr)
                return 1
            print(f"Python {version}: {len(found[version])} packages, all pinned")
            continue
        with tempfile.TemporaryDirectory() as folder:
            earlier = Path(folder) / "constraints.txt"
            earlier.write_text("".join(f"{name}=={v}\n" for name, v in next(iter(found.values()), kept).items()))
            try:
                found[version] = resolve(python, earlier)
            except subprocess.CalledProcessError:
                found[version] = resolve(python, None)
        print(f"Python {version}: {len(found[version])} packages")
    if not check:
        write(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
