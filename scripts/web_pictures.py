"""Photograph the web page in each of its states: ``python scripts/web_pictures.py``; needs Chromium.

A real server with the shipped model, asked about drawn slices; the pictures go to ``docs/images/web``.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

import tumorlens
from tumorlens.data.phantom import make_slices
from tumorlens.dicom.journal import Journal
from tumorlens.dicom.queue import Queue
from tumorlens.pipeline.locking import held

EXAMPLES = Path(tumorlens.__file__).parent / "web" / "static" / "examples"
OUT = Path(__file__).parents[1] / "docs" / "images" / "web"
COLOURS = 160


def main() -> int:
    """Write the pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("needs Chromium: apt-get install chromium", file=sys.stderr)
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    place = tempfile.TemporaryDirectory()
    node = watched(Path(place.name))
    server = subprocess.Popen(
        [sys.executable, "-m", "tumorlens", "serve", "--port", "0", "--node", str(node)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None  # noqa: S101
    try:
        url = ""
        for line in server.stderr:
            found = re.search(r"http://\S+/", line)
            url = found.group() if found else url
            if "startup complete" in line:
                break
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder, held(node):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
            states(page, url, Path(folder))
            browser.close()
    finally:
        server.terminate()
        place.cleanup()
    return 0


def watched(folder: Path) -> Path:
    """The folder of a node that has received, answered and sent."""
    queue, journal, peer = Queue(folder), Journal(folder / "audit.jsonl"), "PACS@pacs.example.org:104"
    for number in range(24):
        sop, series = f"1.2.3.{number // 8}.{number}", f"1.2.3.{number // 8}"
        queue.receive(sop, series, "1.2.3", b"")
        journal.note("received", sop=sop)
    for number, sent in ((0, True), (1, False)):
        seen = [one.sop for one in queue.instances(f"1.2.3.{number}")]
        queue.answered(f"1.2.3.{number}", seen, {f"1.2.4.{number}": b""}, [peer])
        journal.note("answered", instances=8, objects=4)
        if sent:
            queue.sent(queue.due(peer)[0])
            journal.note("sent")
    queue.receive("1.2.5.1", "1.2.5", "1.2.3", b"")
    queue.refused("1.2.5", ["1.2.5.1"], "localiser")
    journal.note("series refused", reason="localiser")
    queue.close()
    journal.close()
    return folder


def states(page: Page, url: str, folder: Path) -> None:
    """Each state of the page, one after another."""
    page.goto(url)
    keep(page, "empty")
    page.click("[data-example=glioma]")
    settled(page)
    keep(page, "answer")
    give(page, EXAMPLES / "no_tumor.png")
    keep(page, "uncertain")
    give(page, series(folder / "drawn-series.nii.gz"))
    keep(page, "series")
    cut = folder / "cut-off.png"
    cut.write_bytes((EXAMPLES / "glioma.png").read_bytes()[:9000])
    cloth = folder / "cloth.png"
    photo(cloth)
    give(page, cloth)
    keep(page, "refused")
    give(page, *[EXAMPLES / f"{name}.png" for name in ("glioma", "meningioma", "pituitary")], cut)
    page.get_by_role("button", name="cut-off.png").click()
    keep(page, "error", whole=True)
    give(page, EXAMPLES / "meningioma.png")
    page.evaluate("window.print = () => {}")
    page.click("#print")
    expect(page.locator("#paper img")).to_have_count(2)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})
    keep(page, "report")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 360, "height": 740})
    keep(page, "phone", whole=True)
    page.set_viewport_size({"width": 1280, "height": 860})
    page.click("#theme")
    keep(page, "light")
    page.click("#theme")
    page.goto(f"{url}model")
    page.locator("[data-drawn=yes]").nth(1).wait_for()
    keep(page, "model")
    page.goto(f"{url}docs")
    page.locator(".opblock").first.wait_for()
    keep(page, "api")
    page.goto(f"{url}status")
    keep(page, "status")


def give(page: Page, *files: Path) -> None:
    """Other files."""
    page.click("#new")
    page.set_input_files("#files", list(files))
    settled(page)


def settled(page: Page) -> None:
    """Wait for the answers, and for the picture."""
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#status")).not_to_be_empty()
    page.wait_for_timeout(300)


def keep(page: Page, name: str, whole: bool = False) -> None:
    """Save what is on the screen, in few colours: a third of the bytes."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
    path = OUT / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


def series(path: Path) -> Path:
    """The slices of one drawn patient as a volume, between two blank ones."""
    drawn: dict[str, list[np.ndarray]] = {}
    for one in make_slices(400, seed=11):
        if one.label == "meningioma":
            drawn.setdefault(f"{one.patient}{one.image.shape}", []).append(one.image)
    slices = max(drawn.values(), key=len)
    blank = np.zeros_like(slices[0])
    stack = np.stack([blank, *slices, blank], axis=-1).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stack[::-1].swapaxes(0, 1), np.diag([0.9, 0.9, 5.0, 1.0])), path)
    return path


def photo(path: Path) -> None:
    """Cloth: no brain."""
    rows, columns = np.mgrid[0:300, 0:400]
    stripes = 127 + 90 * np.sin(rows / 9 + columns / 23)
    noise: Any = np.random.default_rng(0).normal(0, 4, (300, 400, 3))
    cv2.imwrite(
        str(path), np.clip(np.stack([stripes, 255 - stripes, stripes / 2], -1) + noise, 0, 255).astype(np.uint8)
    )


if __name__ == "__main__":
    sys.exit(main())
