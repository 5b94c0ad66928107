"""Whether a run or a bundle still says what its saved answers say, and its network still gives those answers.

What can be recomputed is: every score, from ``predictions.csv``, ``edits.csv`` and ``maps.csv``; what is said of the
data, from ``manifest.csv`` and ``run.json``; calibration, sets and thresholds, by fitting them again; the model card
and the words of the report, from the scores; the answers themselves, for slices drawn at random, where the pictures are
at hand. What cannot is taken as it is: how long training took, how far Keras and ONNX Runtime differed, what the audit
found, versions.
"""

from tumorlens.pipeline.verifying.checks import Check
from tumorlens.pipeline.verifying.choosing import verify

__all__ = ["Check", "verify"]
