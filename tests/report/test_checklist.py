"""The checklist: all items, nothing made up, and what is open is seen to be open."""

from __future__ import annotations

import html
import re
import shutil
import tomllib
from pathlib import Path

from tumorlens.report import words
from tumorlens.report.checklist import ITEMS, items, preprocessing, render_checklist
from tumorlens.report.run_folder import read_run


def test_it_has_the_44_items_in_order() -> None:
    assert [number for _, number, _ in ITEMS] == list(range(1, 45))


def test_answers_come_from_the_run(run: Path) -> None:
    metrics = {**read_run(run).metrics, "versions": {"tumorlens": "9.8.7"}}
    made = {item.number: item for item in items(metrics)}
    assert made[23].answer == "tumorlens 9.8.7"
    assert words.percent(metrics["test"]["accuracy"]) in made[37].answer
    assert f"{metrics['training']['parameters']:,}" in made[22].answer.replace("\u2009", ",").replace("\u202f", ",")
    assert made[20].answer
    for number in (2, 4, 5, 13, 16, 18, 21, 33, 34, 36, 41, 44):
        assert made[number].answer == ""
    assert all(not item.rest for item in made.values() if not item.answer)


def test_preprocessing_is_that_of_the_settings() -> None:
    facts = {"settings": {"preprocess": {"recipe": "plain", "size": 64}}, "test": {}}
    assert preprocessing(facts).startswith("Division by 255 and resizing to 64 × 64")


def test_the_page_shows_what_is_open(run: Path) -> None:
    read = read_run(run)
    page = render_checklist(read).read_text(encoding="utf-8")
    made = items({**read.metrics, "settings": tomllib.loads(read.settings_toml)})
    assert "Head crop" in made[8].answer
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert text.count("Open: to be written by people.") == sum(not item.answer for item in made) > 10
    assert text.count("To add:") == sum(bool(item.rest) for item in made)
    assert "<script" not in page.replace("<script></script>", "")


def test_a_name_from_outside_stays_text(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "metrics.json", tmp_path)
    source = (tmp_path / "metrics.json").read_text()
    (tmp_path / "metrics.json").write_text(source.replace('"sources": [', '"sources": ["<img src=x>", ', 1))
    assert "<img" not in render_checklist(read_run(tmp_path)).read_text()
