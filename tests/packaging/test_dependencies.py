from __future__ import annotations

import importlib.util
import re
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "matplotlib",
    "pandas",
    "seaborn",
    "altair",
    "scipy",
    "scikit-learn",
    "torch",
}


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            versions = [part.version for part in pin.specifier if part.operator == "=="]
            assert len(versions) == 1, line
            found.setdefault(canonicalize_name(pin.name), set()).update(versions)
    return found


@pytest.fixture(scope="module")
def licenses(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("licenses", root / "scripts" / "licenses.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["licenses"] = module
    spec.loader.exec_module(module)
    return module


def test_the_core_is_light(project: dict):
    assert not {canonicalize_name(Requirement(line).name) for line in project["dependencies"]} & HEAVY


def test_each_extra_names_packages_or_our_own_extras(project: dict):
    extras = project["optional-dependencies"]
    assert {"train", "train-gpu", "report", "dicom", "nifti", "kaggle", "all", "dev"} <= set(extras)
    for lines in extras.values():
        for line in lines:
            requirement = Requirement(line)
            if requirement.name == "tumorlens":
                assert requirement.extras <= set(extras)
            else:
                assert requirement.specifier, f"{line} has no lower bound"


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
        ("win32", "AMD64", "tensorflow"),
    ],
)
def test_one_tensorflow_per_platform(project: dict, system: str, machine: str, expected: str):
    place = {"sys_platform": system, "platform_machine": machine}
    chosen = [
        requirement.name
        for requirement in map(Requirement, project["optional-dependencies"]["train"])
        if requirement.name.startswith("tensorflow") and (not requirement.marker or requirement.marker.evaluate(place))
    ]
    assert chosen == [expected]


def test_everything_direct_is_pinned(project: dict, pins: dict[str, set[str]], root: Path):
    backend = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *backend, "pip", *(line for name in extras for line in extras[name])]
    for requirement in map(Requirement, lines):
        if requirement.name != "tumorlens":
            versions = pins[canonicalize_name(requirement.name)]
            assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_everything_that_is_needed_here_is_pinned(licenses: ModuleType, pins: dict[str, set[str]], project: dict):
    found = licenses.closure(
        [line for line in project["optional-dependencies"]["dev"] if not line.startswith("tumorlens")]
    )
    for packages in licenses.parts().values():
        found |= packages
    assert not set(found) - set(pins)


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "Makefile", ".ci/run"])
def test_no_package_host_is_named(root: Path, name: str):
    text = (root / name).read_text(encoding="utf-8")
    assert not re.search(
        r"https?://|file://|--?(extra-)?index-url|--find-links|(^|\s)-[if]\s+\S+://|/root/|/home/|/opt/", text
    )


def test_no_forbidden_licence(licenses: ModuleType):
    for part, packages in licenses.parts().items():
        for package in packages.values():
            assert licenses.acceptable(package.licence), f"{part}: {package.name}: {package.licence!r}"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND 0BSD AND CC0-1.0", True),
        ("MPL-2.0 AND MIT", True),
        ("LGPL-2.1-or-later", True),
        ("GPL-3.0-only OR MIT", True),
        ("(GPL-3.0-only OR MIT) AND BSD-3-Clause", True),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("GPL-3.0-only", False),
        ("GPLv3", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("GNU Affero General Public License v3", False),
        ("AGPL-3.0-or-later", False),
        ("MIT AND GPL-2.0-only", False),
        ("(MIT OR GPL-2.0-only) AND AGPL-3.0-only", False),
        ("BSD License | GNU General Public License (GPL)", False),
        ("CC-BY-NC-4.0", False),
        ("Free for non-commercial use", False),
        ("", False),
    ],
)
def test_the_judgement(licenses: ModuleType, licence: str, expected: bool):
    assert licenses.acceptable(licence) is expected


def test_the_table_is_current(licenses: ModuleType, root: Path, pins: dict[str, set[str]]):
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| (.+) \|$", (root / "THIRD_PARTY_LICENSES.md").read_text("utf-8"), re.MULTILINE
    )
    written = {canonicalize_name(name): version for name, version, _ in rows if name not in ("package", "---")}
    here = {key for packages in licenses.parts().values() for key in packages}
    # Another platform or Python may need a little more or less than the one that the table was written on.
    assert not here - set(written) - {"tensorflow", "colorama"}
    for name, version in written.items():
        assert version in pins[name], (
            f"{name} {version} is in the table; constraints.txt has {pins[name]}; run: make docs"
        )
    assert {
        key: package.licence.replace("|", "/")
        for packages in licenses.parts().values()
        for key, package in packages.items()
        if package.version in pins[key]
    }.items() <= {canonicalize_name(n): text for n, _, text in rows}.items()


def test_the_installed_package_says_the_same(project: dict):
    found = {Requirement(line).name for line in metadata.requires("tumorlens") if "extra ==" not in line}
    assert found == {Requirement(line).name for line in project["dependencies"]}
