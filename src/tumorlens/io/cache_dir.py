"""Where things that can be made again are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder: ``$TUMORLENS_CACHE``, else ``$XDG_CACHE_HOME/tumorlens``, else ``~/.cache/tumorlens``.

    It is not made here.
    """
    own = os.environ.get("TUMORLENS_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return Path(shared) / "tumorlens" if shared else Path.home() / ".cache" / "tumorlens"
