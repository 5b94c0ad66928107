from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tumorlens.audit.look import LOOK
from tumorlens.audit.probes import Probe, probes
from tumorlens.audit.scoring import Task, balanced, task
from tumorlens.data.manifest import Row
from tumorlens.io import FileFacts

RNG = np.random.default_rng(0)
N = 300


def random_looks(count: int = N) -> np.ndarray:
    looks = np.zeros(count, LOOK)
    looks["shape"] = 256
    looks["picture"] = RNG.integers(0, 255, looks["picture"].shape)
    looks["histogram"] = RNG.dirichlet(np.ones(64), count)
    looks["border"] = RNG.random(looks["border"].shape)
    return looks


def facts_of(widths: np.ndarray) -> list[FileFacts]:
    return [FileFacts("png", int(RNG.integers(1000, 9000)), 256, int(width), 1, 8, saturation=0.0) for width in widths]


LABELS = ["a", "b", "c"] * (N // 3)
GROUPS = [f"g{i // 6}" for i in range(N)]
ROWS = [Row(f"{i}.png", label=label) for i, label in enumerate(LABELS)]


def run(looks: np.ndarray, facts: list[FileFacts], rows: list[Row] = ROWS, **options: int) -> dict[str, Probe]:
    return {probe.name: probe for probe in probes(looks, facts, rows, GROUPS, **options)}


def test_noise_gives_no_finding():
    found = run(random_looks(), facts_of(RNG.integers(200, 300, N)))
    assert set(found) == {"header", "border", "histogram", "thumbnail"}
    for probe in found.values():
        assert probe.finding is None
        assert probe.unscored is None
        assert probe.chance == pytest.approx(1 / 3)
        assert probe.ci95[0] <= probe.balanced_accuracy <= probe.ci95[1]
        assert probe.ci95[0] < 1 / 3 + 0.05
        assert (probe.n, probe.groups) == (N, N // 6)


def test_a_width_that_tells_the_class_is_named():
    widths = np.array([{"a": 200, "b": 240, "c": 280}[label] for label in LABELS]) + RNG.integers(0, 10, N)
    found = run(random_looks(), facts_of(widths))
    assert found["header"].balanced_accuracy > 0.95
    assert "the width of the image alone tells it in" in found["header"].finding
    assert found["border"].finding is None


def test_each_part_of_the_picture_is_probed():
    code = np.array([ord(label) - ord("a") for label in LABELS])
    for name, plant in {
        "border": lambda looks: looks["border"].__setitem__((slice(None), 0), code[:, None] / 2),
        "histogram": lambda looks: looks["histogram"].__setitem__((slice(None), 5), code / 4),
        "thumbnail": lambda looks: looks["picture"].__setitem__(
            slice(None), np.where(np.arange(128) // 40 == code[:, None, None], 255, looks["picture"] // 3)
        ),
    }.items():
        looks = random_looks()
        plant(looks)
        found = run(looks, facts_of(np.full(N, 256)))
        assert found[name].balanced_accuracy > 0.9, name
        assert found[name].finding, name
        assert [n for n, probe in found.items() if probe.finding] == [name]


def test_a_source_that_is_a_class_is_said():
    rows = [replace(row, source="clinic" if row.label == "a" else "web") for row in ROWS]
    widths = np.array([500 if row.source == "web" else 256 for row in rows])
    found = run(random_looks(), facts_of(widths), rows)
    assert "b and c come only from web" in found["source"].finding
    assert "a comes only from clinic" in found["source"].finding
    assert "a shares no data set with another class" in found["source"].finding
    assert found["source from header"].balanced_accuracy > 0.95
    assert "tells the data set" in found["source from header"].finding
    assert found["source from border"].finding is None


def test_a_class_that_has_its_own_source_is_said_where_nothing_can_be_scored():
    rows = [replace(row, source="clinic" if row.label == "a" else "web") for row in ROWS]
    few = probes(random_looks(), facts_of(np.full(N, 256)), rows, [f"g{i // 100}" for i in range(N)])
    [source] = [probe for probe in few if probe.name == "source"]
    assert source.balanced_accuracy is None
    assert "a shares no data set" in source.finding


def test_every_finding_is_a_sentence_with_a_reason():
    code = np.array([ord(label) - ord("a") for label in LABELS])
    looks = random_looks()
    looks["border"][:, 0] = code[:, None] / 2
    looks["histogram"][:, 5] = code / 4
    found = run(looks, facts_of(200 + 40 * code + RNG.integers(0, 10, N)))
    for name, reason in {"header": "its traces", "border": "planes or parts of the body", "histogram": "shape"}.items():
        text = found[name].finding
        assert text[0].isupper() and text.endswith("."), text
        assert reason in text and "guessing: 33.3\N{NO-BREAK SPACE}%" in text


def test_what_cannot_be_scored_says_why():
    looks, facts = random_looks(), facts_of(np.full(N, 256))
    one = run(looks, facts, [replace(row, label="a") for row in ROWS])
    assert one["header"].unscored == "there is only one class"
    assert one["header"].balanced_accuracy is None
    few = probes(looks, facts, ROWS, [f"g{i // 100}" for i in range(N)])
    assert "independent groups" in few[0].unscored
    nothing = run(looks, facts, [replace(row, label="") for row in ROWS])
    assert nothing["border"].unscored == "no slice is labelled"


def test_the_same_seed_gives_the_same_scores():
    looks, facts = random_looks(), facts_of(RNG.integers(200, 300, N))
    assert run(looks, facts, seed=4) == run(looks, facts, seed=4)


def test_a_group_stays_in_one_fold():
    given = task(LABELS, GROUPS, seed=1)
    assert isinstance(given, Task)
    for number in range(N // 6):
        assert len(set(given.folds[given.groups == number].tolist())) == 1


def test_rows_are_drawn_and_small_classes_left_out():
    labels = ["rare" if i < 3 else label for i, label in enumerate(LABELS)]
    given = task(labels, GROUPS, seed=1, most=120)
    assert isinstance(given, Task)
    assert len(given.rows) == 120
    assert given.classes == ("a", "b", "c")


def test_the_interval_is_over_groups():
    single = task(LABELS, [str(i) for i in range(N)], seed=0)
    grouped = task(LABELS, GROUPS, seed=0)
    assert isinstance(single, Task)
    assert isinstance(grouped, Task)
    wrong = np.arange(N) // 6 % 3 == 0  # whole groups are wrong together
    guessed = np.where(wrong, (single.codes + 1) % 3, single.codes)
    narrow, wide = balanced(single, guessed, 0)[1], balanced(grouped, guessed, 0)[1]
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_nothing_heavy_is_imported_before_a_probe_runs():
    rooms = "tumorlens.audit.probes, tumorlens.audit.labels, tumorlens.audit.foreign"
    code = f"import sys, {rooms}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
