"""Whether a network that learned from every slice is the one that was trained.

No answers of it are stored: those beside it are of other networks of its recipe. So it is compared with the Keras
network of its training, output by output; and it must name slices that it learned from at least as well as those others
named slices that they had not seen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tumorlens.bundle import Bundle
from tumorlens.errors import MissingExtraError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Predictor
from tumorlens.inference.engine import Engine
from tumorlens.models.keras_setup import import_keras
from tumorlens.pipeline.kerasfile import keras_file
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying.binomial import at_most, least
from tumorlens.pipeline.verifying.checks import Check
from tumorlens.pipeline.verifying.reasking import NAME, Drawn, Places
from tumorlens.preprocess import standardise, to_input
from tumorlens.training.export import TOLERANCE, compare, worst_of

_COMPARED = 64
#: How often, at most, a network that is as good as the others is called worse (:func:`worse`).
FALSE_ALARMS = 0.002


def against_keras(loaded: Bundle, places: Places, seed: int) -> Check:
    """Whether ``model.onnx`` gives what the Keras network of its training gives, for slices drawn at random.

    Args:
        loaded: a bundle in the folder of a cross-validation.
        places: file and frame of slices, by name.
        seed: of their choice.
    """
    name, path = "network, against the Keras network of its training", keras_file(loaded.where)
    if path is None:
        return Check(name, None, "its training holds no model.keras")
    drawn = Drawn(places, tuple(places), _COMPARED, seed)
    images = [standardise(item.pixels, loaded.info.recipe) for item in drawn]
    if not images:
        return Check(name, None, "no picture is where it was")
    inputs = to_input(np.stack(images))
    try:
        expected = _keras_outputs(path, inputs)
    except MissingExtraError as error:
        return Check(name, None, f"{error.message}; {error.hint}")
    found = Engine(loaded.model).run(inputs)
    if missing := sorted(set(found) - set(expected)):
        return Check(name, False, f"the Keras network has no output {missing[0]}")
    off = compare({output: expected[output] for output in found}, found)
    worst = worst_of(off)
    return Check(
        name, worst <= TOLERANCE, f"{len(images)} slices, outputs differ by at most {worst:.2g}{drawn.missing}"
    )


def _keras_outputs(path: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    network = import_keras().models.load_model(path, compile=False, safe_mode=True)
    return {output: np.asarray(value) for output, value in network.predict_on_batch(inputs).items()}


def named_rightly(
    table: PredictionTable, places: Places, predictor: Predictor, count: int, seed: int, tell: Reporter
) -> Check:
    """Whether a network names slices that it learned from no worse than others of its recipe named unseen ones.

    One that is as good as they are fails at most twice in a thousand times (:func:`worse`); as a network names what it
    learned from better than what it has not seen, an honest one fails less often still.

    Args:
        table: the others' answers, with the classes.
        places: file and frame of its slices, by the names that it gives them.
        predictor: the network.
        count: how many slices.
        seed: of their choice.
        tell: told how it goes.
    """
    drawn = Drawn(places, table.ids, count, seed)
    right = 0
    with tell.progress("asking again") as progress:
        for done, answer in enumerate(predictor.predict_slices(drawn), start=1):
            # The gate has no part in this: the class that a network tends to is there for refused slices, too.
            likeliest = max(answer.probabilities, key=answer.probabilities.__getitem__)
            right += likeliest == table.labels[drawn.rows[done - 1]]
            progress(done, drawn.wanted)
    asked = len(drawn.rows)
    if not asked:
        return Check(NAME, None, "no picture is where it was")
    claimed = float(table.correct.mean())
    told = (
        f"{asked} slices that it learned from, {right / asked:.1%} named rightly (others of its recipe, out of fold: "
        f"{claimed:.1%}); no answers of its own are stored to compare with{drawn.missing}"
    )
    if worse(right, asked, int(table.correct.sum()), len(table)):
        return Check(NAME, False, told)
    return Check(NAME, True if asked == drawn.wanted else None, told)


def worse(right: int, asked: int, others: int, count: int) -> bool:
    """Whether a network's answers are worse than chance makes those of a network as good as the others.

    The accuracy of the others is known from so many answers only, so the lowest that their answers allow is held
    against the network (one-sided Clopper-Pearson bound); worse is one that would then be right so seldom by exact
    binomial chance. Bound and chance may each be wrong in one of 1 000 cases, so an equally good network is called
    worse in at most 2 of 1 000 (:data:`FALSE_ALARMS`), where slices err independently of each other.

    Args:
        right: its right answers.
        asked: its answers.
        others: right answers of the others.
        count: answers of the others.
    """
    level = FALSE_ALARMS / 2
    return at_most(right, asked, least(others, count, level)) < level
