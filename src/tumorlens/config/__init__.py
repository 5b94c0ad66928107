"""The settings: frozen, complete, and strict about unknown keys.

Every setting has a default and a one-line description; ``tumorlens config`` prints them as TOML with those lines as
comments. A run stores the complete settings it used.
"""

from tumorlens.config.reading import all_keys, as_settings, from_dict, load, read_tree
from tumorlens.config.sections import (
    AugmentSettings,
    DataSettings,
    EvaluateSettings,
    ModelSettings,
    PreprocessSettings,
    Settings,
    TrainSettings,
    TuneSettings,
)
from tumorlens.config.writing import to_dict, to_toml

__all__ = [
    "AugmentSettings",
    "DataSettings",
    "EvaluateSettings",
    "ModelSettings",
    "PreprocessSettings",
    "Settings",
    "TrainSettings",
    "TuneSettings",
    "all_keys",
    "as_settings",
    "from_dict",
    "load",
    "read_tree",
    "to_dict",
    "to_toml",
]
