"""How far an answer can be trusted: calibrated probabilities, conformal sets, and a threshold for "uncertain".

Each part is fitted on slices that the network has not seen, is stored in ``bundle.json`` as plain numbers, and is
applied here with NumPy alone.
"""

from tumorlens.inference.trust.conformal import Conformal, fit_conformal
from tumorlens.inference.trust.selective import Selective, fit_selective
from tumorlens.inference.trust.temperature import Temperature, as_logits, fit_temperature, softmax
from tumorlens.inference.trust.trust import Judged, Trust

__all__ = [
    "Conformal",
    "Judged",
    "Selective",
    "Temperature",
    "Trust",
    "as_logits",
    "fit_conformal",
    "fit_selective",
    "fit_temperature",
    "softmax",
]
