"""From a slice to the network's input: the one recipe, and its cache."""

from tumorlens.preprocess.recipe import Recipe, standardise, to_input

__all__ = ["Recipe", "standardise", "to_input"]
