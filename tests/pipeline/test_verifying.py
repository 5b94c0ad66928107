"""``tumorlens verify``: what is claimed is recomputed, and what was changed is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tumorlens.cli.main import main
from tumorlens.errors import UsageError
from tumorlens.pipeline.verifying import verify


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def wrong(model: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify(model) if check.ok is False}


def test_an_honest_run_holds(run: Path) -> None:
    found = verify(run)
    assert [check.ok for check in found] == [True] * 5, found
    by_name = {check.name: check.detail for check in found}
    slices = len((run / "predictions.csv").read_text().splitlines()) - 1
    assert by_name["answers again"].startswith(f"{min(slices, 200)} slices")
    assert int(by_name["scores, from predictions.csv"].split()[0]) > 100


def test_an_honest_bundle_holds_without_its_run(run: Path) -> None:
    found = verify(run / "bundle")
    assert [check.ok for check in found] == [True, True, True, None]


def polished(run: Path) -> None:
    path = run / "metrics.json"
    document = json.loads(path.read_text())
    document["test"]["accuracy"] += 0.01
    path.write_text(json.dumps(document))


def better_calibrated(run: Path) -> None:
    path = run / "metrics.json"
    document = json.loads(path.read_text())
    document["test"]["ece"] = 0.001
    path.write_text(json.dumps(document))


def other_answers(run: Path) -> None:
    path = run / "predictions.csv"
    head, first, *rest = path.read_text().splitlines()
    names = [i for i, name in enumerate(head.split(",")) if name.startswith("p_")]
    cells = first.split(",")
    low, high = sorted(names, key=lambda i: float(cells[i]))[:2]
    cells[low], cells[high] = (repr(float(cells[low]) + 1e-4), repr(float(cells[high]) - 1e-4))
    path.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")


def kinder_card(run: Path) -> None:
    path = run / "bundle" / "MODEL_CARD.md"
    path.write_text(path.read_text().replace("Not for diagnosis", "For diagnosis"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (polished, "scores, from predictions.csv"),
        (better_calibrated, "scores, from predictions.csv"),
        (other_answers, "answers again"),
    ],
)
def test_a_changed_number_is_found(run: Path, change: Callable[[Path], None], found: str) -> None:
    change(run)
    assert found in wrong(run)
    assert main(["verify", str(run), "-q"]) == 1


def test_a_changed_card_is_found(run: Path) -> None:
    from tumorlens.errors import ModelError

    kinder_card(run)
    with pytest.raises(ModelError, match="MODEL_CARD"):
        verify(run)


def test_pictures_that_are_gone_are_said(run: Path, phantom_folder: Path) -> None:
    manifest = run / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(str(phantom_folder), "/nowhere"))
    found = {check.name: check for check in verify(run)}
    assert found["answers again"].ok is None or "gone" in found["answers again"].detail


def test_a_run_that_has_not_finished_is_refused(run: Path) -> None:
    (run / "metrics.json").unlink()
    with pytest.raises(UsageError, match="not finished"):
        verify(run)


def test_the_command(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(finished_run), "-q"]) == 0
    assert capsys.readouterr().out.count("✓") == 5
    assert main(["verify", str(finished_run), "--json", "--slices", "20"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    assert "20 slices" in document["checks"][-1]["detail"]
