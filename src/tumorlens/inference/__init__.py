"""The one path from a bundle to an answer, for the command line, Python, the web and evaluation. No Keras here."""

from tumorlens.inference.predictor import Outputs, Predictor
from tumorlens.inference.result import Failure, Prediction, SeriesPrediction

__all__ = ["Failure", "Outputs", "Prediction", "Predictor", "SeriesPrediction"]
