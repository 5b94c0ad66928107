"""Drawn slices, with their masks, that teach a network where tumours are while the data teach it what they are.

Most data sets bring no masks, and a network that learns from labels alone does not look at the tumour
(docs/experiments.md, "Where a network without masks looks"). Drawn slices name no class, and no score is of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.data.phantoms import read_phantom
from tumorlens.errors import EnvironmentFailure
from tumorlens.models import registry
from tumorlens.pipeline.dataset import outlined, standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.recipe import Recipe
from tumorlens.training.batches import Drawn

# Other heads than those of DATA `phantom`, and than those that `make start` learns from.
_SEED = 71


def count(settings: Settings) -> int:
    """How many drawn slices are learned from."""
    return settings.train.drawn if registry.learns_from_masks(settings.model) else 0


def planned(given: Settings | Mapping[str, Any] | None, manifest: Manifest) -> bool:
    """Whether the plan will have slices drawn for a network that learns from masks, and data that have none.

    Args:
        given: the settings as far as they were chosen by hand; complete ones are not planned.
        manifest: the data.
    """
    if isinstance(given, Settings) or "phantom" in manifest.provenance:
        return False
    return "drawn" not in ((given or {}).get("train") or {})


def drawn_slices(settings: Settings, tell: Reporter) -> Drawn | None:
    """As many as ``train.drawn`` says, in the recipe's form, drawn anew where the cache lacks them; None for none.

    Raises:
        EnvironmentFailure: when the cache cannot be written, or holds some of them no longer.
    """
    wanted = count(settings)
    if not wanted:
        return None
    recipe = Recipe.from_settings(settings.preprocess)
    with tell.progress("drawing slices with masks") as progress:
        drawn = read_phantom(str(wanted), seed=_SEED, progress=progress)
    ready = standardised(drawn, recipe, tell)
    outlines = outlined(ready, recipe, tell)
    if len(ready.manifest) < wanted or not outlines.known.all():
        folder = Path(drawn.rows[0].path).parents[1]
        raise EnvironmentFailure(
            f"{wanted} slices were drawn into {folder}, and not all of them can be read any more",
            hint="delete that folder; the slices will be drawn again",
        )
    tell.note(f"drawn slices: {wanted}, with masks, teach where a tumour is; they teach no class")
    return Drawn(ready.images, outlines, hashlib.sha256("".join(ready.digests).encode()).hexdigest())
