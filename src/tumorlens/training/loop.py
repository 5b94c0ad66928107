"""The training loop: one ``train_on_batch`` after another, that can stop anywhere and go on."""

from __future__ import annotations

import importlib.util
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.config import TrainSettings
from tumorlens.errors import EnvironmentFailure, Interrupted, MissingExtraError, ModelError
from tumorlens.models import head
from tumorlens.models.guided import mask_loss
from tumorlens.models.keras_setup import import_keras
from tumorlens.preprocess import to_input
from tumorlens.preprocess.stack import Stack
from tumorlens.training import state
from tumorlens.training.batches import TrainingBatches
from tumorlens.training.history import write_history
from tumorlens.training.normalisation import SETTLING, settle
from tumorlens.training.optimizer import make_optimizer

# A long epoch is saved in its middle too, so that a kill never costs more than this.
_SAVE_EVERY_SECONDS = 300.0


@dataclass(frozen=True)
class Validation:
    """What the network is checked on after every epoch: uint8 images (N, S, S) and class numbers int64 (N,)."""

    images: np.ndarray | Stack
    classes: np.ndarray


@dataclass(frozen=True)
class Watcher:
    """Where the loop reports to; each may be left out.

    Attributes:
        on_batch: called with (epoch, step, steps, running loss, running accuracy); epoch counts from 1.
        on_epoch: called with the epoch's row of the history.
    """

    on_batch: Callable[[int, int, int, float, float], None] | None = None
    on_epoch: Callable[[dict[str, float]], None] | None = None


class Loop:
    """Fits one network, keeping a checkpoint in a folder.

    Args:
        model: from :func:`tumorlens.models.registry.build`.
        batches: training data.
        validation: checked after every epoch.
        settings: how to fit.
        folder: where ``last.npz`` lives; history.csv goes beside it into the run folder.
        watcher: reports.
    """

    def __init__(
        self,
        model: Any,
        batches: TrainingBatches,
        validation: Validation,
        settings: TrainSettings,
        folder: Path,
        watcher: Watcher,
    ) -> None:
        keras = import_keras()
        self.model, self.batches, self.validation = model, batches, validation
        self.settings, self.folder, self.watcher = settings, folder, watcher
        self.guided = batches.mask_size > 0
        learned = ("logits", "mask_logits") if self.guided else ("logits",)
        self.fitted = keras.Model(model.input, {name: model.output[name] for name in learned}, name="fitted")
        self.optimizer = make_optimizer(settings, batches.steps)
        losses = {
            "logits": keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
            "mask_logits": mask_loss,
        }
        shares = {"logits": 1.0, "mask_logits": settings.mask_weight}
        # XLA was measured slower on CPUs and is left to the backend elsewhere.
        jit: bool | str = False if keras.backend.backend() == "tensorflow" else "auto"
        self.fitted.compile(
            self.optimizer,
            {name: losses[name] for name in learned},
            loss_weights={name: shares[name] for name in learned},
            metrics={"logits": [keras.metrics.MeanMetricWrapper(head.right, name="accuracy")]},
            jit_compile=jit,
        )
        self.optimizer.build(self.fitted.trainable_variables)
        self.progress = state.Progress(drawn=batches.drawn.digest if batches.drawn else "")
        self.best: list[np.ndarray] = []
        self._stop = threading.Event()

    @property
    def checkpoint(self) -> Path:
        """The file that holds everything needed to go on."""
        return self.folder / "last.npz"

    def run(self) -> state.Progress:
        """Train until done, from the checkpoint where there is one.

        Afterwards the model holds the weights to keep (see ``train.keep``).

        Raises:
            Interrupted: after Ctrl-C, once the checkpoint is written.
            EnvironmentFailure: when the disk is full, or the loss is no longer a number.
        """
        resumed = self.checkpoint.exists()
        if resumed:
            self._restore()
        callbacks = self._callbacks()
        with self._stop_on_ctrl_c():
            while not self.progress.finished:
                self._epoch(self.progress.epoch, callbacks)
        if callbacks:
            callbacks.on_train_end()
        if self.settings.keep == "best" and self.best:
            state.assign(self.fitted.variables, self.best, "best weights")
        elif self.settings.ema:
            self.optimizer.finalize_variable_values(self.fitted.trainable_variables)
        return self.progress

    def _epoch(self, epoch: int, callbacks: Any) -> None:
        first = self.progress.step
        begun = time.monotonic()
        saved = begun
        progress = self.progress
        if callbacks:
            callbacks.on_epoch_begin(epoch)
        for step, (images, targets, weights) in enumerate(self.batches.epoch(epoch, first), start=first):
            # Keras keeps running means in variables of its own; here they are in the progress, which is saved.
            self.fitted.reset_metrics()
            logs = self.fitted.train_on_batch(images, targets, sample_weight=weights, return_dict=True)
            progress.step = step + 1
            for kind, counts in self.batches.edits.pop((epoch, step), {}).items():
                before = progress.edits.get(kind, [0, 0])
                progress.edits[kind] = [earlier + now for earlier, now in zip(before, counts, strict=True)]
            # The loss shown is that of naming the class, with masks and without, as it is in validation.
            progress.loss_sum += float(logs["logits_loss" if self.guided else "loss"])
            right = float(logs["logits_accuracy" if self.guided else "accuracy"])
            progress.accuracy_sum += right / self.batches.share
            progress.mask_loss_sum += float(logs["mask_logits_loss"]) if self.guided else 0.0
            if self.watcher.on_batch:
                loss, accuracy = progress.loss_sum / progress.step, progress.accuracy_sum / progress.step
                self.watcher.on_batch(epoch + 1, step + 1, self.batches.steps, loss, accuracy)
            now = time.monotonic()
            last = step + 1 == self.batches.steps
            if not last and (self._stop.is_set() or now - saved > _SAVE_EVERY_SECONDS):
                progress.seconds += now - saved
                self._save()
                saved = time.monotonic()
                if self._stop.is_set():
                    raise Interrupted(f"stopped in epoch {epoch + 1} after step {step + 1} of {self.batches.steps}")
        if not np.isfinite(progress.loss_sum + progress.mask_loss_sum):
            raise EnvironmentFailure(
                f"the training loss is no longer a number in epoch {epoch + 1}",
                hint="lower the learning rate, for example --set train.learning_rate=0.0003, and start again",
                code="diverged",
            )
        self._end_epoch(epoch, images_done=(self.batches.steps - first) * self.batches.size, begun=begun, saved=saved)
        if callbacks:
            callbacks.on_epoch_end(epoch, self.progress.history[-1])
        if self._stop.is_set():  # after the last epoch too: what follows takes long, and can be continued
            raise Interrupted(f"stopped after epoch {epoch + 1} of {self.settings.epochs}")

    def _end_epoch(self, epoch: int, *, images_done: int, begun: float, saved: float) -> None:
        trained = time.monotonic()
        progress = self.progress
        with self._averaged_weights():
            # Training does not use the running statistics: without validation only the last epoch's are looked at.
            if len(self.validation.images) or self.settings.patience or epoch + 1 == self.settings.epochs:
                plain = (self.batches.plain(epoch, step) for step in range(min(SETTLING, self.batches.plain_steps)))
                settle(self.fitted, plain)
            loss, accuracy = self._validate()
            if loss < progress.best_loss:
                progress.best_loss, progress.best_epoch = loss, epoch + 1
                if self.settings.keep == "best":
                    self.best = state.read(self.fitted.variables)
        progress.seconds += time.monotonic() - saved
        masks = {"mask_loss": progress.mask_loss_sum / progress.step} if self.guided else {}
        progress.history.append(
            {
                "epoch": epoch + 1,
                "seconds": round(time.monotonic() - begun, 3),
                "images_per_second": round(images_done / max(trained - begun, 1e-9), 1),
                "learning_rate": float(self.optimizer.learning_rate),
                "loss": progress.loss_sum / progress.step,
                "accuracy": progress.accuracy_sum / progress.step,
                "val_loss": loss,
                "val_accuracy": accuracy,
                **masks,
            }
        )
        progress.epoch, progress.step = epoch + 1, 0
        progress.loss_sum = progress.accuracy_sum = progress.mask_loss_sum = 0.0
        patience = self.settings.patience
        progress.finished = progress.epoch >= self.settings.epochs or (
            patience > 0 and progress.epoch - progress.best_epoch >= patience
        )
        self._save()
        write_history(self.folder.parent / "history.csv", progress.history)
        if self.watcher.on_epoch:
            self.watcher.on_epoch(progress.history[-1])

    def _validate(self) -> tuple[float, float]:
        """Cross-entropy (without label smoothing) and accuracy on the validation slices; (nan, nan) without any."""
        count = len(self.validation.images)
        if count == 0:
            return float("nan"), float("nan")
        size = max(64, self.batches.size)
        total, right = 0.0, 0
        for start in range(0, count, size):
            images = np.asarray(self.validation.images[start : start + size])
            classes = self.validation.classes[start : start + size]
            # Always the same shape, so that the graph is traced once.
            padded = np.concatenate([images, np.zeros((size - len(images), *images.shape[1:]), np.uint8)])
            logits = np.asarray(self.fitted.predict_on_batch(to_input(padded))["logits"], np.float64)[: len(images)]
            shifted = logits - logits.max(axis=1, keepdims=True)
            log_likelihood = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            total -= float(log_likelihood[np.arange(len(classes)), classes].sum())
            right += int((logits.argmax(axis=1) == classes).sum())
        return total / count, right / count

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Inside, the network has the moving average of its weights (when there is one)."""
        if not self.settings.ema:
            yield
            return
        raw = state.read(self.fitted.trainable_variables)
        self.optimizer.finalize_variable_values(self.fitted.trainable_variables)
        try:
            yield
        finally:
            state.assign(self.fitted.trainable_variables, raw, "weights")

    def _save(self) -> None:
        state.save(
            self.checkpoint,
            self.progress,
            {
                "model": state.read(self.fitted.variables),
                "optimizer": state.read(self.optimizer.variables),
                "best": self.best,
            },
        )

    def _restore(self) -> None:
        begun, arrays = state.load(self.checkpoint)
        if begun.drawn != self.progress.drawn:
            raise ModelError(
                "the drawn slices (train.drawn) are no longer those that the training began with",
                hint="resume with the same version of tumorlens and its libraries, or start the training again",
            )
        self.progress = begun
        state.assign(self.fitted.variables, arrays["model"], "network")
        state.assign(self.optimizer.variables, arrays["optimizer"], "optimizer")
        self.best = arrays.get("best", [])
        write_history(self.folder.parent / "history.csv", self.progress.history)

    def _callbacks(self) -> Any:
        if not self.settings.tensorboard:
            return None
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingExtraError("TensorBoard", "tensorboard")
        keras = import_keras()
        board = keras.callbacks.TensorBoard(log_dir=str(self.folder.parent / "tensorboard"), write_graph=False)
        callbacks = keras.callbacks.CallbackList([board], model=self.fitted)
        callbacks.on_train_begin()
        return callbacks

    @contextmanager
    def _stop_on_ctrl_c(self) -> Iterator[None]:
        """Ctrl-C (or a polite kill) asks the loop to stop after the batch in hand; a second Ctrl-C stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(_number: int, _frame: Any) -> None:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
