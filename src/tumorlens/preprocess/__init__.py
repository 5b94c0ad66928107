"""From a slice to the network's input: the one recipe, and its cache."""

from tumorlens.preprocess.recipe import Recipe, standardise, standardise_mask, to_input

__all__ = ["Recipe", "standardise", "standardise_mask", "to_input"]
