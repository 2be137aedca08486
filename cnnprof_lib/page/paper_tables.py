"""Tables too wide for paper, which cannot scroll: long texts wrap, and many columns go to several tables."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import groupby

from bs4 import BeautifulSoup
from bs4.element import Tag

_PAGE_PT = 174 / 25.4 * 72
"""Between the margins of `templates/paper/report.typ`."""
_LETTER_PT, _INSETS_PT = 3.0, 6.0
"""A digit at 6 pt, the smallest type there, and the room around a cell."""
_WRAPS_FROM = 24
"""Texts as long as that may be broken between their words."""
_WRAPPING_PAGES = 2
"""So many times as wide as a page is a table whose texts have to wrap."""
_BREAKS_FROM = 30
"""Words as long as that are broken anywhere."""


def split(table: Tag) -> list[Tag]:
    """Splits a table that is wider than a page in the smallest type; the parts follow each other in its place.

    Each part begins with the columns of text that the table begins with, up to the first of numbers, and the first
    keeps the caption. A table with cells over several rows is left as it is.

    Returns:
        The parts, or the table alone where it fits.
    """
    rows = [_columns(row) for row in table.find_all("tr")]
    if not rows or len({len(row) for row in rows}) > 1 or table.select("[rowspan]"):
        return [table]
    widths = [_width_pt(cells) for cells in zip(*rows, strict=True)]
    if sum(widths) <= _PAGE_PT:
        return [table]
    named = _naming(table)
    if sum(widths[:named]) > _PAGE_PT / 2:
        named = 1
    parts = [table]
    for columns in _shares(widths, named)[::-1]:
        part = copy.copy(table)
        for row in part.find_all("tr"):
            _keep(row, columns)
        if columns[named:] and columns[named] > named and part.caption:
            part.caption.decompose()
            del part["id"]
        table.insert_after(part)
        parts.insert(1, part)
    table.decompose()
    return parts[1:]


def give_widths(soup: BeautifulSoup, table: Tag) -> None:
    """Gives the columns of a table whose long texts have to wrap shares of the page, by how much there is to read."""
    rows = [_columns(row) for row in table.find_all("tr")]
    if not rows or len({len(row) for row in rows}) > 1 or table.colgroup:
        return
    columns = list(zip(*rows, strict=True))
    if sum(_LETTER_PT * max(len(cell.get_text()) for cell in cells) for cells in columns) <= _WRAPPING_PAGES * _PAGE_PT:
        return
    least = [_width_pt(cells, wraps_from=0) for cells in columns]
    # The root, since a column twice as wide is half as high: equal heights at the cost of wide columns for short texts.
    wanted = [math.sqrt(sum(len(cell.get_text()) for cell in cells)) for cells in columns]
    spare = max(0.0, _PAGE_PT - sum(least))
    widths = [width + spare * share / sum(wanted) for width, share in zip(least, wanted, strict=True)]
    group = soup.new_tag("colgroup")
    group.extend(soup.new_tag("col", attrs={"style": f"width: {100 * width / sum(widths):.1f}%"}) for width in widths)
    if table.caption:
        table.caption.insert_after(group)
    else:
        table.insert(0, group)


def _columns(row: Tag) -> list[Tag]:
    """The cell of each column; one over several columns as often."""
    return [cell for cell in row.find_all(["td", "th"]) for _ in range(_span(cell))]


def _span(cell: Tag) -> int:
    return int(str(cell.get("colspan") or 1))


def _width_pt(cells: Sequence[Tag], wraps_from: int = _WRAPS_FROM) -> float:
    """What a column needs: of a header the longest word, of a short text all, and of a long one the longest word."""
    letters = 1
    for cell in cells:
        text = cell.get_text()
        wraps = cell.name == "th" or len(text) >= wraps_from
        if _span(cell) == 1:
            letters = max([letters, *map(len, text.split() if wraps else [text])])
    return min(letters, _BREAKS_FROM) * _LETTER_PT + _INSETS_PT


def _naming(table: Tag) -> int:
    """How many columns at the start say what a row is of: the first, and others of text that follow."""
    row = table.select_one("tbody > tr")
    texts = ["text" in cell.get_attribute_list("class") for cell in _columns(row)] if row else []
    return max(1, next((place for place, is_text in enumerate(texts) if not is_text), 1))


def _shares(widths: Sequence[float], named: int) -> list[list[int]]:
    """Columns of each part: those that name rows, and as many of the others in each as will fit in as few parts."""
    others = range(named, len(widths))
    for count in range(2, len(others) + 1):
        size = math.ceil(len(others) / count)
        shares = [[*range(named), *others[start : start + size]] for start in range(0, len(others), size)]
        if all(sum(widths[column] for column in columns) <= _PAGE_PT for columns in shares):
            return shares
    return [[*range(named), column] for column in others]


def _keep(row: Tag, columns: Sequence[int]) -> None:
    """Leaves those columns of a row; a header over several spans the ones that are left of them."""
    cells = _columns(row)
    kept = []
    for _, same in groupby((cells[column] for column in columns), key=id):
        cell, *more = same
        cell["colspan"] = str(1 + len(more))
        kept.append(cell)
    row.clear()
    row.extend(kept)
