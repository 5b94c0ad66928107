"""The documents say what is so: links lead somewhere, commands and options exist, generated pages are current."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tumorlens.cli.main import COMMANDS

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda path: path.relative_to(ROOT).as_posix())


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link, as Git hosts make it."""
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert ROOT in found.parents or found == ROOT, f"{page.name}: {target} leaves the repository"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}"


def commands_in(page: Path) -> list[str]:
    """The lines of a page's console blocks that call tumorlens, continued lines joined."""
    blocks = re.findall(r"^```(?:console|sh|bash)\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [
        line.strip().removeprefix("$ ") for line in lines if line.strip().removeprefix("$ ").startswith("tumorlens ")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page: Path, command: Command):
    for line in commands_in(page):
        words = shlex.split(line, comments=True)
        words = words[: next((i for i, word in enumerate(words) if word in ("|", ">", "<", "&&")), len(words))]
        if words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, line
        known = _help(words[1])
        for word in words[2:]:
            if word.startswith("-") and word != "-":
                assert re.search(rf"(^|[\s,]){re.escape(word.partition('=')[0])}\b", known), (
                    f"{page.name}: {line}: {word}"
                )


@cache
def _help(name: str) -> str:
    import sys

    words = [sys.executable, "-m", "tumorlens", name, "--help"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_index_names_every_page():
    index = text_of(ROOT / "docs" / "README.md")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        if name != "README.md":
            assert f"]({name})" in index, name


def test_the_commands_page_names_every_command_and_option():
    page = text_of(ROOT / "docs" / "reference" / "commands.md")
    for name in COMMANDS:
        assert f"## {name}" in page
        part = page.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for option in set(re.findall(r"(?<!\S)--[a-z-]+", _help(name))) - {"--help", "--verbose", "--quiet"}:
            assert option in part, f"{name} {option}"


@pytest.mark.parametrize("script", ["settings_page", "model_page"])
def test_a_generated_page_is_current(script: str):
    spec = importlib.util.spec_from_file_location(script, ROOT / "scripts" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert text_of(module.PAGE) == module.page(), "run: make docs"


def test_the_settings_that_the_pages_name_exist():
    from tumorlens import config

    known = set(config.all_keys())
    for page in PAGES:
        for key in re.findall(r"--set ([a-z_]+\.[a-z_]+)=", text_of(page)):
            assert key in known or key in ("section.key", "a.b"), f"{page.name}: {key}"


def test_every_error_code_is_explained():
    page = text_of(ROOT / "docs" / "reference" / "errors.md")
    for file in sorted((ROOT / "src").rglob("*.py")):
        named = re.findall(r"""\bcode ?= ?"([a-z_]+)\"""", text_of(file))
        for code in named + re.findall(r"""\bRefusal\(\s*\d+,\s*"([a-z_]+)\"""", text_of(file)):
            assert f"`{code}`" in page, f"{file.relative_to(ROOT)}: {code}"


def test_the_make_targets_that_the_pages_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", text_of(page)) + re.findall(
            r"^ *make ([a-z-]+)", text_of(page), re.MULTILINE
        ):
            assert target in targets, f"{page.name}: make {target}"


def test_the_readme_opens_with_the_two_commands_and_shows_one_picture():
    readme = text_of(ROOT / "README.md")
    opening = readme[:600]
    assert opening.index("make train") < opening.index("make test")
    assert re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme) == ["docs/images/report.png"]
    assert "not a medical device" in readme
