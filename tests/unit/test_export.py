"""Notebooks as pages: what is numbered, what is folded, what hovering tells, and that nothing foreign is executed."""

from __future__ import annotations

import io
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbconvert.exporters.base
import nbformat
import pandas as pd
import pytest
import typst
from bs4 import BeautifulSoup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from nbconvert.exporters import get_export_names, get_exporter
from pandas.io.formats.style import Styler

from cnnprof_lib.analysis import frames
from cnnprof_lib.analysis.profile import numbers as profile
from cnnprof_lib.analysis.profile import shown as profile_shown
from cnnprof_lib.analysis.profile import shown_tables as profile_tables
from cnnprof_lib.app import report
from cnnprof_lib.base.errors import ReportError
from cnnprof_lib.page import arrange as page
from cnnprof_lib.page import hover, pdf, pictures, style
from cnnprof_lib.page import table as styled
from cnnprof_lib.page.html import CommandLinePageExporter, PageExporter
from cnnprof_lib.page.pdf import CommandLinePaperExporter, PaperExporter
from cnnprof_lib.page.table import beside
from tests.builders import Node, make_record

ROOT = Path(__file__).parents[2]
HOSTILE = '<script>alert(1)</script>"&'
PNG = (  # of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
NODES = (Node("Conv2D", "conv1", 0.006), Node("Relu", "conv1", 0.00125))


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use_style()
        yield
    plt.close("all")


@contextmanager
def drawn() -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on; afterwards the list holds the figure as SVG."""
    figure, ax = plt.subplots()
    svg: list[str] = []
    yield ax, svg
    svg.append(svg_of(figure))


def svg_of(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def bars(title: str = "Bars") -> str:
    figure, ax = plt.subplots()
    ax.bar(["a", "b"], [1, 2])
    ax.set(title=title, ylabel="time [s]")
    return svg_of(figure)


def titles_of(svg: str) -> list[str]:
    return [title.get_text() for title in BeautifulSoup(svg, "html.parser").find_all("title")]


# Hovering


def test_bars_of_a_figure_say_their_numbers() -> None:
    times = frames.ops([make_record(nodes=NODES, unattributed_s=0.002)])
    with drawn() as (ax, svg):
        profile_shown.op_times_figure(times, ax=ax)
    assert titles_of(pictures.read(svg[0]).svg) == [
        "baseline, Conv2D: 6 ms",
        "baseline, Relu: 1.25 ms",
        "baseline, unattributed: 2 ms",
    ]


def test_bars_of_every_kind_are_told() -> None:
    with drawn() as (ax, svg):
        ax.bar(["a", "b"], [1234.5678, 0], label="stock")
        ax.bar(["a", "b"], [-0.5, float("nan")])
        ax.set_ylabel("size [MB]")
    with drawn() as (ax, plain):
        ax.barh([3, 7], [1, 2])
    with drawn() as (ax, named):
        ax.barh([0.2, 1.2], [1, 2])
        ax.set_yticks([0, 1], ["a", "b"])
    assert titles_of(pictures.read(named[0]).svg) == ["a: 1", "b: 2"]
    assert titles_of(pictures.read(svg[0]).svg) == ["a, stock: 1235 MB", "a: -0.5 MB"]
    assert titles_of(pictures.read(plain[0]).svg) == ["1", "2"]


def test_what_is_told_on_purpose_stays() -> None:
    with drawn() as (ax, svg):
        (bar,) = ax.bar(["a"], [1])
        hover.tell(bar, "one & only <b>")
    assert titles_of(pictures.read(svg[0]).svg) == ["one & only <b>"]


# Pictures


def test_the_caption_is_what_was_set_or_the_titles() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.set_title("What?")
    right.set_title("Where")
    titled = pictures.read(svg_of(figure))
    assert (titled.caption, titled.key) == ("What? Where", "")
    hover.caption(figure, "Both: of all", key="both")
    captioned = pictures.read(svg_of(figure))
    assert (captioned.caption, captioned.key) == ("Both: of all", "both")


def test_a_picture_of_another_library_has_no_caption() -> None:
    other = pictures.read('<svg xmlns="http://www.w3.org/2000/svg"><g id="caption"/></svg>')
    assert (other.caption, other.key) == ("", "")


def test_pictures_share_what_they_define() -> None:
    whole = [pictures.read(bars(title)) for title in ("Bars", "More bars")]
    before = sum(len(picture.svg) for picture in whole)
    svgs, shared = pictures.share_definitions(whole)
    assert sum(map(len, svgs)) + len(shared) < before
    defined = re.findall(r' id="([^"]+)"', shared)
    assert len(set(defined)) == len(defined)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', "".join(svgs)))
    assert used == set(defined)
    assert ' id="' not in "".join(svgs)


def test_pictures_are_alike_in_every_rendering() -> None:
    assert pictures.read(bars()).svg == pictures.read(bars()).svg


# Pages


def arranged(html: str) -> BeautifulSoup:
    soup = BeautifulSoup(html, "html.parser")
    page.arrange(soup)
    return soup


def test_figures_and_tables_are_numbered_apart_and_links_say_the_number() -> None:
    soup = arranged(
        '<a href="#T_a">Table</a> <a href="#F_b">Figure</a> <a href="#T_a">this</a> <a href="#gone">Table</a>'
        "<figure><figcaption>One</figcaption></figure><table><caption>First</caption></table>"
        '<figure id="F_b"><figcaption>Two</figcaption></figure><table id="T_a"><caption>Second</caption></table>'
        "<table></table>"
    )
    assert [caption.get_text() for caption in soup.find_all(["figcaption", "caption"])] == [
        "Figure 1. One",
        "Table 1. First",
        "Figure 2. Two",
        "Table 2. Second",
    ]
    assert [str(link) for link in soup.find_all("a")] == [
        '<a href="#T_a">Table 2</a>',
        '<a href="#F_b">Figure 2</a>',
        '<a href="#T_a">this</a>',
    ]
    assert "</a> Table<figure" in str(soup)


def test_contents_link_to_headings_none_of_which_share_an_id() -> None:
    soup = arranged('<h1>All</h1><h2>Año 1</h2><h3>A b</h3><h2>A b</h2><h4>deep</h4><p id="A-b"></p>')
    assert page.title_of(soup) == "All"
    links = [(entry["class"], entry.a["href"], entry.get_text()) for entry in page.contents(soup).find_all("li")]
    assert links == [
        (["level-2"], "#Año-1", "Año 1"),
        (["level-3"], "#A-b-2", "A b"),
        (["level-2"], "#A-b-3", "A b"),
    ]


def test_a_page_without_headings_has_no_contents() -> None:
    soup = arranged("<p>text</p>")
    assert (page.title_of(soup), list(page.contents(soup))) == ("", [])


# The exporter


def notebook(*outputs: dict[str, str], text: str = "# The title\n\n## Part") -> nbformat.NotebookNode:
    """A notebook of one text and one executed cell."""
    shown = [nbformat.v4.new_output("display_data", data) for data in outputs]
    code = nbformat.v4.new_code_cell("print('<b>')", outputs=shown)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), code])


def exported(*outputs: dict[str, str], text: str = "# The title\n\n## Part") -> BeautifulSoup:
    html, _ = PageExporter().from_notebook_node(notebook(*outputs, text=text))
    return BeautifulSoup(html, "html.parser")


def test_a_page_has_title_contents_folded_code_and_boxed_figures_and_tables() -> None:
    table = pd.DataFrame({"x": [1, 2]}).style.set_caption("Numbers")
    soup = exported({"image/svg+xml": bars(), "text/plain": "<Figure>"}, {"text/html": beside(("Both", table))})
    assert soup.title.get_text() == "The title"
    assert [link.get_text() for link in soup.nav.find_all("a")] == ["Part"]
    (code,) = soup.find_all("details", class_="code")
    assert not code.has_attr("open")
    assert "print('<b>')" in code.get_text()
    picture, boxed = soup.find_all("figure")
    assert picture.find_all("title")[0].get_text() == "a: 1 s"
    assert picture.figcaption.get_text() == "Figure 1. Bars"
    assert boxed.figcaption.get_text() == "Table 1. Both"
    assert boxed.figcaption.find_next_sibling("div")["class"] == ["scroll"]
    assert boxed.table.caption is None
    assert "&lt;Figure" not in str(soup)


def test_a_page_asks_for_nothing() -> None:
    soup = exported({"image/svg+xml": bars()}, {"text/markdown": "[the paper](https://example.org/)"})
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert soup.find_all(["link", "iframe", "object", "embed"]) == []
    assert [tag for tag in soup.find_all(src=True) if not tag["src"].startswith("data:")] == []
    assert [tag for tag in soup.find_all("use") if not tag["href"].startswith("#")] == []
    assert re.findall(r"url\((?!#)|@import", str(soup)) == []
    assert [link["href"] for link in soup.find_all("a") if not link["href"].startswith("#")] == ["https://example.org/"]


def test_a_page_does_not_name_the_folders_papermill_put_in() -> None:
    nb = notebook()
    code = nbformat.v4.new_code_cell("outputs = '/home/somebody'", metadata={"tags": ["injected-parameters"]})
    nb.cells.insert(1, code)
    page, _ = PageExporter().from_notebook_node(nb)
    assert "somebody" not in page
    assert "somebody" in nb.cells[1].source


def test_nothing_foreign_becomes_an_element() -> None:
    with drawn() as (ax, svg):
        ax.barh([HOSTILE], [1], label=HOSTILE)
        ax.set_title(HOSTILE)
    table = pd.DataFrame({"x": [1]}).style
    soup = exported(
        {"image/svg+xml": svg[0]},
        {"text/html": beside((HOSTILE, table))},
        {"text/plain": HOSTILE},
        text="# A `<script>alert(1)</script>` title",
    )
    assert len(soup.find_all("script")) == 1
    assert soup.title.get_text() == "A <script>alert(1)</script> title"
    assert [caption.get_text() for caption in soup.find_all("figcaption")] == [
        f"Figure 1. {HOSTILE}",
        f"Table 1. {HOSTILE}",
    ]
    assert titles_of(str(soup.figure)) == [f"{HOSTILE}, {HOSTILE}: 1"]


# On paper


def on_paper(*outputs: dict[str, str], text: str = "# The title\n\n## Part") -> str:
    """What Typst is given."""
    soup, _, _ = PaperExporter().document(notebook(*outputs, text=text))
    pdf.prepare_for_paper(soup, "cnnprof, today")
    return pdf.markup(soup)


def test_paper_has_a_title_page_contents_and_no_code() -> None:
    folded = "<details><summary>Long</summary>{}</details>"
    table = pd.DataFrame({"x": ["opened"]}).style.set_caption("Short").to_html()
    markup = on_paper({"text/html": folded.format("<pre>folded</pre>") + folded.format(table)})
    assert "#set document(title: [The title])" in markup
    assert "#text(size: 12pt)[cnnprof, today]" in markup
    assert "#outline(" in markup
    assert "= Part\n<Part>" in markup
    assert "opened" in markup
    assert [word for word in ("print", "folded", "Long") if word in markup] == []


def test_paper_has_the_numbers_of_the_page() -> None:
    table = pd.DataFrame({"x": [1, 2]}).style.set_caption("Numbers").set_uuid("n")
    text = "# T\n\nSee [Table](#T_n), [Figure](#F_f) and [this](#gone)."
    figure = plt.figure()
    hover.caption(figure, "Bars", key="f")
    markup = on_paper({"text/html": table.to_html()}, {"image/svg+xml": svg_of(figure)}, text=text)
    assert "See #link(<T_n>)[Table 1], #link(<F_f>)[Figure 1] and this." in markup
    assert re.findall(r"#strong\[(\w+ \d\.)\] (\w+)", markup) == [("Table 1.", "Numbers"), ("Figure 1.", "Bars")]
    assert re.findall(r"^<(\w+)>$", markup, flags=re.MULTILINE) == ["T_n", "F_f"]
    assert 'image("0.svg")' in markup


def test_columns_stand_on_paper_as_on_the_page_and_closing_rows_in_italics() -> None:
    record = make_record(nodes=NODES, unattributed_s=0.002)
    table = profile_tables.ops_table(profile.by_op(record))
    markup = on_paper({"text/html": table.to_html()})
    assert "align: (left,right,right,right,right,right,right,right,)" in markup
    assert "table.cell(align: center, colspan: 4)[#strong[time per step]]" in markup
    assert "[#emph[profiled step]], [#emph[9.25ms]]" in markup


def test_a_pdf_is_whole_and_has_its_fonts_in_it() -> None:
    picture = {"image/png": PNG}
    text = "# Año de Hernández\n\n![elsewhere](https://example.org/a.png) $x$ #panic() @a <b>"
    content, resources = PaperExporter().from_notebook_node(notebook({"image/svg+xml": bars()}, picture, text=text))
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert resources["output_extension"] == ".pdf"


def pages_of(content: bytes) -> int:
    return len(re.findall(rb"/Type ?/Page\b", content))


def test_a_table_higher_than_a_page_goes_on_on_the_next() -> None:
    def pages(rows: int, text: str) -> int:
        table = pd.DataFrame({"x": [text] * rows, "y": [text] * rows}).style.hide(axis="index")
        content, _ = PaperExporter().from_notebook_node(notebook({"text/html": table.to_html()}))
        return pages_of(content)

    few = 3  # title, contents, text
    assert [pages(10, "short"), pages(150, "short"), pages(10, "long " * 200)] == [few, few + 2, few + 2]


def wide(names: int, numbers: int, group: str = "") -> Styler:
    """A table of texts, then numbers under one header."""
    columns = {f"name{i}": styled.Column(f"name {i}") for i in range(names)}
    columns |= {f"x{i}": styled.Column(f"number {i}", "{:,.0f}".format, group) for i in range(numbers)}
    row = {name: "stride2-filters32" if name.startswith("name") else 1_234_567 for name in columns}
    return styled.styled(pd.DataFrame([row]), columns, caption="Wide", key="wide")


@pytest.mark.parametrize(
    ("names", "numbers", "parts"), [(1, 11, [12]), (1, 17, [10, 9]), (2, 13, [9, 8]), (1, 30, [11, 11, 11])]
)
def test_a_table_wider_than_paper_goes_on_below(names: int, numbers: int, parts: list[int]) -> None:
    for group in ("", "all of them"):
        markup = on_paper({"text/html": wide(names, numbers, group).to_html()})
        assert [int(columns) for columns in re.findall(r"columns: (\d+)", markup)] == parts
        assert markup.count("Table 1.") == markup.count("<T_wide>") == 1
        assert markup.count("1,234,567") == numbers
        assert markup.count("name 0") == len(parts)
        assert [f"number {i}]" in markup for i in range(numbers)] == [True] * numbers
        assert [int(span) for span in re.findall(r"colspan: (\d+)\)\[#strong\[all", markup)] == (
            [columns - names for columns in parts] if group else []
        )


def test_a_table_of_long_texts_has_the_most_room_for_the_longest() -> None:
    texts = {"short": "few words", "long": "many words " * 40, "longer": "many words " * 160}
    table = pd.DataFrame([texts]).style.hide(axis="index").set_caption("Texts")
    markup = on_paper({"text/html": table.to_html()})
    (widths,) = re.findall(r"columns: \((.*?),?\)", markup)
    short, long, longer = (float(width.strip().rstrip("%")) for width in widths.split(","))
    assert short < long < longer < 2.5 * long
    assert short + long + longer == pytest.approx(100, abs=0.1)
    assert [markup.count("few words"), markup.count("many words")] == [1, 200]
    assert "Texts" in markup


def test_nothing_foreign_is_markup_on_paper() -> None:
    hostile = '#panic(1) <script>alert(1)</script> @ref <label> $x$ \\ #import "@preview/x:1.0.0"'
    table = pd.DataFrame({"x": [hostile]}).style.format(escape="html")
    with drawn() as (ax, svg):
        ax.barh([hostile], [1])
        ax.set_title("#panic(1) @ref")
    outputs = {"text/html": beside((hostile, table))}, {"text/plain": hostile}, {"image/svg+xml": svg[0]}
    content, _ = PaperExporter().from_notebook_node(notebook(*outputs, text=f"# A `{hostile}` title"))
    assert content.startswith(b"%PDF-")
    assert "\\#panic(1)" in on_paper(*outputs)


def test_what_no_font_has_is_named_on_the_title_page(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[dict[str, object]] = []
    compile_pages = typst.compile
    monkeypatch.setattr(typst, "compile", lambda source, **how: compiled.append(how) or compile_pages(source, **how))
    PaperExporter().from_notebook_node(notebook(text="# Letters: č – µ Ω"))
    assert [how.get("sys_inputs") for how in compiled] == [None]
    private = "".join(chr(0xF0000 + number) for number in range(22))  # for whoever makes a font to give them a shape
    PaperExporter().from_notebook_node(notebook({"text/plain": private}))
    numbers = ", ".join(f"U+F{number:04X}" for number in range(20))
    assert compiled[-1]["sys_inputs"] == {"shapeless": f"{numbers} and 2 others"}


def test_a_missing_extra_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "NEEDED", ("no_such_package",))
    with pytest.raises(ReportError) as caught:
        PaperExporter().from_notebook_node(notebook())
    assert str(caught.value) == (
        "The PDF needs the extra cnnprof[pdf]. Install it: make setup, or pip install -e '.[pdf]'"
    )


def test_a_report_without_the_extra_is_html_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed = tmp_path / "report.ipynb"
    nbformat.write(notebook(), executed)
    assert [path.name for path in report.export(executed)] == ["report.html", "report.pdf"]
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    monkeypatch.setattr(pdf, "NEEDED", ("no_such_package",))
    assert [path.name for path in report.export(executed)] == ["report.html"]


def test_nbconvert_has_the_exporters_and_menus_only_those_that_work_there(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "nbconvert.exporters"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][group]
    points = EntryPoints(EntryPoint(name, value, group) for name, value in declared.items())
    monkeypatch.setattr(nbconvert.exporters.base, "entry_points", points.select)

    def found() -> dict[str, type]:
        return {name: get_exporter(name) for name in get_export_names()}

    monkeypatch.delitem(sys.modules, "jupyter_server.serverapp", raising=False)
    in_menus = {"cnnprof_html": PageExporter, "cnnprof_pdf": PaperExporter}
    on_command_line = {"cnnprof-html": CommandLinePageExporter, "cnnprof-pdf": CommandLinePaperExporter}
    assert found() == {**in_menus, **on_command_line}
    assert [on_command_line["cnnprof-html"]().file_extension, on_command_line["cnnprof-pdf"]().file_extension] == [
        ".html",
        ".pdf",
    ]
    monkeypatch.setitem(sys.modules, "jupyter_server.serverapp", sys)
    assert found() == in_menus
