"""Matplotlib's SVGs made fit for a page: captions and hover texts as elements, letters shared, digits cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .hover import CAPTION, HOVER

_NAMESPACE = "http://www.w3.org/2000/svg"
_COORDINATES = ("d", "x", "y", "width", "height", "points")
_MANY_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r'(?:url\(|href=")#([^)"]+)')


@dataclass(frozen=True)
class Picture:
    """A figure of the notebook, read by `read`."""

    root: Element
    caption: str
    key: str
    """A word by which text refers to the figure; empty where none does."""

    @property
    def svg(self) -> str:
        """The picture as a file of its own."""
        return ElementTree.tostring(self.root, encoding="unicode")


def read(svg: str) -> Picture:
    """Reads a figure as matplotlib wrote it, and drops what a page has no use for."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        _drop_namespaces(element)
        element.text, element.tail = (text if text and text.strip() else None for text in (element.text, element.tail))
        for name in _COORDINATES:
            if name in element.attrib:
                element.set(name, _MANY_DIGITS.sub(_two_digits, element.attrib[name]))
    for metadata in root.findall("metadata"):
        root.remove(metadata)
    marked = f"{CAPTION}:"
    for group in list(root.iter("g")):
        gid = group.get("id", "")
        if gid.startswith(HOVER):
            title = Element("title")
            title.text = gid.removeprefix(HOVER)
            group.insert(0, title)
        elif gid.startswith(CAPTION) and marked == f"{CAPTION}:":
            marked = gid
    _, key, caption = marked.split(":", 2)
    _drop_ids(root)
    root.attrib |= {"xmlns": _NAMESPACE, "role": "img", "aria-label": caption}
    return Picture(root, caption, key)


def share_definitions(pictures: Sequence[Picture]) -> tuple[list[str], str]:
    """The pictures for one page, and what they define, in a picture of its own that has no size.

    Matplotlib draws letters, markers and hatches as shapes, which each figure defines under names made of what they
    are; on a page once is enough. The pictures given have lost them afterwards.
    """
    shared: dict[str, Element] = {}
    for picture in pictures:
        for parent in list(picture.root.iter()):
            for defs in parent.findall("defs"):
                for element in (element for element in defs if "id" in element.attrib):
                    shared.setdefault(element.attrib["id"], element)
                parent.remove(defs)
    root = Element("svg", {"width": "0", "height": "0", "aria-hidden": "true", "class": "shared"})
    ElementTree.SubElement(root, "defs").extend(shared.values())
    return [picture.svg for picture in pictures], ElementTree.tostring(root, encoding="unicode")


def _drop_namespaces(element: Element) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for name in [name for name in element.attrib if "}" in name]:
        element.set(name.rpartition("}")[2], element.attrib.pop(name))


def _drop_ids(root: Element) -> None:
    """Drops the ids that nothing refers to; the rest say what is defined, so that equal ones mean the same."""
    used = set(_REFERENCE.findall(ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)


def _two_digits(number: re.Match[str]) -> str:
    """A coordinate in points to a hundredth, which no screen or paper shows."""
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
