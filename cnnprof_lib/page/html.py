"""The nbconvert exporter ``cnnprof-html`` (in menus ``cnnprof_html``): a notebook as one file that fetches nothing."""

from __future__ import annotations

import base64
import copy
import hashlib
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import Comment
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets import default

from . import arrange as page
from . import pictures
from .pictures import Picture

TEMPLATES = Path(__file__).parents[1] / "templates"

_SVG = "image/svg+xml"


class PageExporter(HTMLExporter):
    """A page with contents, numbered figures and tables, tables to sort, code to unfold.

    Its content security policy forbids the browser every request and every script but the page's own: whatever a
    notebook shows, nothing of it is executed and nothing is fetched.
    """

    export_from_notebook = "Report (HTML)"

    @default("template_name")
    def _template_name_default(self) -> str:
        return "cnnprof"

    @default("template_extension")
    def _template_extension_default(self) -> str:
        return ".html.j2"

    @default("extra_template_basedirs")
    def _extra_template_basedirs_default(self) -> list[str]:
        return [str(TEMPLATES)]

    @default("exclude_anchor_links")
    def _exclude_anchor_links_default(self) -> bool:
        return True  # `page.arrange` gives headings their ids

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The page as text; ``resources`` as nbconvert returns them."""
        soup, figures, resources = self.document(nb, resources, **kw)
        return written(soup, figures), resources

    def document(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[BeautifulSoup, list[Picture], dict[str, Any]]:
        """The page arranged, with ``<img data-picture="0">`` in place of each figure, and the figures.

        They are kept apart since parsing their shapes as HTML takes seconds.
        """
        nb, figures = _take_figures(nb)
        text, resources = super().from_notebook_node(nb, {**(resources or {}), **_script()}, **kw)
        soup = BeautifulSoup(text, "html.parser")
        page.arrange(soup)
        return soup, figures, resources


class CommandLinePageExporter(PageExporter):
    """The same as ``cnnprof-html``, for ``jupyter nbconvert --to``.

    Jupyter Server admits no hyphen in the name of an exporter: it lists such a name in JupyterLab's menu and then
    answers 404. There the exporter is disabled, and the menu has ``cnnprof_html`` alone.
    """

    @default("enabled")
    def _enabled_default(self) -> bool:
        return "jupyter_server.serverapp" not in sys.modules


def written(soup: BeautifulSoup, figures: Sequence[Picture]) -> str:
    """The page as text, of what `PageExporter.document` returned, which is used up by it."""
    page.box(soup)
    svgs, shared = pictures.share_definitions(figures)
    for image in soup.find_all("img", attrs={"data-picture": True}):
        image.replace_with(Comment(_token(image["data-picture"])))
    text = str(soup).replace("<main>", f"{shared}<main>", 1)
    for number, svg in enumerate(svgs):
        text = text.replace(f"<!--{_token(number)}-->", svg)
    return text


def _script() -> dict[str, str]:
    """The page's script and its hash, by which the page lets no other run."""
    script = (TEMPLATES / "cnnprof" / "page.js").read_text(encoding="utf-8")
    return {"script": script, "script_sha256": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}


def _take_figures(nb: NotebookNode) -> tuple[NotebookNode, list[Picture]]:
    """A copy of the notebook with an HTML element in place of each SVG, and the SVGs."""
    nb = copy.deepcopy(nb)
    # What papermill put in is no part of the text, and names folders of the machine.
    nb.cells = [cell for cell in nb.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    found: list[Picture] = []
    outputs = (output for cell in nb.cells for output in cell.get("outputs", []))
    for data in (output["data"] for output in outputs if _SVG in output.get("data", {})):
        picture = pictures.read(data[_SVG])
        data.clear()
        data["text/html"] = _figure(picture, len(found))
        found.append(picture)
    return nb, found


def _figure(picture: Picture, number: int) -> str:
    place = f' id="F_{escape(picture.key)}"' if picture.key else ""
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    image = f'<img data-picture="{number}" alt="{escape(picture.caption)}">'
    return f'<figure class="picture"{place}><div class="scroll">{image}</div>{caption}</figure>'


def _token(number: object) -> str:
    return f"picture {number}"
