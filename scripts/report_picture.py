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

from PIL import Image, ImageChops

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "report.png"
WIDTH = 1100
# Shown are the headline and three rows of the test images, wherever they stand on the page.
SHOWN = """
    section { border: 0 }
    nav, section:not(#examples), #examples figcaption, .four li:nth-child(n+13) { display: none }
"""
TALLEST = 3000


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
        page = Path(folder) / "report.html"
        html = (run / "report.html").read_text(encoding="utf-8")
        page.write_text(html.replace("</style>", f"{SHOWN}</style>", 1), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=8000"]
        options += [f"--window-size={WIDTH},{TALLEST}", f"--screenshot={shot}"]
        subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True, timeout=180)
        picture = Image.open(shot).convert("RGB")
    drawn = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).getbbox()
    picture = picture.crop((0, 0, WIDTH, min(TALLEST, (drawn[3] if drawn else TALLEST) + 24)))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
