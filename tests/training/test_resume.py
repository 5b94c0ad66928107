"""A run that is stopped anywhere ends with the same weights, bit for bit."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tumorlens.config import AugmentSettings, ModelSettings, TrainSettings
from tumorlens.errors import Interrupted, ModelError
from tumorlens.models import registry
from tumorlens.models.keras_setup import prepare
from tumorlens.preprocess import to_input
from tumorlens.preprocess.outlines import Outlines
from tumorlens.training import state
from tumorlens.training.batches import Drawn, TrainingBatches
from tumorlens.training.implants import Implants
from tumorlens.training.loop import Loop, Validation, Watcher

IMAGES = np.random.default_rng(0).integers(0, 255, (80, 32, 32)).astype(np.uint8)
CLASSES = np.random.default_rng(1).integers(0, 3, 80)
for number, kind in enumerate(CLASSES):
    IMAGES[number, kind * 10 : kind * 10 + 10] //= 3
# Where the dark band is.
MASKS = np.zeros((80, 32, 32), np.uint8)
for number, kind in enumerate(CLASSES):
    MASKS[number, kind * 10 : kind * 10 + 10] = 255


def fit(
    folder: Path,
    name: str,
    *,
    stop_at: int | None = None,
    signal_at: int | None = None,
    digest: str = "a",
    **settings: object,
) -> Loop:
    prepare("cpu", "float32", True, 1)
    model = registry.build(ModelSettings(name=name, width=8), 32, 3)
    targets = np.eye(3, dtype=np.float32)[CLASSES]
    batches = TrainingBatches(IMAGES[:64], targets[:64], np.ones(64, np.float32), 16, AugmentSettings(), 1)
    if name == "guided":
        known = np.arange(64) % 3 > 0
        outlines = Outlines(MASKS[:64], np.where(known, np.arange(64), -1), known)
        implants = Implants(IMAGES[:64], outlines, CLASSES[:64], 0, np.array(["axial"] * 64), 0.2, 0.2)
        drawn = Drawn(IMAGES[:16, :, ::-1], Outlines(MASKS[:16], np.arange(16), np.ones(16, bool)), digest)
        batches = replace(batches, outlines=outlines, mask_size=8, implants=implants, drawn=drawn)
    steps = 0

    def on_batch(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise SystemExit  # as abrupt as it gets within one process: nothing is saved
        if steps == signal_at:
            signal.raise_signal(signal.SIGINT)

    chosen = TrainSettings(**{"epochs": 3, "batch_size": 16, "warmup_epochs": 1.0, **settings})  # type: ignore[arg-type]
    loop = Loop(
        model,
        batches,
        Validation(IMAGES[64:], CLASSES[64:]),
        chosen,
        folder / "checkpoints",
        Watcher(on_batch=on_batch),
    )
    loop.run()
    return loop


def weights(loop: Loop) -> list[np.ndarray]:
    return state.read(loop.fitted.variables)


def same(a: Loop, b: Loop) -> bool:
    return (
        all((x == y).all() for x, y in zip(weights(a), weights(b), strict=True))
        and [{**row, "seconds": 0, "images_per_second": 0} for row in a.progress.history]
        == [{**row, "seconds": 0, "images_per_second": 0} for row in b.progress.history]
        and a.progress.edits == b.progress.edits
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("compact", {"keep": "best", "ema": 0.9}),
        ("guided", {"mask_weight": 0.5}),
        ("plain", {"optimizer": "adam", "patience": 1, "epochs": 6}),
    ],
)
def test_a_run_that_is_killed_and_then_asked_to_stop_ends_like_an_uninterrupted_one(
    name: str, settings: dict[str, object], tmp_path: Path
) -> None:
    straight = fit(tmp_path / "straight", name, **settings)
    assert bool(straight.progress.edits) == (name == "guided")

    stopped = tmp_path / "stopped"
    with pytest.raises(SystemExit):  # killed in the second epoch: that epoch is done again
        fit(stopped, name, stop_at=6, **settings)
    steps = 5 if name == "guided" else 4  # drawn slices, too
    with pytest.raises(Interrupted, match=f"epoch 2 after step 2 of {steps}"):  # Ctrl-C: goes on in mid-epoch
        fit(stopped, name, signal_at=2, **settings)
    assert same(straight, fit(stopped, name, **settings))


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    first = fit(tmp_path, "plain", epochs=1)
    again = fit(tmp_path, "plain", epochs=1, stop_at=1)
    assert same(first, again)


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(tmp_path, "plain", epochs=1)
    file = tmp_path / "checkpoints" / "last.npz"
    with pytest.raises(ModelError, match="does not fit this network"):
        fit(tmp_path, "compact", epochs=1)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a whole checkpoint"):
        fit(tmp_path, "plain", epochs=1)


def test_other_drawn_slices_are_refused(tmp_path: Path) -> None:
    fit(tmp_path, "guided", epochs=1)
    with pytest.raises(ModelError, match="no longer those that the training began with"):
        fit(tmp_path, "guided", epochs=1, digest="b")


def test_history_has_a_line_per_epoch(tmp_path: Path) -> None:
    fit(tmp_path, "plain", epochs=2)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,seconds,images_per_second,learning_rate,loss,accuracy,val_loss,val_accuracy"
    assert len(lines) == 3


def test_early_stopping_and_the_best_epoch(tmp_path: Path) -> None:
    loop = fit(tmp_path, "plain", epochs=30, patience=2, keep="best", learning_rate=0.05, schedule="constant")
    losses = [row["val_loss"] for row in loop.progress.history]
    assert loop.progress.finished
    assert loop.progress.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == min(30, loop.progress.best_epoch + 2)
    assert loop._validate()[0] == pytest.approx(min(losses), rel=1e-5)


def test_learning_rate_warms_up_and_falls(tmp_path: Path) -> None:
    loop = fit(tmp_path, "plain", epochs=4, warmup_epochs=2.0)
    rates = [row["learning_rate"] for row in loop.progress.history]
    assert rates[0] == pytest.approx(rates[1] / 2)
    assert rates[1] == pytest.approx(1e-3)
    assert rates[3] == pytest.approx(0, abs=1e-9)


def test_tensorboard_logs_on_request(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(tmp_path, "plain", epochs=2, tensorboard=True)
    assert sum(path.stat().st_size for path in (tmp_path / "tensorboard").rglob("events*")) > 500


def test_guided_learns_where_from_the_masks_that_are_there(tmp_path: Path) -> None:
    loop = fit(tmp_path, "guided", epochs=8, schedule="constant", learning_rate=0.003)
    history = loop.progress.history
    assert history[-1]["mask_loss"] < history[0]["mask_loss"] / 2
    assert history[-1]["val_accuracy"] >= 0.8
    found = np.asarray(loop.model.predict_on_batch(to_input(IMAGES[64:]))["mask"])[..., 0]
    inside = MASKS[64:, 2::4, 2::4] > 0
    assert found[inside].mean() > 5 * found[~inside].mean()


def test_it_learns_what_is_plain_to_see(tmp_path: Path) -> None:
    loop = fit(tmp_path, "compact", epochs=8, schedule="constant", learning_rate=0.003)
    assert loop.progress.history[-1]["val_accuracy"] >= 0.8
