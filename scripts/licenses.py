"""Write THIRD_PARTY_LICENSES.md from the metadata of what is installed, and judge the licences.

python scripts/licenses.py     rewrite the file; fails when a licence is not acceptable
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "THIRD_PARTY_LICENSES.md"
EXTRAS = ("report", "web", "audit", "train", "dicom", "nifti", "mat", "kaggle", "tensorboard", "ray", "openvino")

# Copyleft that reaches the program that uses it, and licences that forbid some uses. The LGPL, the MPL and the GPL's
# runtime-library exception do neither.
_FORBIDDEN = re.compile(
    r"(?<![A-Z])A?GPL|AFFERO|(?<!LESSER )GENERAL PUBLIC LICENSE"
    r"|NON-?\s?COMMERCIAL|BY-NC|SSPL|COMMONS CLAUSE|PROPRIETARY"
)
_HARMLESS = re.compile(
    r"\S*GPL\S*\s+WITH\s+GCC-EXCEPTION\S*|LGPL\S*|GNU LESSER GENERAL PUBLIC LICENSE[^|]*|GNU LIBRARY OR LESSER[^|]*"
)
# How a licence file is recognised where the metadata are silent.
_PHRASES = {
    "Licensed under the Apache License, Version 2.0": "Apache-2.0",
    "Permission is hereby granted, free of charge, to any person obtaining a copy": "MIT",
}


@dataclass(frozen=True)
class Package:
    """An installed distribution: name, version, and its licence as its own metadata state it."""

    name: str
    version: str
    licence: str


def acceptable(licence: str) -> bool:
    """Whether a licence permits any use of a program that depends on the package.

    In an SPDX expression one acceptable side of an ``OR`` is enough and every part of an ``AND`` counts. Licences
    joined by `` | `` (several classifiers: the metadata do not say how they combine) must all be acceptable. No licence
    is not.
    """
    text = licence.strip()
    if not text:
        return False
    while "(" in text:
        inner = re.search(r"\(([^()]*)\)", text)
        if not inner:
            return False
        if " OR " in inner[1] or " AND " in inner[1]:
            verdict = "permissive" if acceptable(inner[1]) else "GPL"
            text = text[: inner.start()] + verdict + text[inner.end() :]
        else:
            text = text[: inner.start()] + inner[1] + text[inner.end() :]
    if " OR " in text:
        return any(acceptable(part) for part in text.split(" OR "))
    return not any(_FORBIDDEN.search(_HARMLESS.sub("", part.upper())) for part in re.split(r" AND | \| ", text))


def licence_of(distribution: metadata.Distribution) -> str:
    """The SPDX expression, else the classifiers, the first line of the licence field, or what the licence file says."""
    found = distribution.metadata
    expression = found.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [
        item.rpartition(" :: ")[2] for item in found.get_all("Classifier", []) if item.startswith("License ::")
    ]
    classifiers = [item for item in classifiers if item != "OSI Approved"]
    if classifiers:
        return " | ".join(classifiers)
    field = str(found.get("License") or "").strip()
    if field:
        return field.splitlines()[0].strip()[:80]
    for file in distribution.files or []:
        if file.name in (found.get_all("License-File") or []):
            text = " ".join(Path(str(file.locate())).read_text(encoding="utf-8").split())
            return next((name for phrase, name in _PHRASES.items() if phrase in text), "")
    return ""


def closure(requirements: list[str]) -> dict[str, Package]:
    """Everything that the requirements bring on this machine, by canonical name."""
    found: dict[str, Package] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(Requirement(line), frozenset({""})) for line in requirements]
    while todo:
        requirement, extras = todo.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        wanted = frozenset({"", *requirement.extras})
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        distribution = metadata.distribution(name)
        title = str(distribution.metadata["Name"])
        found[name] = Package(title, distribution.version, licence_of(distribution))
        todo += [(Requirement(line), wanted) for line in distribution.requires or []]
    return dict(sorted(found.items()))


def project() -> tuple[list[str], dict[str, list[str]]]:
    """The core's requirements, and those of each extra with our own extras left out."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = table["optional-dependencies"]
    return table["dependencies"], {
        name: [line for line in extras[name] if not line.startswith("tumorlens[")] for name in EXTRAS
    }


def parts() -> dict[str, dict[str, Package]]:
    """``core`` and each extra → the packages it adds to those named before."""
    core, extras = project()
    result = {"core": closure(core)}
    known = set(result["core"])
    for name, requirements in extras.items():
        result[name] = {key: package for key, package in closure(requirements).items() if key not in known}
        known |= set(result[name])
    return result


def page(found: dict[str, dict[str, Package]]) -> str:
    """The file, as text."""
    lines = [
        "# Third-party licences",
        "",
        "What tumorlens installs, with the licence that each package states. pip installs these packages; the wheel",
        "of tumorlens holds none of them. Written by `scripts/licenses.py` (`make docs`) on Linux x86-64 with the",
        "versions of `constraints.txt`; each table lists what the extra adds to the tables above it. A test fails",
        "when a package under the GPL, the AGPL or a licence against commercial use gets in.",
        "",
        "Wheels may carry native libraries under licences of their own, listed in each package's `*.dist-info` folder:",
        "`opencv-python-headless` carries FFmpeg under the LGPL 2.1, `numpy` and `scipy` carry GCC's runtime under the",
        "GPL 3 with its runtime-library exception. Neither restricts programs that use them.",
    ]
    for name, packages in found.items():
        title = "Core (`pip install tumorlens`)" if name == "core" else f"Extra `{name}`"
        lines += ["", f"## {title}", ""]
        if not packages:
            lines.append("Nothing more.")
            continue
        lines += ["| package | version | licence |", "|---|---|---|"]
        lines += [f"| {p.name} | {p.version} | {p.licence.replace('|', '/')} |" for p in packages.values()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the file."""
    found = parts()
    FILE.write_text(page(found), encoding="utf-8")
    bad = [p for packages in found.values() for p in packages.values() if not acceptable(p.licence)]
    for package in bad:
        print(
            f"not acceptable: {package.name} {package.version}: {package.licence or 'no licence stated'}",
            file=sys.stderr,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
