"""What a page needs beyond a notebook's cells: ids, numbers, references, contents."""

from __future__ import annotations

import re
from collections import Counter

from bs4 import BeautifulSoup
from bs4.element import Tag

HEADINGS = ("h1", "h2", "h3", "h4")


def arrange(page: BeautifulSoup) -> None:
    """Gives headings ids and figures and tables with captions numbers, and has links to them say the number.

    A link such as ``[Table](#T_overview)`` becomes "Table 1". One to a place that does not exist becomes plain text.
    """
    _give_ids(page)
    names = _number(page)
    places = {f"#{tag['id']}" for tag in page.find_all(id=True)}
    for link in page.find_all("a", href=True):
        target = str(link["href"])
        if link.get_text() in ("Figure", "Table") and target in names:
            link.string = names[target]
        if target.startswith("#") and target not in places:
            link.unwrap()


def title_of(page: BeautifulSoup) -> str:
    """The first heading, if it is of the first level."""
    heading = page.find(HEADINGS)
    return heading.get_text() if isinstance(heading, Tag) and heading.name == "h1" else ""


def contents(page: BeautifulSoup) -> Tag:
    """A list of links to the headings, all but the title's, down to the third level."""
    entries = page.new_tag("ul")
    for heading in page.find_all(HEADINGS[:3])[1:]:
        link = page.new_tag("a", href=f"#{heading['id']}", string=heading.get_text())
        entry = page.new_tag("li", attrs={"class": f"level-{heading.name[1:]}"})
        entry.append(link)
        entries.append(entry)
    return entries


def box(page: BeautifulSoup) -> None:
    """Prepares an arranged page for the browser: title, contents, each table under its caption in a box of its own."""
    if page.title and (title := title_of(page)):
        page.title.string = title
    if page.nav:
        folded = page.new_tag("details", attrs={"open": ""})
        folded.extend([page.new_tag("summary", string="Contents"), contents(page)])
        page.nav.append(folded)
    for table in page.find_all("table"):
        figure = table.wrap(page.new_tag("figure", attrs={"class": "table"}))
        table.wrap(page.new_tag("div", attrs={"class": "scroll"}))
        if table.caption:
            caption = table.caption.extract()
            caption.name = "figcaption"
            figure.insert(0, caption)


def _give_ids(page: BeautifulSoup) -> None:
    """Ids much as JupyterLab gives them, words joined by hyphens, but no two alike."""
    taken = Counter(str(tag["id"]) for tag in page.find_all(id=True))
    for heading in page.find_all(HEADINGS):
        name = re.sub(r"\W+", "-", heading.get_text()).strip("-")
        taken[name] += 1
        heading["id"] = name if taken[name] == 1 else f"{name}-{taken[name]}"


def _number(page: BeautifulSoup) -> dict[str, str]:
    """Puts numbers before captions; returns what to call each place: ``{"#T_overview": "Table 1"}``."""
    counts: Counter[str] = Counter()
    names = {}
    for caption in page.select("figure > figcaption, table > caption"):
        kind = "Figure" if caption.name == "figcaption" else "Table"
        counts[kind] += 1
        name = f"{kind} {counts[kind]}"
        owner = caption.parent
        assert owner is not None
        owner["id"] = owner.get("id") or f"{kind}-{counts[kind]}"
        names[f"#{owner['id']}"] = name
        caption.insert(0, page.new_tag("strong", string=f"{name}."), " ")
    return names
