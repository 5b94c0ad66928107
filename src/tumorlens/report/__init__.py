"""What a run shows to people: interactive charts, figures, one HTML file, a model card, a few lines of text.

Nothing here computes a score: everything is read from the saved artefacts of a run folder. Importing this room costs
nothing; the libraries of the extra ``report`` are loaded by the functions that need them.
"""

from tumorlens.report.card import model_card
from tumorlens.report.html import render_report
from tumorlens.report.summary import summary_text

__all__ = ["model_card", "render_report", "summary_text"]
