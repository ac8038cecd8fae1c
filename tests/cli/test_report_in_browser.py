"""The page of the report in a browser: it opens, folds, points out, hides, prints and is accessible.

The browser is Chromium of the system, found on the path or named by ``NWBSWITCH_BROWSER``; nothing is
downloaded.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from importlib.resources import files as package_files
from pathlib import Path

import pytest
from report_material import HOSTILE, add_replication, add_tables, results_folder

from nwbswitch.analysis.reporting.report import report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Chromium looks for news, models and components unless it is told not to.
_SILENT = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    named = os.environ.get("NWBSWITCH_BROWSER")
    found = next(filter(None, map(shutil.which, [named] if named else _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here: install the package chromium, or name one in NWBSWITCH_BROWSER")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=list(_SILENT))
        yield started
        started.close()


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    folder = results_folder(tmp_path_factory.mktemp("full"), neurons=12)
    return report(add_tables(folder), folder / "report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    folder = results_folder(tmp_path_factory.mktemp("hostile"), neurons=12, name=HOSTILE)
    add_replication(add_tables(folder), name=HOSTILE)
    return report(folder, folder / "report.html")


@pytest.fixture
def opened(browser):
    """Open a page of a given width; fail when it logs an error or asks for anything but itself."""
    said: list[str] = []
    contexts = []

    def open_page(path: Path, *, width: int = 1280, script: bool = True):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, java_script_enabled=script, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append("a dialog opened"), dialog.dismiss()))
        address = path.as_uri()
        page.on("request", lambda request: said.append(request.url) if request.url != address else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def _axe() -> str:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return package_files(axe.__name__).joinpath("axe.min.js").read_text(encoding="utf-8")


def _serious_faults(page) -> list[str]:
    page.evaluate(_axe())
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        f"{each['id']}: {each['help']} {[node['target'] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_the_first_screen_needs_no_scrolling(opened, full) -> None:
    page = opened(full)
    for words in ("h1", ".facts", ".plan", ".first svg"):
        box = page.locator(words).first.bounding_box()
        assert box["y"] + box["height"] <= 800, words
    assert not page.locator("details[open]").count()


def test_parts_open_by_click_and_by_key(opened, full) -> None:
    page = opened(full)
    first = page.locator("details.part").first
    first.locator("summary").first.click()
    assert first.evaluate("part => part.open")
    page.keyboard.press("Enter")
    assert not first.evaluate("part => part.open")
    button = page.get_by_role("button", name="Open all")
    button.click()
    assert page.locator("details:not([open])").count() == 0
    page.get_by_role("button", name="Close all").click()
    assert page.locator("details[open]").count() == 0


def test_an_animal_under_the_pointer_is_shown_in_every_figure_with_its_numbers(opened, full) -> None:
    page = opened(full)
    page.get_by_role("button", name="Open all").click()
    marks = page.locator(".first svg [data-animal='m03']")
    marks.last.locator("use").hover()
    card = page.locator(".card")
    assert card.is_visible()
    assert "m03" in card.inner_text()
    assert "ketamine: ρ* " in card.inner_text()
    pointed = page.locator("svg.pointed").count()
    assert pointed >= 8
    assert page.locator("svg.pointed [data-animal='m03'].on").count() >= 2 * pointed
    assert page.locator("[data-animal='m02'].on").count() == 0
    other = page.locator("svg.pointed [data-animal='m02']").first
    assert float(other.evaluate("mark => getComputedStyle(mark).opacity")) < 1
    page.mouse.move(5, 5)
    assert card.is_hidden()
    assert page.locator("svg.pointed").count() == 0


def test_an_animal_can_be_pointed_out_and_held_without_a_pointer(opened, full) -> None:
    page = opened(full)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "m02":
            break
    assert page.locator(".card").inner_text().startswith("m02")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.get_by_role("button", name="m02").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.locator(".card").is_hidden()
    assert page.locator("[aria-pressed='true']").count() == 0


def test_a_cell_type_can_be_hidden(opened, full) -> None:
    page = opened(full)
    page.locator("#neurons summary").click()
    own = page.locator("#neurons figure[data-cell-type='PV']")
    assert own.count() == 2
    assert own.first.is_visible()
    page.get_by_role("checkbox", name="PV").uncheck()
    assert own.first.is_hidden()
    assert page.locator("#neurons figure[data-cell-type='excitatory']").first.is_visible()
    page.get_by_role("checkbox", name="PV").check()
    assert own.first.is_visible()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_reaches_beyond_the_screen(opened, full, width) -> None:
    page = opened(full, width=width)
    page.get_by_role("button", name="Open all").click()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width


def test_text_in_figures_can_be_read_on_a_telephone(opened, full) -> None:
    page = opened(full, width=390)
    page.get_by_role("button", name="Open all").click()
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure svg text')].map(text => {"
        "const scale = text.getScreenCTM();"
        "return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(scale.a, scale.b)})"
    )
    assert len(sizes) > 100
    assert min(sizes) >= 8.5


@pytest.mark.parametrize("script", [True, False])
def test_print_is_complete(opened, full, tmp_path, script) -> None:
    """Also without the script: what is folded on the screen is there on paper, figures whole."""
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed")
    page = opened(full, script=script)
    if script:
        page.get_by_role("checkbox", name="PV").uncheck()
        page.get_by_role("button", name="m02").click()
    paper = tmp_path / "report.pdf"
    page.pdf(path=paper, format="A4")
    document = pdfium.PdfDocument(paper)
    text = "\n".join(sheet.get_textpage().get_text_bounded() for sheet in document)
    text = " ".join(text.split())
    for words in (
        "Why this verdict",
        "Not enough animals for a verdict?",
        "motion in more than half of the frames",
        "Excess remapping M",
        "ketamine, PV",
        "specifications, in order of the estimate",
        "Anscombe FJ",
        "all animals",
    ):
        assert words in text, words
    assert "Open all" not in text
    assert "Point out an animal" not in text
    assert 5 < len(document) < 40


def test_a_page_without_script_is_whole(opened, full) -> None:
    page = opened(full, script=False)
    assert page.locator(".tools").is_hidden()
    part = page.locator("#controls")
    part.locator("summary").click()
    assert part.get_by_text("N1 (pseudo-injection").is_visible()


def test_names_that_try_to_break_out_are_shown_as_they_are(opened, hostile) -> None:
    page = opened(hostile)
    assert page.title() != "taken"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert f"{HOSTILE}ketamine" in page.locator("h2").first.inner_text()
    page.get_by_role("button", name="Open all").click()
    buttons = page.locator(".animals button")
    assert buttons.count() == 6
    assert buttons.first.inner_text() == f"{HOSTILE}m01"
    buttons.first.hover()
    assert page.locator(".card").inner_text().startswith(f"{HOSTILE}m01")
    assert page.locator("svg.pointed").count() >= 8
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_several_data_sets_have_a_page_of_their_own(opened, tmp_path) -> None:
    folder = add_replication(tmp_path / "several")
    page = opened(report(folder, tmp_path / "r.html"), width=390)
    assert page.locator("h1").inner_text().startswith("The same verdict in all 4 data sets")
    page.get_by_role("button", name="Open all").click()
    assert page.get_by_text("no saline in the same study").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert _serious_faults(page) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_serious_fault(opened, full, width) -> None:
    page = opened(full, width=width)
    assert _serious_faults(page) == []
    page.get_by_role("button", name="Open all").click()
    assert _serious_faults(page) == []


def test_axe_finds_a_fault_that_is_put_in(opened, full) -> None:
    page = opened(full)
    page.evaluate("document.documentElement.removeAttribute('lang')")
    page.evaluate("document.querySelector('.first svg').removeAttribute('aria-label')")
    found = " ".join(_serious_faults(page))
    assert "html-has-lang" in found
    assert "svg-img-alt" in found


def test_headings_are_in_order(opened, full) -> None:
    page = opened(full)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => +each.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.locator("figure svg:not([aria-label])").count() == 0
    assert page.locator("th:not([scope])").count() == 0
