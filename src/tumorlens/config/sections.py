"""Every setting with its type, range, default and a one-line description."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the sections: frozen, unknown keys rejected."""


class DataSettings(Section, frozen=True):
    """Which slices are used, and how they are divided."""

    fractions: Annotated[
        tuple[float, float, float],
        Meta(description="share of train, validation and test; used where the data brings no split"),
    ] = (0.75, 0.1, 0.15)
    min_mask_pixels: Annotated[
        int, Meta(ge=1, description="mask:LABEL=PATH calls a slice LABEL from this many mask pixels on")
    ] = 200
    group_column: Annotated[
        str, Meta(description="manifest column that must never cross a split (empty: group, else patient)")
    ] = ""
    join_patient_variants: Annotated[
        bool,
        Meta(description="take patient ids that differ by a trailing letter only (100, 100a) for one patient"),
    ] = False
    fold_column: Annotated[str, Meta(description="manifest column with the data set's own folds (empty: fold)")] = ""
    test_fold: Annotated[str, Meta(description="the fold used for testing (empty: none)")] = ""
    audit: Annotated[
        Literal["full", "copies"],
        Meta(
            description="before training: full, or copies only (what a split must know), without shortcuts, doubtful "
            "labels and foreign pictures"
        ),
    ] = "full"


class PreprocessSettings(Section, frozen=True):
    """From a slice to the network's input; the same in training and in service."""

    recipe: Annotated[
        Literal["standard", "plain"],
        Meta(
            description="standard: head crop, robust window, padding; plain: divide by 255 and stretch, as notebooks do"
        ),
    ] = "standard"
    size: Annotated[int, Meta(ge=32, le=512, description="height and width of the network's input in pixels")] = 128
    margin: Annotated[
        float, Meta(ge=0, le=0.5, description="margin kept around the head, as a share of its longer side")
    ] = 0.02
    low: Annotated[float, Meta(ge=0, lt=50, description="percentile of the head's grey values that becomes black")] = (
        0.5
    )
    high: Annotated[
        float, Meta(gt=50, le=100, description="percentile of the head's grey values that becomes white")
    ] = 99.5


class ModelSettings(Section, frozen=True):
    """The network."""

    name: Annotated[
        str,
        Meta(
            description="compact, guided (compact that learns from tumour masks where to look), plain, or the name of "
            "a keras.applications backbone (efficientnetv2b0, …)"
        ),
    ] = "compact"
    width: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="filters of the first convolution; 0: the network's own (compact and guided 24, plain 32)",
        ),
    ] = 0
    depth: Annotated[
        int,
        Meta(
            ge=0,
            le=8,
            description="compact and guided: residual blocks per stage; plain: convolution + pooling stacks; "
            "0: the network's own (compact and guided 1, plain 3)",
        ),
    ] = 0
    shortcuts: Annotated[
        bool, Meta(description="compact and guided: residual shortcuts; without them depth hurts (docs/experiments.md)")
    ] = True
    peak: Annotated[
        bool,
        Meta(description="guided: how sure the mask is of its likeliest place counts as a feature; for tumour or none"),
    ] = False
    dense: Annotated[int, Meta(ge=8, le=4096, description="units of plain's hidden dense layer")] = 128
    dropout: Annotated[float, Meta(ge=0, lt=1, description="share of the embedding dropped while training")] = 0.3
    weights: Annotated[str, Meta(description="backbones only: imagenet, none, or a .weights.h5 / .h5 file")] = (
        "imagenet"
    )


class TrainSettings(Section, frozen=True):
    """How the network is fitted."""

    start: Annotated[
        str,
        Meta(
            description="weights to start from: empty (chance), phantom (shipped, learned from synthetic slices; for "
            "compact and guided), a finished run's folder, or a .keras file"
        ),
    ] = ""
    epochs: Annotated[int, Meta(ge=1, description="passes over the training images")] = 40
    minutes: Annotated[
        float, Meta(ge=0, description="time that the plan may choose a training for; 0: any. It stops nothing")
    ] = 60.0
    batch_size: Annotated[int, Meta(ge=1, le=4096, description="images per step")] = 32
    optimizer: Annotated[Literal["adam", "adamw"], Meta(description="adam, or adamw (decoupled weight decay)")] = (
        "adamw"
    )
    learning_rate: Annotated[float, Meta(gt=0, description="highest learning rate")] = 1e-3
    weight_decay: Annotated[float, Meta(ge=0, description="adamw only; biases and normalisation are left alone")] = 0.02
    schedule: Annotated[Literal["cosine", "constant"], Meta(description="learning rate after the warm-up")] = "cosine"
    warmup_epochs: Annotated[float, Meta(ge=0, description="epochs over which the learning rate rises from zero")] = 2.0
    label_smoothing: Annotated[float, Meta(ge=0, lt=1, description="0 is plain categorical cross-entropy")] = 0.1
    class_weights: Annotated[Literal["none", "balanced"], Meta(description="balanced: rare classes count more")] = (
        "none"
    )
    mask_weight: Annotated[
        float, Meta(ge=0, description="guided only: how much finding the tumour counts beside naming it")
    ] = 1.0
    drawn: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="guided only: synthetic slices, with their masks, that teach beside yours where a tumour is; "
            "they teach no class",
        ),
    ] = 0
    ema: Annotated[float, Meta(ge=0, lt=1, description="decay of the moving average of the weights; 0 is off")] = 0.0
    patience: Annotated[
        int, Meta(ge=0, description="stop after this many epochs without a better validation loss; 0 is never")
    ] = 0
    keep: Annotated[
        Literal["best", "last"], Meta(description="which epoch's weights are kept: lowest validation loss, or the last")
    ] = "last"
    precision: Annotated[
        Literal["float32", "bfloat16", "auto"],
        Meta(description="auto: bfloat16 where a short measurement finds it 1.3 times as fast"),
    ] = "float32"
    deterministic: Annotated[
        bool, Meta(description="same seed, same weights, bit for bit (on one kind of machine)")
    ] = True
    tensorboard: Annotated[bool, Meta(description="also write TensorBoard logs")] = False
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|gpu(:[0-9]{1,4})?)$", description="auto, cpu, gpu or gpu:N")] = (
        "auto"
    )


class AugmentSettings(Section, frozen=True):
    """Random changes of the training images; never of validation or test images."""

    enabled: Annotated[bool, Meta(description="false switches all of them off")] = True
    rotation: Annotated[float, Meta(ge=0, le=180, description="degrees to either side")] = 15.0
    zoom: Annotated[float, Meta(ge=0, lt=1, description="share to either side")] = 0.15
    shift: Annotated[float, Meta(ge=0, lt=1, description="share of the image's size to either side")] = 0.08
    shear: Annotated[float, Meta(ge=0, le=45, description="degrees to either side")] = 0.0
    horizontal_flip: Annotated[bool, Meta(description="mirror left and right: heads are nearly symmetric")] = True
    vertical_flip: Annotated[
        bool, Meta(description="off: a scanner never delivers an upside-down head, so it teaches nothing true")
    ] = False
    gamma: Annotated[float, Meta(ge=0, lt=1, description="exponent changed by up to this share")] = 0.3
    brightness: Annotated[float, Meta(ge=0, lt=1, description="added, as a share of the full range")] = 0.1
    contrast: Annotated[float, Meta(ge=0, lt=1, description="multiplied, to either side")] = 0.15
    elastic: Annotated[
        float,
        Meta(ge=0, le=0.1, description="standard deviation of a smooth deformation, as a share of the image's size"),
    ] = 0.0
    artefacts: Annotated[
        float,
        Meta(
            ge=0, le=1, description="share of the images with MRI artefacts: bias field, contrast, blur, ghosts, noise"
        ),
    ] = 0.0
    twins: Annotated[
        float,
        Meta(
            ge=0,
            le=0.5,
            description="share of the slices with a mask whose tumour is covered by healthy tissue: then no_tumor",
        ),
    ] = 0.0
    transplants: Annotated[
        float, Meta(ge=0, le=0.5, description="share of the no_tumor slices that receive the tumour of a masked slice")
    ] = 0.0


class EvaluateSettings(Section, frozen=True):
    """How scores are made."""

    bootstrap: Annotated[int, Meta(ge=100, le=100_000, description="resamples behind each interval")] = 2000
    folds: Annotated[
        int,
        Meta(ge=0, le=100, description="also cross-validate over this many folds of all slices; 0: no"),
    ] = 0
    seeds: Annotated[
        int,
        Meta(ge=1, le=100, description="of crossval: trainings of each fold, with the seeds seed, seed + 1, …"),
    ] = 1
    final: Annotated[
        bool,
        Meta(description="crossval: then train on all slices and bundle that network with the out-of-fold scores"),
    ] = False
    report: Annotated[bool, Meta(description="draw the figures and write audit.html and report.html")] = True
    flip_average: Annotated[
        bool, Meta(description="average the answer with that of the mirrored slice; twice the time")
    ] = False
    calibrate: Annotated[
        bool,
        Meta(description="fit temperature, conformal sets and the threshold of uncertain answers on held-out slices"),
    ] = True
    gate: Annotated[
        bool,
        Meta(description="refuse what does not look like a slice of a brain MRI; left out where it knows the data not"),
    ] = True
    alpha: Annotated[
        float, Meta(gt=0, lt=1, description="share of slices whose conformal set may lack the truth, for each class")
    ] = 0.05
    target_accuracy: Annotated[
        float, Meta(gt=0, le=1, description="accuracy that accepted answers are to reach; the others are uncertain")
    ] = 0.98


class TuneSettings(Section, frozen=True):
    """How ``tumorlens tune`` searches; test slices take no part."""

    trials: Annotated[int, Meta(ge=1, le=100_000, description="settings that are tried")] = 30
    folds: Annotated[
        int,
        Meta(ge=1, le=100, description="inner folds that each is trained on; 1: the validation set alone"),
    ] = 3
    goal: Annotated[
        Literal["accuracy", "loss"], Meta(description="what decides on the validation slices; loss: cross-entropy")
    ] = "accuracy"


class Settings(Section, frozen=True):
    """All settings of a run."""

    seed: Annotated[int, Meta(ge=0, lt=2**32, description="the one seed behind every random choice")] = 0
    data: DataSettings = DataSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    augment: AugmentSettings = AugmentSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    tune: TuneSettings = TuneSettings()

    def __post_init__(self) -> None:
        fractions = self.data.fractions
        if abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0 or fractions[0] == 0:
            raise ValueError(
                f"data.fractions must be three shares that sum to 1, some of it for training, not {list(fractions)}"
            )
        if self.evaluate.folds == 1:
            raise ValueError("evaluate.folds must be 0 (no cross-validation) or at least 2, not 1")
