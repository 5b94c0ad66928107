"""The plan: rules that can be read, a reason for each choice, and nothing changed that was given."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.models import keras_setup
from tumorlens.pipeline import crossvalidating, planning, spreading
from tumorlens.pipeline.spreading import Workers
from tumorlens.pipeline.training import resume, train
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.stack import Stack

FILES = Path()


@pytest.fixture(autouse=True, scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One slice that stands for all, and its mask: whole, and as it should not be."""
    global FILES
    FILES = tmp_path_factory.mktemp("files")
    picture, mask = np.full((16, 16), 90, np.uint8), np.zeros((16, 16), np.uint8)
    mask[4:9, 4:9] = 255
    for name, content in (("slice", picture), ("mask", mask), ("void", mask * 0), ("wide", mask[:8])):
        cv2.imwrite(str(FILES / f"{name}.png"), content)
    (FILES / "broken.png").write_bytes(b"no image")
    yield


def data(
    tumours: int = 300,
    free: int = 100,
    masks: int = 300,
    side: int = 512,
    own_source: bool = True,
    bad: int = 0,
    kind: str = "missing",
) -> tuple[Manifest, Standardised]:
    """Slices of tumours with and without masks, tumour-free ones from elsewhere or not, and their sizes.

    ``bad`` of the masks are of a kind that is of no use.
    """

    def mask(i: int) -> str:
        return str(FILES / f"{kind if i * bad // masks < (i + 1) * bad // masks else 'mask'}.png") if i < masks else ""

    rows = [
        Row(
            path=str(FILES / "slice.png"),
            id=f"t{i}",
            label=("glioma", "meningioma")[i % 2],
            source="a",
            mask=mask(i),
        )
        for i in range(tumours)
    ]
    rows += [Row(path=f"f{i}", label="no_tumor", source="b" if own_source else "a") for i in range(free)]
    manifest = Manifest(tuple(rows))
    records = np.zeros(len(rows), [("shape", "u2", 2)])
    records["shape"] = side
    return manifest, Standardised(manifest, Stack(records, np.arange(len(rows))), ("",) * len(rows))


def planned(given: Any = None, speed: float = 100.0, device: str = "cpu", **about: Any) -> planning.Plan:
    return planning.plan(given, *data(**about), speed=lambda *_: speed, device=lambda _: device)


def reason(made: planning.Plan, setting: str) -> str:
    return next(choice.reason for choice in made.choices if choice.setting == setting)


def test_masks_decide_on_the_network() -> None:
    assert planned().settings.model.name == "guided"
    assert planned().settings.train.drawn == 0
    for masks in (40, 0):
        made = planned(masks=masks)
        assert (made.settings.model.name, made.settings.train.drawn) == ("guided", 200)
        assert "train.drawn" in reason(made, "model.name")
        assert made.settings.augment.twins == 0, "there is no tumour to take out"


def test_slices_are_drawn_for_networks_that_learn_from_masks() -> None:
    assert planned({"model": {"name": "compact"}}, masks=0).settings.train.drawn == 0
    assert planned({"train": {"drawn": 30}}, masks=0).settings.train.drawn == 30
    assert planned({"train": {"drawn": 0}}, masks=0).settings.model.name == "compact"
    assert planned(masks=0, tumours=20, free=5).settings.train.drawn == 25
    assert planned(masks=0, tumours=1100).settings.train.drawn == 600
    assert planned(masks=0, tumours=90_000).settings.train.drawn == 1000
    # They take time, too.
    few: dict[str, Any] = {"masks": 0, "tumours": 1100}
    many, none = planned({"train": {"minutes": 1}}, **few), planned({"train": {"minutes": 1, "drawn": 0}}, **few)
    assert (many.settings.train.epochs, none.settings.train.epochs) == (2, 4)
    other = planned({"train": {"minutes": 1, "drawn": 90_000}, "model": {"name": "compact"}}, **few)
    assert other.settings.train.epochs == 4
    manifest, looks = data(masks=0)
    phantom = replace(manifest, provenance={"phantom": {}})
    made = planning.plan(None, phantom, looks, speed=lambda *_: 100.0, device=lambda _: "cpu")
    assert (made.settings.model.name, made.settings.train.drawn) == ("compact", 0)
    asked = planning.plan({"train": {"drawn": 9}}, phantom, looks, speed=lambda *_: 100.0, device=lambda _: "cpu")
    assert (asked.settings.model.name, asked.settings.train.drawn) == ("guided", 9)


@pytest.mark.parametrize("kind", ["missing", "broken", "void", "wide"])
def test_masks_that_are_of_no_use_do_not_count(kind: str) -> None:
    none = planned(kind=kind, bad=300)
    assert none.settings.train.drawn == 200
    assert "none of 300 tumour masks can be used" in reason(none, "model.name")
    assert none.settings.augment.twins == 0
    most = planned(kind=kind, bad=200)
    assert most.settings.train.drawn == 200
    assert "200 more cannot be used" in reason(most, "model.name")
    some = planned(kind=kind, bad=75)
    assert some.settings.model.name == "guided"
    assert some.facts is not None
    assert (some.facts.masks, some.facts.unusable) == (225, 75)


def test_what_would_have_no_effect_is_not_chosen() -> None:
    def settings_of(given: dict[str, Any]) -> set[str]:
        return {choice.setting for choice in planned(given).choices}

    assert "model.peak" in settings_of({"model": {"name": "guided"}})
    assert "model.peak" not in settings_of({"model": {"name": "compact"}})
    assert {"augment.elastic", "augment.artefacts", "augment.twins"} <= settings_of({})
    assert not {one for one in settings_of({"augment": {"enabled": False}}) if one.startswith("augment.")}


def test_a_gpu_is_asked_for_less_and_said_so() -> None:
    here, there = planned(), planned(device="gpu")
    assert here.facts is not None
    assert there.facts is not None
    assert (here.facts.device, there.facts.device) == ("cpu", "gpu")
    assert here.facts.cores >= 1
    # A measurement that is worth it on a CPU would take longer than what it saves.
    assert (here.settings.train.precision, there.settings.train.precision) == ("auto", "float32")
    assert planned(device="gpu", speed=1e4, tumours=80_000, masks=0).settings.train.precision == "auto"
    assert "CPU" not in reason(planned(device="gpu", free=1000), "train.batch_size")
    minute = {"train": {"minutes": 1.0}}
    assert "cores" in reason(planned(minute, speed=100.0), "train.epochs") or here.facts.cores == 1
    # However fast the GPU is, it waits for what is augmented: 60 s at 500 slices a second.
    fast = planned({"train": {"minutes": 1.0}}, speed=9e9, device="gpu", tumours=2900, masks=2900)
    assert fast.settings.train.epochs == 60 * 500 // 3000
    assert "on the GPU" in reason(fast, "train.epochs")

    def never(*_: object) -> float:
        raise AssertionError("measured without need")

    planning.plan({"train": {"minutes": 10.0}}, *data(), speed=never, device=lambda _: "gpu")
    with pytest.raises(AssertionError):
        planning.plan({"train": {"minutes": 10.0}}, *data(), speed=never, device=lambda _: "cpu")


def test_trainings_that_run_at_once_share_the_machine_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    minute = {"train": {"minutes": 1.0}}
    alone, shared = (
        planning.plan(minute, *data(), speed=lambda *_: 100.0, device=lambda _: "cpu", beside=beside)
        for beside in (1, 2)
    )
    assert alone.facts is not None
    assert shared.facts is not None
    assert shared.settings.train.epochs == alone.settings.train.epochs // 2
    assert shared.facts.cores == max(1, alone.facts.cores // 2)
    monkeypatch.setattr(spreading, "cores", lambda: 16)
    assert (Workers(jobs=3).here, Workers(jobs=3, ray="auto").here, Workers(jobs=0, ray="auto").here) == (3, 3, 16)


def test_the_device_is_known_without_the_backend_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from tumorlens.models import keras_setup; keras_setup._may_have_gpu = lambda: False\n"
        "print(keras_setup.device_of('auto'), keras_setup.device_of('cpu'), keras_setup.device_of('gpu:1'))\n"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.split() == ["cpu", "cpu", "gpu"]
    # Where there may be one, the backend is asked, and has the last word.
    monkeypatch.setattr(keras_setup, "_may_have_gpu", lambda: True)
    assert keras_setup.device_of("auto") == keras_setup.prepare("auto", "float32", False, 0)
    monkeypatch.setattr(keras_setup, "_tensorflow_gpus", lambda _: ["a GPU"])
    assert keras_setup.device_of("auto") == "gpu"


def test_training_starts_from_drawn_heads_unless_they_are_the_data() -> None:
    assert planned().settings.train.start == "phantom"
    assert planned({"model": {"width": 16}}).settings.train.start == ""
    assert planned({"model": {"name": "plain"}}).settings.train.start == ""
    manifest, looks = data()
    drawn = replace(manifest, provenance={"phantom": {"count": 400}})
    assert planning.plan(None, drawn, looks).settings.train.start == ""


def test_small_pictures_get_a_small_input() -> None:
    assert planned(side=28).settings.preprocess.size == 32
    assert planned(side=90).settings.preprocess.size == 96
    assert planned(side=180).settings.preprocess.size == 192
    assert planned(side=512).settings.preprocess.size == 192


def test_a_class_that_is_tied_to_its_source_is_untied() -> None:
    assert planned().settings.augment.twins > 0
    assert planned(own_source=False).settings.augment.twins == 0
    assert planned({"model": {"name": "compact"}}).settings.augment.twins == 0
    # As the data of the shipped model: most tumours from a set of its own, the smaller part of what is healthy, too.
    rows = [Row(id=f"t{i}", path=str(FILES / "slice.png"), label="glioma", source="a") for i in range(90)]
    rows = [replace(row, mask=str(FILES / "mask.png")) for row in rows]
    rows += [Row(id=f"m{i}", path="m", label="glioma", source="mixed") for i in range(9)]
    rows += [Row(id=f"f{i}", path="f", label="no_tumor", source="free" if i < 9 else "mixed") for i in range(20)]
    records = np.full(len(rows), 512, [("shape", "u2", 2)])
    manifest = Manifest(tuple(rows))
    looks = Standardised(manifest, Stack(records, np.arange(len(rows))), ("",) * len(rows))
    assert planning.plan(None, manifest, looks, speed=lambda *_: 100.0).settings.augment.twins > 0


def test_rare_classes_count_no_more_than_others_unless_asked() -> None:
    """Weighing them up cost accuracy, also on average over the classes (docs/experiments.md)."""
    rare = planned(free=20)
    assert rare.settings.train.class_weights == "none"
    assert "times as many slices" in reason(rare, "train.class_weights")
    assert planned(free=100).settings.train.class_weights == "none"
    assert planned({"train": {"class_weights": "balanced"}}, free=20).settings.train.class_weights == "balanced"


def test_time_decides_on_the_epochs_only_where_it_is_short() -> None:
    assert planned().settings.train.epochs == 60
    short = planned({"train": {"minutes": 2}}, speed=100.0)
    assert short.settings.train.epochs == 24  # 9,600 of 400 slices
    assert short.settings.preprocess.size == 192
    assert "80 slices a second" in reason(short, "train.epochs")
    shorter = planning.plan({"train": {"minutes": 1}}, *data(), speed=lambda s, _: 1.5e6 / s.preprocess.size**2)
    assert (shorter.settings.preprocess.size, shorter.settings.train.epochs) == (128, 10)
    assert [c.setting for c in shorter.choices].count("preprocess.size") == 1
    sized = {"train": {"minutes": 1}, "preprocess": {"size": 192}}
    assert planning.plan(sized, *data(), speed=lambda s, _: 1.5e6 / s.preprocess.size**2).settings.train.epochs == 4
    assert planned({"train": {"minutes": 0}}, speed=1.0).settings.train.epochs == 60

    def never(*_: object) -> float:
        raise AssertionError("measured without need")

    planning.plan(None, *data(), speed=never)
    # Epochs that are given are trained however long it takes; of a network that the plan would not choose, nobody
    # knows how long that is before it is measured.
    planning.plan({"train": {"minutes": 0.1, "epochs": 60}}, *data(), speed=never)
    with pytest.raises(AssertionError, match="without need"):
        planning.plan({"model": {"name": "vgg19"}}, *data(), speed=never)
    with pytest.raises(AssertionError, match="without need"):
        planning.plan({"model": {"width": 64}}, *data(), speed=never)


def test_the_speed_is_that_of_the_precision_that_will_be_used() -> None:
    asked = []

    def speed(settings: Settings, _: int) -> float:
        asked.append(settings.train.precision)
        return 10.0

    planning.plan({"train": {"minutes": 2}}, *data(), speed=speed)
    planning.plan({"train": {"minutes": 2, "precision": "float32"}}, *data(), speed=speed)
    assert set(asked) == {"auto", "float32"}


def test_complete_settings_are_kept() -> None:
    made = planning.plan(Settings(), *data())
    assert made.settings == Settings()
    assert made.choices == ()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model.name": st.sampled_from(["compact", "plain"]),
            "preprocess.size": st.sampled_from([64, 96]),
            "train.epochs": st.integers(1, 9),
            "train.batch_size": st.sampled_from([8, 64]),
            "train.class_weights": st.just("balanced"),
            "augment.elastic": st.just(0.0),
            "augment.twins": st.just(0.1),
        },
    ),
    st.integers(60, 3000),
    st.integers(0, 3000),
    st.integers(0, 3000),
)
@settings(max_examples=40, deadline=None)
def test_what_is_given_stays_and_every_choice_has_a_reason(
    chosen: dict[str, Any], tumours: int, free: int, masks: int
) -> None:
    tree = config.read_tree(None, [f"{key}={value!r}".replace("'", '"') for key, value in chosen.items()])
    made = planned(tree, tumours=tumours, free=free, masks=min(masks, tumours))
    for key, value in chosen.items():
        section, name = key.split(".")
        assert getattr(getattr(made.settings, section), name) == value
    assert not {choice.setting for choice in made.choices} & set(chosen)
    assert all(len(choice.reason) > 20 for choice in made.choices)
    for choice in made.choices:
        section, name = choice.setting.split(".")
        assert getattr(getattr(made.settings, section), name) == choice.value


def test_the_file_says_what_and_why(tmp_path: Path) -> None:
    made = planned()
    made.write(tmp_path)
    content = tomllib.loads((tmp_path / "plan.toml").read_text())
    assert content["facts"]["classes"] == {"glioma": 150, "meningioma": 150, "no_tumor": 100}
    assert [one["setting"] for one in content["choice"]] == [choice.setting for choice in made.choices]
    assert all(one["reason"] for one in content["choice"])


def test_a_training_follows_it_and_a_resumed_one_does_not_plan_again(phantom_folder: Path, tmp_path: Path) -> None:
    given = {
        "preprocess": {"size": 32},
        "train": {"epochs": 1},
        "model": {"width": 8},
        "evaluate": {"bootstrap": 100},
        "data": {"audit": "copies"},
    }
    run = train(phantom_folder / "manifest.csv", settings=given, out=tmp_path / "run")
    stored = config.load(run.folder / "config.toml")
    assert (stored.model.name, stored.preprocess.size, stored.train.epochs) == ("guided", 32, 1)
    settings_of = [one["setting"] for one in tomllib.loads((run.folder / "plan.toml").read_text())["choice"]]
    assert "model.name" in settings_of
    assert "train.epochs" not in settings_of
    assert "What tumorlens decided, and why" in (run.folder / "report.html").read_text()
    before = (run.folder / "plan.toml").read_bytes()
    resume(run.folder)
    assert (run.folder / "plan.toml").read_bytes() == before


@pytest.mark.parametrize("speed", [0.5, 3.0])
def test_at_least_one_epoch(speed: float) -> None:
    assert planned({"train": {"minutes": 0.1}}, speed=speed).settings.train.epochs == 1


def test_slices_for_testing_do_not_count() -> None:
    manifest, looks = data()
    divided = manifest.with_rows(replace(row, split="test" if i % 2 else "train") for i, row in enumerate(manifest))
    found = planning.facts(divided, looks, 60)
    assert found.slices == len(manifest) // 2


def test_what_others_learn_from_does_not_count() -> None:
    manifest, looks = data(tumours=3000, masks=0, free=1000)
    whole, part = (planning.plan(None, manifest, looks, share=share, speed=lambda *_: 1e4) for share in (1.0, 0.72))
    assert whole.facts is not None
    assert part.facts is not None
    assert (whole.facts.slices, part.facts.slices) == (4000, 2880)
    assert part.facts.classes == {"glioma": 1080, "meningioma": 1080, "no_tumor": 720}
    assert (whole.settings.train.epochs, part.settings.train.epochs) == (30, 42)


def test_a_cross_validation_plans_for_one_of_its_trainings(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[planning.Plan] = []
    plan = planning.plan

    def stop(*given: Any, **more: Any) -> planning.Plan:
        made.append(plan(*given, **more))
        raise InterruptedError

    monkeypatch.setattr(planning, "plan", stop)
    given = {"data": {"audit": "copies"}, "evaluate": {"folds": 4}}
    with pytest.raises(InterruptedError):
        crossvalidating.crossval(phantom_folder / "manifest.csv", settings=given, out=tmp_path / "cv")
    (one,) = made
    assert one.facts is not None
    # Three of four folds, less a validation set of 0.1 against 0.75.
    assert one.facts.slices == pytest.approx(240 * 3 / 4 * 0.75 / 0.85, abs=8)
