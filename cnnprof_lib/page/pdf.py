"""The nbconvert exporter ``cnnprof-pdf`` (in menus ``cnnprof_pdf``): a notebook on paper, by Python packages alone.

Pandoc (package pypandoc_binary) turns the page's HTML into Typst's markup, and Typst (package typst) sets it, with
fonts it brings along and, for characters that these do not have, the system's. Both come with the extra
``cnnprof[pdf]``.
"""

from __future__ import annotations

import base64
import importlib.util
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import Tag
from nbformat import NotebookNode
from traitlets import default

from .. import __version__
from ..base.errors import ReportError
from ..base.units import plural
from . import arrange as page
from . import paper_tables
from .html import TEMPLATES, CommandLinePageExporter, PageExporter
from .pictures import Picture

NEEDED = ("pypandoc", "typst")
HOW_TO_GET = "The PDF needs the extra cnnprof[pdf]. Install it: make setup, or pip install -e '.[pdf]'"

_SHAPELESS = re.compile(r'the text `"(.+?)"` could not be displayed')
_NAMED_CHARACTERS = 20

_LEFT_OUT = "details:not(:has(table)), summary, script, style, nav"


def is_available() -> bool:
    """Whether the extra is installed."""
    return all(importlib.util.find_spec(name) for name in NEEDED)


class PaperExporter(PageExporter):
    """A title page, contents, and what the page for the browser shows, under the same numbers; no code."""

    export_from_notebook = "Report (PDF)"
    output_mimetype = "application/pdf"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".pdf"

    @default("exclude_input")
    def _exclude_input_default(self) -> bool:
        return True

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The pages as the bytes of a PDF file; ``resources`` as nbconvert returns them.

        Raises:
            ReportError: the extra is not installed, or Typst refuses the text.
        """
        if not is_available():
            raise ReportError(HOW_TO_GET)
        soup, figures, resources = self.document(nb, resources, **kw)
        return typeset(soup, figures, subtitle_of(nb)), resources


class CommandLinePaperExporter(CommandLinePageExporter, PaperExporter):
    """The same as ``cnnprof-pdf``, for ``jupyter nbconvert --to``."""


def typeset(soup: BeautifulSoup, figures: Sequence[Picture], subtitle: str) -> bytes:
    """The pages of what `PageExporter.document` returned, whose soup is used up by it.

    Raises:
        ReportError: Typst refuses the text.
    """
    prepare_for_paper(soup, subtitle)
    with tempfile.TemporaryDirectory(prefix="cnnprof-") as name:
        folder = Path(name)
        for number, figure in enumerate(figures):
            (folder / f"{number}.svg").write_text(figure.svg, encoding="utf-8")
        _write_images(soup, folder)
        (folder / "report.typ").write_text(markup(soup), encoding="utf-8")
        return _compiled(folder / "report.typ")


def subtitle_of(nb: NotebookNode) -> str:
    """What made the notebook's outputs, and the day they were made, if papermill noted it."""
    day = nb.metadata.get("papermill", {}).get("end_time", "")[:10]
    return ", ".join(filter(None, (f"cnnprof {__version__}", day)))


def prepare_for_paper(soup: BeautifulSoup, subtitle: str) -> None:
    """Leaves of an arranged page what paper shows.

    Code and folded text go, folded tables are opened; headings move a level up, since the first becomes the title.
    """
    title = page.title_of(soup)
    for tag in soup.select(_LEFT_OUT):
        tag.decompose()
    if title and soup.h1:
        soup.h1.decompose()
    if soup.title:
        soup.title.string = title or soup.title.get_text()
        soup.title.insert_after(soup.new_tag("meta", attrs={"name": "subtitle", "content": subtitle}))
    for tag in soup.find_all(page.HEADINGS):
        tag.name = f"h{max(1, int(tag.name[1]) - 1)}"
    for tag in soup.find_all(["div", "details"]):
        tag.unwrap()
    for image in soup.find_all("img", attrs={"data-picture": True}):
        image["src"] = f"{image['data-picture']}.svg"
    for table in soup.find_all("table"):
        for part in paper_tables.split(table):
            paper_tables.give_widths(soup, part)
            _prepare_table(soup, part)


def _prepare_table(soup: BeautifulSoup, table: Tag) -> None:
    """Says in the markup what a table's style sheet says, which Pandoc does not read."""
    rows = table.select("tbody > tr")
    texts = [_has(cell, "text") for cell in rows[0].find_all("td")] if rows else []
    if not any(texts):
        return
    headers = table.select("thead > tr")
    for row in [*headers[-1:], rows[0]]:
        for cell, is_text in zip(row.find_all(["td", "th"]), texts, strict=False):
            cell["style"] = f"text-align: {'left' if is_text else 'right'}"
    for row in headers[:-1]:
        for cell in row.find_all("th"):
            cell["style"] = "text-align: center"
    for cell in table.find_all("th"):
        _emphasise(soup, cell, "strong")
    for cell in table.find_all("td"):
        if _has(cell, "closing"):
            _emphasise(soup, cell, "em")


def _has(cell: Tag, name: str) -> bool:
    return name in cell.get_attribute_list("class")


def _emphasise(soup: BeautifulSoup, cell: Tag, name: str) -> None:
    emphasis = soup.new_tag(name)
    emphasis.extend(list(cell.contents))
    cell.append(emphasis)


def _write_images(soup: BeautifulSoup, folder: Path) -> None:
    """Makes files of the images in the text; one that lies elsewhere is left out, its description stays."""
    for number, image in enumerate(soup.find_all("img", attrs={"data-picture": False})):
        source = str(image.get("src", ""))
        if found := re.match(r"data:image/(png|jpeg);base64,", source):
            image["src"] = f"image-{number}.{found[1]}"
            (folder / str(image["src"])).write_bytes(base64.b64decode(source[found.end() :]))
        else:
            image.replace_with(str(image.get("alt", "")))


def markup(soup: BeautifulSoup) -> str:
    """A prepared page in the language of Typst."""
    import pypandoc

    template = TEMPLATES / "paper" / "report.typ"
    # In its sandbox Pandoc opens no file and no address, whatever the text names.
    options = ["--sandbox", "--wrap=none", f"--template={template}"]
    return str(pypandoc.convert_text(str(soup), "typst", format="html", extra_args=options))


def _compiled(source: Path) -> bytes:
    """The file; where no font has a character, its title page says that boxes stand for it."""
    import typst

    try:
        # The archival standard forbids characters without a shape, so that Typst names them.
        return typst.compile(source, format="pdf", pdf_standards="a-2b")
    except typst.TypstError as error:
        shapeless = _code_points("".join(dict.fromkeys(_SHAPELESS.findall(error.diagnostic))))
    try:
        return typst.compile(source, format="pdf", sys_inputs={"shapeless": shapeless})
    except typst.TypstError as error:
        raise ReportError(f"Typst refuses the report: {error.message}") from error


def _code_points(text: str) -> str:
    """The characters by their numbers, the first of many: ``U+65E5, U+672C and 3 others``.

    Args:
        text: As Typst quotes it, with some characters escaped as in Rust.
    """
    letters = re.sub(r"\\u\{(\w+)\}", lambda found: chr(int(found[1], 16)), text)
    numbers = [f"U+{ord(letter):04X}" for letter in letters]
    more = len(numbers) - _NAMED_CHARACTERS
    return ", ".join(numbers[:_NAMED_CHARACTERS]) + (f" and {more} {plural(more, 'other')}" if more > 0 else "")
