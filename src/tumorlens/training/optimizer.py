"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

from tumorlens.config import TrainSettings
from tumorlens.models.keras_setup import import_keras


def make_optimizer(settings: TrainSettings, steps: int) -> Any:
    """Adam or AdamW with a warm-up, then a cosine to zero or a constant rate.

    Weight decay leaves biases and normalisation alone (they have no scale to shrink; Loshchilov and Hutter, "Decoupled
    weight decay regularization", ICLR 2019, and common practice since).

    Args:
        settings: optimiser, rates, EMA.
        steps: per epoch.
    """
    keras = import_keras()
    rate: Any = settings.learning_rate
    warmup = round(settings.warmup_epochs * steps)
    if warmup or settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else settings.learning_rate,
            warmup_target=settings.learning_rate if warmup else None,
            warmup_steps=warmup,
            decay_steps=max(1, settings.epochs * steps - warmup),
            alpha=0.0 if settings.schedule == "cosine" else 1.0,
        )
    average: dict[str, Any] = {"use_ema": True, "ema_momentum": settings.ema} if settings.ema else {}
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(rate, **average)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
