"""The report in a real browser: it asks for nothing, says nothing on the console, fits a phone, sorts and tells."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from cnnprof_lib.app.report import render
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.store import Store
from tests.builders import make_accuracy, make_failure, make_record, write_run

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
CUT = """() => {
  document.querySelectorAll("details").forEach(details => { details.open = true; });
  const cut = [];
  for (const shown of document.querySelectorAll("main table, main svg:not(.shared), main pre, main img")) {
    const box = shown.closest(".scroll") ?? shown;
    const ends = [[0, "left"], [box.scrollWidth, "right"]].map(([place, side]) => {
      box.scrollLeft = place;
      return (box === shown ? box : shown).getBoundingClientRect()[side];
    });
    const {left, right} = box.getBoundingClientRect();
    const name = shown.id || shown.tagName, hidden = box.scrollWidth > box.clientWidth;
    const isReached = left >= 0 && right <= innerWidth && ends[0] >= left - 1 && ends[1] <= right + 1;
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
    if (!isReached || (hidden && !scrolls)) cut.push(name);
    box.scrollLeft = 0;
  }
  return cut;
}"""
"""Names of what does not come whole into the window, however its box is scrolled."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on made-up runs, one of them of a variant that tries to run a script."""
    outputs = tmp_path_factory.mktemp("outputs")
    for trained in (ROOT / "outputs" / "reference").rglob("training.json"):
        copy = outputs / trained.relative_to(ROOT / "outputs")
        copy.parent.mkdir(parents=True)
        shutil.copy(trained, copy)
    store = Store(outputs)
    hostile = make_record("stride2").variant.model_copy(update={"title": HOSTILE})
    for runtime in ("unfused", "stock"):
        write_run(store, make_record("baseline", runtime, accuracy=make_accuracy(8600)))
        write_run(store, make_record(hostile, runtime, accuracy=make_accuracy(7960)))
    store.write_failure(make_failure("stride3", error=HOSTILE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        render(Project(ROOT, outputs))
    return outputs / "report" / "report.html"


class Watched:
    """A page, what it asked for and got besides itself, and what it wrote on the console."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.requests: list[str] = []
        self.answers: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfinished", lambda request: self.answers.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.goto(file.as_uri())
        self.requests.remove(file.as_uri())
        self.answers.remove(file.as_uri())

    def width(self) -> int:
        """What the page takes, in pixels, scrolled out of sight or not."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture
def desktop(browser: Browser, report: Path) -> Iterator[Watched]:
    context = browser.new_context(viewport=DESKTOP)
    yield Watched(context.new_page(), report)
    context.close()


@pytest.fixture
def phone(browser: Browser, report: Path) -> Iterator[Watched]:
    context = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    yield Watched(context.new_page(), report)
    context.close()


def test_the_report_is_one_small_file(report: Path) -> None:
    assert report.stat().st_size < 5_000_000


def test_nothing_is_asked_for_nor_said_nor_executed(desktop: Watched, phone: Watched) -> None:
    for watched in (desktop, phone):
        watched.page.wait_for_load_state("networkidle")
        assert (watched.requests, watched.said) == ([], [])
        assert watched.page.title().startswith("What each operation of a small CNN costs")
        assert HOSTILE in watched.page.inner_text("main")


def test_a_script_that_did_get_in_is_not_executed(browser: Browser, report: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text(encoding="utf-8").replace("<main>", f"<main>{HOSTILE}"), encoding="utf-8")
    page = browser.new_page()
    watched = Watched(page, broken)
    assert page.title().startswith("What each operation")
    assert watched.answers == []
    assert len(watched.said) == 3  # the browser reports the script, the image and its handler that it refused
    page.close()


def test_the_page_is_as_wide_as_the_screen(desktop: Watched, phone: Watched) -> None:
    assert (desktop.width(), phone.width()) == (DESKTOP["width"], PHONE["width"])


@pytest.mark.parametrize("width", [1280, 1279, 1000, 400])
def test_nothing_is_cut_that_cannot_be_scrolled_to(browser: Browser, report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(report.as_uri())
    assert page.locator("table").count() > 10
    assert page.evaluate(CUT) == []
    page.close()


def test_the_widest_tables_fit_a_window_of_a_small_laptop(desktop: Watched) -> None:
    """But for the first, which is as wide as the longest word in the error of a failed run."""
    wider = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText.slice(0, 40))"
    assert desktop.page.locator("#T_recipes").count() == 1  # the widest
    assert desktop.page.locator(".scroll:not(:has(#T_overview))").evaluate_all(wider) == []


def test_contents_are_open_beside_the_text_and_folded_above_it(desktop: Watched, phone: Watched) -> None:
    assert desktop.page.get_by_role("link", name="All variants").is_visible()
    assert not phone.page.get_by_role("link", name="All variants").is_visible()
    phone.page.get_by_text("Contents").tap()
    phone.page.get_by_role("link", name="All variants").tap()
    assert phone.page.url.endswith("#All-variants")


def test_code_opens_on_a_click(desktop: Watched) -> None:
    code = desktop.page.locator("details.code", has_text="report.overview")
    assert not code.locator("pre").is_visible()
    code.locator("summary").click()
    assert code.locator("pre").is_visible()


def column(page: Page, table: str, number: int) -> list[str]:
    return page.locator(f"{table} tbody tr td:nth-child({number})").all_inner_texts()


def test_a_click_sorts_by_what_numbers_mean_and_sums_stay_last(desktop: Watched) -> None:
    page, table = desktop.page, "figure.table:has-text('Ops of baseline, unfused') table"
    header = page.locator(f"{table} th:text-is('bytes')")
    header.click()
    bytes_down = column(page, table, 6)
    assert bytes_down[:5] == ["30.32MB", "23.59MB", "9.44MB", "5.90MB", "885.25KB"]
    assert column(page, table, 1)[-2:] == ["unattributed", "profiled step"]
    assert header.get_attribute("aria-sort") == "descending"
    header.press("Enter")
    assert column(page, table, 6)[:-2] == bytes_down[-3::-1]
    assert column(page, table, 1)[-2:] == ["unattributed", "profiled step"]


def test_texts_sort_by_letter_and_gaps_stay_below(desktop: Watched) -> None:
    page, table = desktop.page, "#T_overview"
    page.locator(table).get_by_role("columnheader", name="variant").click()
    names = column(page, table, 1)
    assert names == sorted(names)
    page.locator(table).get_by_role("columnheader", name="parameters").click()
    assert column(page, table, 8) == ["1,068,298", "1,068,298", "281,866", "281,866", "–"]
    page.locator(table).get_by_role("columnheader", name="parameters").click()
    assert column(page, table, 8) == ["281,866", "281,866", "1,068,298", "1,068,298", "–"]


def test_bars_tell_their_numbers_when_tapped(phone: Watched) -> None:
    bar = phone.page.locator("svg g:has(> title)").first
    told = bar.locator("title").text_content()
    assert told is not None
    assert told.startswith("baseline, Conv2D: ")
    assert told.endswith(" ms")
    bar.locator("path").tap()
    assert phone.page.locator("#said").inner_text() == told
    phone.page.locator("h1").first.tap()
    assert phone.page.locator("#said").count() == 0


def test_it_is_whole_without_its_script(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.get_by_role("link", name="All variants").is_visible()
    assert page.locator("#T_overview").is_visible()
    context.close()
