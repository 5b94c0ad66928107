"""Make docs/images/report.png: two parts of the report of a phantom run (needs Chromium).

    python scripts/report_picture.py RUN

The picture may show the phantom only, never a real patient; a run on anything else is refused.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "report.png"
WIDTH = 1100
# Rows of the page that are shown: the headline, and the test images.
PARTS = ((0, 322), (1622, 2536))


def main() -> int:
    """Make the picture."""
    run = Path(sys.argv[1]).resolve()
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    if metrics["data"]["sources"] != ["phantom"]:
        print("only the report of a run on the phantom may be shown", file=sys.stderr)
        return 1
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        print("Chromium is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=8000"]
        options += [f"--window-size={WIDTH},{PARTS[-1][1]}", f"--screenshot={shot}"]
        subprocess.run(
            [browser, *options, (run / "report.html").as_uri()], check=True, capture_output=True, timeout=180
        )
        page = Image.open(shot).convert("RGB")
        parts = [page.crop((0, top, WIDTH, bottom)) for top, bottom in PARTS]
    picture = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
