"""Write docs/reference/settings.md from the settings themselves."""

from __future__ import annotations

from pathlib import Path

from tumorlens import config

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"


def page() -> str:
    """The page, as text."""
    return f"""# Settings

Every setting with its default, as `tumorlens config` prints it. This page is generated (`make docs`); a test fails when
it is out of date.

Give settings in a TOML file with `--config FILE.toml`, or one at a time with `--set section.key=value`. `--set` wins
over the file; a command's own options (`--epochs`, `--model`, `--seed`, …) win over both. A file needs only the keys
that differ. An unknown key or a value out of range ends the command with exit code 2 and a hint. Every run stores its
complete settings in `config.toml`. What is not given, `train`, `crossval` and `tune` [plan](../concepts/plan.md)
from the data; the other commands take the defaults.

```toml
{config.to_toml(config.Settings()).rstrip()}
```
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
