"""The page in a real Chromium: what a reader sees and does. ``make test-browser`` runs all of it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.web.conftest import Served, dicom_frames, node_folder, volume

from tumorlens.pipeline.locking import held

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
WAIT = 60_000


class Reader:
    """Somebody in front of the page.

    Attributes:
        page: Playwright's.
        problems: what the browser's console complained about.
        hosts: of every request.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: self.problems.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: dialog.accept())  # leaving, with answers on the page
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.partition("//")[2].partition("/")[0]))
        page.goto(url)

    def give(self, *files: Path) -> None:
        if self.page.locator("#new").is_visible():
            self.page.click("#new")
        self.page.set_input_files("#files", list(files))
        expect(self.page.locator("#progress")).to_be_hidden(timeout=WAIT)
        expect(self.page.locator("#status")).not_to_be_empty()

    @property
    def headline(self) -> Any:
        return self.page.locator("#answer .headline")

    @property
    def corner(self) -> str:
        return str(self.page.locator("#corner-window").inner_text())

    def brightness(self) -> float:
        """Mean grey value of what is on the canvas."""
        picture = np.frombuffer(self.page.locator("#canvas").screenshot(), np.uint8)
        return float(cv2.imdecode(picture, cv2.IMREAD_GRAYSCALE).mean())

    def open(self, name: str) -> None:
        """Choose a row of the table."""
        self.page.get_by_role("button", name=name).click()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def reader(browser: Any, served: Served) -> Iterator[Reader]:
    context = browser.new_context(viewport={"width": 1400, "height": 950}, accept_downloads=True)
    one = Reader(context.new_page(), served.url)
    yield one
    assert one.problems == []
    assert one.hosts == {served.url.partition("//")[2].rstrip("/")}
    context.close()


def test_an_example_answers_with_picture_map_and_set(reader: Reader) -> None:
    page = reader.page
    page.click("[data-example=glioma]")
    expect(reader.headline).to_contain_text("Glioma")
    expect(page.locator("#answer .bars li")).to_have_count(4)
    expect(page.locator("#answer .bars li.own")).to_have_count(1)
    expect(page.locator("#answer")).to_contain_text("accepted answers")
    expect(page.locator("#canvas")).to_have_attribute("aria-label", "MRI slice example-glioma.png. Glioma")
    expect(page.locator("#corner-window")).to_contain_text("Level")
    with_map = reader.brightness()
    page.uncheck("#map-on")
    assert reader.brightness() < with_map
    page.check("#map-on")
    page.locator("#opacity").fill("10")
    assert reader.brightness() < with_map


def test_window_zoom_invert_by_key_mouse_and_slider(reader: Reader) -> None:
    page = reader.page
    page.click("[data-example=no_tumor]")
    expect(page.locator("#corner-window")).to_contain_text("100")
    first, light = reader.corner, reader.brightness()
    page.keyboard.press("]")
    assert reader.corner != first
    page.keyboard.press(",")
    page.keyboard.press("0")
    assert reader.corner == first
    page.keyboard.press("i")
    assert reader.brightness() > light
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("i")
    page.keyboard.press("+")
    expect(page.locator("#corner-window")).to_contain_text("125")
    page.keyboard.press("0")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 280, box["y"] + 240)
    page.mouse.up()
    assert reader.corner != first
    page.click("#reset")
    assert reader.corner == first
    page.locator("#level").fill("900")
    assert reader.brightness() < light
    page.click("#keys")
    expect(page.locator("#keys-text")).to_be_visible()
    page.keyboard.press("i")  # the focus is on a button now: a letter is no command
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "false")


def test_a_volume_is_scrolled_and_has_an_answer_of_its_own(reader: Reader, tmp_path: Path) -> None:
    page = reader.page
    reader.give(volume(tmp_path / "head.nii.gz"))
    expect(page.locator("#series")).to_contain_text("Whole series")
    expect(page.locator("#series")).to_contain_text("2 blank")
    expect(page.locator("#strip .cell")).to_have_count(20)
    expect(page.locator("#ruler-text")).to_have_text("50 mm")
    page.keyboard.press("Home")
    expect(reader.headline).to_contain_text("blank")
    expect(page.locator("#corner-slice")).to_have_text("Slice 1 of 20")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#corner-slice")).to_have_text("Slice 3 of 20")
    expect(reader.headline).to_contain_text("eningioma")
    page.locator("#canvas").hover()
    page.mouse.wheel(0, 100)
    expect(page.locator("#corner-slice")).to_have_text("Slice 4 of 20")
    page.locator("#strip").focus()
    page.keyboard.press("End")
    expect(page.locator("#strip")).to_have_attribute("aria-valuenow", "20")
    page.keyboard.press("Home")
    page.click("#series button")
    expect(page.locator("#corner-slice")).not_to_have_text("Slice 1 of 20")


@pytest.mark.shared
def test_of_a_healthy_head_the_most_suspicious_slice_is_shown_first(reader: Reader, shared_data: Path) -> None:
    page = reader.page
    reader.give(*sorted((shared_data / "dicom" / "t1w_head").glob("*.dcm")))
    expect(page.locator("#table tbody tr").first).to_have_class("series-row")
    expect(page.locator("#table tbody tr").first).not_to_contain_text(". –")
    with page.expect_download() as saved:
        page.click("#json")
    entries = {entry["id"]: entry for entry in json.loads(Path(saved.value.path()).read_text())}
    (series,) = (entry for entry in entries.values() if entry.get("series"))
    assert series["predicted"] == "no_tumor"
    shown = min(series["supporting"], key=lambda name: entries[name]["probabilities"]["no_tumor"])
    place = series["slices"].index(shown) + 1
    page.locator("#table tbody tr button").first.click()
    expect(page.locator("#corner-slice")).to_have_text(f"Slice {place} of {len(series['slices'])}")
    page.keyboard.press("Home")
    page.click("#series button")
    expect(page.locator("#corner-slice")).to_have_text(f"Slice {place} of {len(series['slices'])}")


def test_frames_a_corrupt_file_and_a_photo(reader: Reader, glioma: Path, tmp_path: Path) -> None:
    page = reader.page
    corrupt = tmp_path / "corrupt.png"
    corrupt.write_bytes(glioma.read_bytes()[:5000])
    photo = tmp_path / "photo.png"
    _photo(photo)
    reader.give(dicom_frames(tmp_path / "frames.dcm"), corrupt, photo)
    expect(page.locator("#status")).to_contain_text("4 slices answered")
    expect(page.locator("#status")).to_contain_text("1 could not be used")
    expect(page.locator("#table tbody tr")).to_have_count(6)
    reader.open("corrupt.png")
    expect(reader.headline).to_contain_text("Could not be used")
    expect(page.locator("#answer")).to_contain_text("copy or download it again")
    expect(page.locator("#print")).to_be_disabled()
    reader.open("photo.png")
    expect(reader.headline).to_contain_text("does not look like a brain MRI")
    expect(page.locator("#answer .bars")).to_have_count(0)
    expect(page.locator("#print")).to_be_enabled()


def test_results_sort_and_download(reader: Reader, glioma: Path, tmp_path: Path) -> None:
    page = reader.page
    paths = [glioma.with_name(f"{name}.png") for name in ("glioma", "meningioma", "no_tumor", "pituitary")]
    formula = tmp_path / "=cmd.png"
    formula.write_bytes(glioma.read_bytes())
    reader.give(*paths, formula)
    shares = page.locator("#table tbody td.number")
    page.click("#table thead button:text-is('Probability')")
    found = [float(text.split()[0]) for text in shares.all_inner_texts()]
    assert found == sorted(found)
    page.click("#table thead button:text-is('Probability')")
    assert [float(text.split()[0]) for text in shares.all_inner_texts()] == sorted(found, reverse=True)
    expect(page.locator("#table thead th").nth(2)).to_have_attribute("aria-sort", "descending")
    with page.expect_download() as saved:
        page.click("#json")
    entries = json.loads(Path(saved.value.path()).read_text())
    assert [entry["predicted"] for entry in entries if not entry["path"].startswith("=")] == [p.stem for p in paths]
    with page.expect_download() as saved:
        page.click("#csv")
    with Path(saved.value.path()).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert rows[-1]["id"] == "'=cmd.png" or rows[0]["id"] == "'=cmd.png"  # a spreadsheet must not run it
    assert {float(row["p_glioma"]) for row in rows} == {entry["probabilities"]["glioma"] for entry in entries}


def test_the_report_prints_to_one_page_and_saves_as_html(reader: Reader, tmp_path: Path, browser: Any) -> None:
    page = reader.page
    page.add_init_script("window.print = () => { window.printed = true; }")
    page.goto(reader.url)
    page.click("[data-example=meningioma]")
    expect(reader.headline).to_contain_text("Meningioma")
    page.click("#print")
    expect(page.locator("#paper img")).to_have_count(2)
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") == 1
    with page.expect_download() as saved:
        page.click("#save")
    html = Path(saved.value.path()).read_text()
    assert "Research use only" in html
    assert "<script" not in html
    alone = browser.new_page()
    alone.set_content(html)
    expect(alone.locator("h1")).to_have_text("Brain-MRI slice classification")
    expect(alone.locator("table tbody tr")).to_have_count(4)
    alone.close()


def test_the_report_is_about_the_slice_on_the_screen(reader: Reader, glioma: Path, tmp_path: Path) -> None:
    """However fast slices go by, and whatever was printed before."""
    page = reader.page
    page.evaluate("window.print = () => {}")
    reader.give(volume(tmp_path / "head.nii.gz"))
    page.evaluate("document.getElementById('strip').focus()")
    for key in ("Home", "End", "ArrowUp", "PageUp"):
        page.keyboard.press(key)
    page.click("#print")
    expect(page.locator("#paper .facts dd").first).to_have_text("head.nii.gz#8")
    expect(page.locator("#corner-slice")).to_have_text("Slice 9 of 20")
    reader.give(glioma)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # as Ctrl+P does
    expect(page.locator("#paper .facts dd").first).to_have_text("glioma.png")
    page.click("#new")
    expect(page.locator("#paper")).to_be_empty()


def test_what_holds_no_image_is_said(reader: Reader, glioma: Path, tmp_path: Path) -> None:
    page = reader.page
    for name in (".hidden", "DICOMDIR"):
        (tmp_path / name).write_text("x")
    page.set_input_files("#files", [tmp_path / ".hidden"])
    expect(page.locator("#status")).to_contain_text("no file in it")
    reader.give(tmp_path / ".hidden", tmp_path / "DICOMDIR", glioma)
    expect(page.locator("#status")).to_contain_text("2 files")


def test_a_pasted_picture_and_a_dropped_file_are_answered(reader: Reader) -> None:
    page = reader.page
    for event, holder in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.goto(reader.url)
        page.evaluate(
            """async ([event, holder]) => {
            const blob = await (await fetch("static/examples/pituitary.png")).blob();
            const data = new DataTransfer();
            data.items.add(new File([blob], `${event}.png`, { type: "image/png" }));
            const kind = event === "paste" ? ClipboardEvent : DragEvent;
            document.dispatchEvent(new kind(event, { [holder]: data, bubbles: true, cancelable: true })); }""",
            [event, holder],
        )
        expect(reader.headline).to_contain_text("Pituitary tumour")


def test_cancelled_it_says_what_had_been_answered(reader: Reader, tmp_path: Path) -> None:
    page = reader.page
    page.set_input_files("#files", [volume(tmp_path / "head.nii", 900)])
    page.click("#cancel")
    expect(page.locator("#status")).to_contain_text("Cancelled")


def test_without_a_server_it_says_so(browser: Any, tmp_path: Path, glioma: Path) -> None:
    server = Served(log=tmp_path / "log.txt")
    page = browser.new_page()
    page.goto(server.url)
    expect(page.locator("html")).to_have_attribute("data-ready", re.compile("[0-9a-f]{12}"))
    server.stop()
    page.set_input_files("#files", [glioma])
    expect(page.locator("#status")).to_contain_text("could not be reached")
    page.close()


def test_the_page_asks_for_the_key(browser: Any, tmp_path: Path, glioma: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef")
    server = Served("--api-key-file", str(tmp_path / "key"), log=tmp_path / "log.txt")
    page = browser.new_page()
    page.goto(server.url)
    page.set_input_files("#files", [glioma])
    page.fill("#key", "another key that is wrong")
    page.click("#key-form button")
    expect(page.locator("#status")).to_contain_text("not the key")
    page.fill("#key", "0123456789abcdef")
    page.click("#key-form button")
    expect(page.locator("#answer .headline")).to_contain_text("Glioma")
    page.close()
    server.stop()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [360, 1400, 3840])
def test_nothing_is_wrong_for_those_who_see_or_hear_little(
    theme: str, width: int, browser: Any, served: Served, tmp_path: Path
) -> None:
    """axe-core, on every page and state."""
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto(served.url)
    if theme == "light":
        page.click("#theme")

    def check(state: str) -> None:
        found = Axe().run(page).response["violations"]
        assert not found, (state, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found])
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, (state, "scrolls sideways")

    check("empty")
    page.set_input_files("#files", [volume(tmp_path / "head.nii"), Path(__file__)])
    expect(page.locator("#status")).to_contain_text("answered")
    page.click("#keys")
    check("answers")
    page.get_by_role("button", name="test_browser.py").click()
    check("error")
    page.goto(f"{served.url}model")
    page.locator("[data-drawn=yes]").first.wait_for(timeout=WAIT)
    check("model")
    page.goto(f"{served.url}docs")
    page.locator(".opblock").first.wait_for(timeout=WAIT)
    check("docs")
    page.goto(f"{served.url}status")
    expect(page.locator("main")).to_contain_text("localiser")
    check("status")
    context.close()


@pytest.mark.browser
def test_the_status_page_keeps_itself_up_to_date(browser: Any, shipped_server: Served, tmp_path: Path) -> None:
    """What happens in the node's folder is on the page a little later; a server that is gone leaves the page, pale."""
    page = browser.new_page()
    page.goto(f"{shipped_server.url}status")
    expect(page.locator("main")).to_contain_text("The node is not running")
    with held(tmp_path / "node"):
        expect(page.locator("main")).to_contain_text("The node is running", timeout=WAIT)
    shipped_server.stop()
    expect(page.locator("main.old")).to_be_visible(timeout=WAIT)
    page.close()


@pytest.fixture
def shipped_server(tmp_path: Path) -> Iterator[Served]:
    one = Served("--node", str(node_folder(tmp_path / "node")), log=tmp_path / "log.txt")
    yield one
    one.stop()


@pytest.mark.browser
def test_model_and_documentation_pages_draw_and_work_without_a_complaint(reader: Reader, glioma: Path) -> None:
    page = reader.page
    page.goto(f"{reader.url}model")
    expect(page.locator("[data-drawn=yes]")).to_have_count(2)
    expect(page.locator(".card")).to_contain_text("Intended use")
    page.goto(f"{reader.url}docs")
    page.get_by_role("button", name="map.png").first.click()
    expect(page.locator(".opblock.is-open")).to_have_count(1)
    page.get_by_role("button", name="Try it out").click()
    page.set_input_files(".opblock.is-open input[type=file]", glioma)
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".opblock.is-open .live-responses-table .response-col_status").last).to_contain_text("200")


def _photo(path: Path) -> None:
    """No brain: coloured stripes and noise, as in a snapshot of cloth."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:300, 0:400]
    stripes = 127 + 90 * np.sin(rows / 9 + columns / 23)
    picture = np.stack([stripes, 255 - stripes, 0.5 * stripes], axis=-1) + rng.normal(0, 20, (300, 400, 3))
    cv2.imwrite(str(path), np.clip(picture, 0, 255).astype(np.uint8))
