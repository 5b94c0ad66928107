"""``python -m tumorlens``."""

from tumorlens.cli.main import entry

if __name__ == "__main__":
    entry()
