"""``explore.ipynb`` in a real JupyterLab: a control is changed and its view follows, without a word to another host."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from cnnprof_lib.records.store import Store
from tests.builders import make_record, write_run

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
SLOW_MS = 60_000
STEPS_S = ((0.05,) * 5,) * 20  # as many as the preset "quick" times


STOPWATCH = """expected => {
  window.answered = new Promise(done => {
    let changed;
    for (const kind of ["change", "click"])
      document.addEventListener(kind, () => { changed ??= performance.now(); }, {capture: true, once: true});
    const tabs = document.querySelector(".widget-tab");
    const watch = new MutationObserver(() => {
      if (![...tabs.querySelectorAll("svg")].some(svg => svg.textContent.includes(expected))) return;
      watch.disconnect();
      requestAnimationFrame(() => done((performance.now() - changed) / 1000));
    });
    watch.observe(tabs, {childList: true, subtree: true});
  });
}"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    port: int
    token: str

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}/{path}?token={self.token}", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a project of made-up runs, with settings, port and token of its own."""
    project, own = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("jupyter")
    (project / "params").mkdir()
    (project / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "explore.ipynb", project / "notebooks")
    store = Store(project / "outputs")
    for runtime in ("unfused", "stock"):
        for variant in ("baseline", "stride2", "stride5"):
            write_run(store, make_record(variant, runtime, plain_s=STEPS_S))

    with socket.socket() as free:
        free.bind((HOST, 0))
        started = Lab(free.getsockname()[1], secrets.token_hex(16))
    settings = own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"checkForUpdates": false, "fetchNews": "false"}')
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = {
        **os.environ,
        **{name: str(own / folder) for name, folder in {**folders, "IPYTHONDIR": "ipython"}.items()},
        "PYTHONPATH": str(ROOT),
    }
    options = [
        *("--no-browser", "--allow-root", f"--ServerApp.ip={HOST}", f"--ServerApp.port={started.port}"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={started.token}"),
        *(f"--ServerApp.root_dir={project}", f"--LabApp.user_settings_dir={own / 'settings'}"),
        f"--LabApp.workspaces_dir={own / 'workspaces'}",
    ]
    with (own / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], cwd=project, env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(started, server, own / "log")
            yield started
        finally:
            server.terminate()  # and with it its kernels
            server.wait(timeout=60)


def wait_for(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text()
        try:
            lab.get("api/status")
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer.\n{log.read_text()}")


class Explored:
    """The notebook after all of its cells were run, what the page asked for and what it complained of."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(SLOW_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{lab.address}/lab/tree/notebooks/explore.ipynb?token={lab.token}")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()
        self.view.locator("svg").wait_for()
        page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output table").wait_for()

    @property
    def view(self) -> Locator:
        """The tab in sight."""
        return self.page.locator(".widget-tab-contents > .widget-vbox:visible")

    def open(self, title: str) -> None:
        self.page.get_by_role("tab", name=title, exact=True).click()

    def choose(self, label: str, value: str) -> Callable[[], object]:
        """What picks a value in a list of the tab in sight."""
        row = self.view.locator(".widget-dropdown", has_text=label).first
        return lambda: row.locator("select").select_option(label=value)

    def press(self, label: str) -> Callable[[], object]:
        """What presses a button of the tab in sight."""
        return self.view.get_by_role("button", name=label, exact=True).click

    def answer_s(self, change: Callable[[], object], expected: str) -> float:
        """Seconds in the browser from the change of a control until the figure that says what is expected is there."""
        assert self.view.locator("svg", has_text=expected).count() == 0
        self.page.evaluate(STOPWATCH, expected)
        change()
        return float(self.page.evaluate("window.answered"))


@pytest.fixture(scope="module")
def explored(lab: Lab, browser: Browser) -> Iterator[Explored]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    yield Explored(context.new_page(), lab)
    context.close()


def test_a_changed_control_changes_figure_and_call(explored: Explored) -> None:
    explored.open("Side by side")
    changes = [
        ("other variant", explored.choose("Other", "stride2"), "From baseline to stride2: -"),
        ("variant", explored.choose("Variant", "stride5"), "From stride5 to stride2: +"),
        ("runtime", explored.choose("Runtime", "stock"), "From stride5 · stock to stride2 · unfused: +"),
        ("bytes", explored.press("requested bytes"), "requested bytes per step [MB]"),
        ("layer", explored.press("layer"), "softmax_linear"),
        ("share", explored.press("share"), "share of a step's requested bytes [%]"),
    ]
    for name, change, expected in changes:
        print(f"{name:14}  {explored.answer_s(change, expected):.3f} s")
    call = explored.view.locator("pre")
    expect(call).to_contain_text('value="requested_bytes",\n    by="layer",\n    share=True,')
    expect(call).to_contain_text('study.nodes("stride5", "stock", ')


def test_every_view_is_drawn_when_its_tab_is_opened(explored: Explored) -> None:
    for title, text in (
        ("Waterfall", "were not run alike: runtime (stock / unfused)"),
        ("One run", "stride5 · stock"),
        ("All variants", "What a step is made of, stock"),
        ("Steps", "Steps of stride5, stock"),
        ("Network", "softmax_linear"),
        ("Nodes", "conv2/Conv2D"),
    ):
        explored.open(title)
        expect(explored.view).to_contain_text(text)
        expect(explored.view.locator("pre")).to_contain_text("study.")
        width = explored.view.evaluate("element => [element.scrollWidth, element.clientWidth]")
        assert width[0] <= width[1], f"{title} is cut off at the right"


def test_nodes_are_filtered_by_what_is_typed_under_a_header(explored: Explored) -> None:
    explored.open("Nodes")
    rows = explored.view.locator("table.dataTable tbody tr")
    assert rows.count() > 2
    explored.view.get_by_placeholder("layer").press_sequentially("norm")
    expect(rows).to_have_count(2)
    assert explored.view.locator("table.dataTable tbody td:nth-child(3)").all_inner_texts() == ["LRN", "LRN"]


def test_the_call_that_is_shown_works_in_a_cell_of_ones_own(explored: Explored) -> None:
    explored.open("Steps")
    call = explored.view.locator("pre").inner_text()
    page = explored.page
    last = page.locator(".jp-Notebook .jp-CodeCell").last
    last.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(call + ";")
    page.keyboard.press("Control+Enter")
    expect(last.locator(".jp-RenderedSVG img")).to_be_visible()


def test_nothing_is_complained_of_and_no_other_host_is_asked(explored: Explored, lab: Lab) -> None:
    explored.page.wait_for_load_state("networkidle")
    own = (f"{lab.address}/", f"ws://{HOST}:{lab.port}/", "data:", f"blob:{lab.address}/")
    assert explored.requests
    assert [url for url in explored.requests if not url.startswith(own)] == []
    assert explored.errors == []


def test_the_export_menu_has_the_reports_formats(lab: Lab) -> None:
    formats = lab.get("api/nbconvert")
    assert {"cnnprof_html", "cnnprof_pdf"} <= set(formats)
    assert formats["cnnprof_pdf"]["output_mimetype"] == "application/pdf"
