"""Reads YAML as version 1.2 means it, and refuses what two readers could read as two things.

PyYAML follows version 1.1, to which `064` is 52, `1:04` is 64, `NO` is false and `1e-4` is text. So only its parser
serves here; what a scalar means is decided below, by the core schema of https://yaml.org/spec/1.2.2/#103-core-schema,
with the merge keys of 1.1. Tags, doubled keys and keys that are not text are refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ..base.errors import VariantError, received

_MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000
"""Aliases written out: a kilobyte of them can stand for billions of values."""
_MOST_LEVELS = 50

_CONSTANTS = {"": None, "~": None} | {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DISPUTED = re.compile(
    r"""[-+]?( 0[0-9_]+ (\.[0-9_]*)? ([eE][-+]?[0-9]+)?         # 064 is 52 or 64
             | \.?[0-9][0-9.]* _ [0-9_.]* ([eE][-+]?[0-9]+)?   # 1_000 is 1000 or text, and so are those below
             | [0-9][0-9_]* (:[0-5]?[0-9])+ (\.[0-9_]*)?        # 1:04
             | 0b[01_]+
             | 0x[0-9a-fA-F]* _ [0-9a-fA-F_]* )
      | [-+]0x[0-9a-fA-F]+""",
    re.VERBOSE,
)
"""Numbers of YAML 1.1 that 1.2 reads as another number or as text."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""YAML takes none as it is, but an escape in double quotes makes one; surrogates cannot even be written to a file."""
_CONTROLLED = "text must hold no control characters"


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping.

    Raises:
        VariantError: the file is missing, too large or not a mapping in YAML as this module reads it.
    """
    text = _text(path)
    try:
        content = _Reader(text).content()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise VariantError(f"{path}: line {line} is not valid: {problem.removesuffix('.')}.") from None
    except yaml.reader.ReaderError as error:
        line, character = text.count("\n", 0, error.position) + 1, text[error.position]
        raise VariantError(f"{path}: line {line} is not valid: {_CONTROLLED}. {received(character)}") from None
    if not isinstance(content, dict):
        raise VariantError(f"{path}: must hold keys and values. {received(content)}")
    return content


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise VariantError(f"{path}: must be a file, not a folder, pipe or device.")
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise VariantError(f"{path}: must not be larger than {_MOST_BYTES:,} bytes.")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VariantError(f"{path}: cannot be read ({error}).") from error


class _Reader(yaml.BaseLoader):
    """PyYAML's parser up to the nodes, and from there values of our own."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = self._values = 0

    def content(self) -> Any:
        """The value of the only document; None where there is none."""
        try:
            node = self.get_single_node()
        except (ValueError, OverflowError):  # of `chr` and `int`
            mark = self.get_mark()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="a number of YAML's own is out of range", problem_mark=mark) from None
        return None if node is None else self._value(node, 1)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise _error(event, f"tags are not read. {received(event.tag)} Leave it out; quotes make text.")
        self._level += 1
        self._check(self._level, event)
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def _check(self, level: int, place: Any) -> None:
        """Bounds what recursion and aliases can make of a small file."""
        if level > _MOST_LEVELS:
            raise _error(place, f"values must not nest in more than {_MOST_LEVELS} levels")
        if self._values > _MOST_VALUES:
            raise _error(place, f"a file must not stand for more than {_MOST_VALUES:,} values")

    def _value(self, node: yaml.Node, level: int) -> Any:
        """What a node stands for; an alias is a copy."""
        self._values += 1
        self._check(level, node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, level)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        return [self._value(item, level + 1) for item in node.value]

    def _mapping(self, node: yaml.MappingNode, level: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        seen = set()
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in seen:
                raise _error(key_node, f"`{key}` stands twice")
            seen.add(key)
            value = self._value(value_node, level + 1)
            if key == "<<" and key_node.style is None:
                merged = _merged(value, value_node)
            else:
                own[key] = value
        return merged | own


def _merged(value: Any, node: yaml.Node) -> dict[str, Any]:
    """What ``<<`` adds: a mapping, or several of which the first counts most; see https://yaml.org/type/merge.html."""
    parts = value if isinstance(value, list) else [value]
    merged: dict[str, Any] = {}
    for part in reversed(parts):
        if not isinstance(part, dict):
            raise _error(node, f"`<<` must name a mapping or a list of mappings. {received(part)}")
        merged |= part
    return merged


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        kind = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
        raise _error(node, f"a key must be text, not {kind}. Fill in any template, such as `{{{{ x }}}}`.")
    key = _scalar(node)
    if not isinstance(key, str):
        raise _error(node, f"a key must be text. {received(key)} Put it in quotes.")
    return key


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text: str = node.value
    if _CONTROL.search(text):
        raise _error(node, f"{_CONTROLLED}. {received(text)}")
    if node.style is not None:  # in quotes, or a block of text
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _DISPUTED.fullmatch(text):
        rule = "a number must be plain digits, without leading zeros, `_` or `:`"
        raise _error(node, f"{rule}. {received(text)} Put it in quotes if it is text.")
    if _INTEGER.fullmatch(text):
        if len(text) > 25 or not -(2**63) <= int(text, 0) < 2**63:
            raise _error(node, f"a whole number must fit in 64 bits. {received(text)}")
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _error(place: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
