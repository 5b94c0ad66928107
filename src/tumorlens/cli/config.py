"""``tumorlens config``."""

from __future__ import annotations

import argparse
import sys

from tumorlens import config
from tumorlens.cli.options import add_settings, settings_of


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_settings(command)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    sys.stdout.write(config.to_toml(settings_of(arguments)))
    return 0
