"""The libraries of the extra ``report``, loaded when first needed."""

from __future__ import annotations

import importlib
from typing import Any

from tumorlens.errors import MissingExtraError


def load(module: str) -> Any:
    """Import ``module``, for example ``matplotlib.figure``.

    Raises:
        MissingExtraError: when its package is not installed, saying how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise MissingExtraError(package, "report") from None
