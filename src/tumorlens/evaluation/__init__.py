"""What the predictions are worth: metrics with intervals, and the curves behind them. NumPy only."""

from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable

__all__ = ["PredictionTable", "evaluate_table"]
