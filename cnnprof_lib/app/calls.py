"""Calls that can be shown: what is read is what is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any

_LINE = 100
"""Longer calls are written on several lines."""


@dataclass(frozen=True)
class Call:
    """A function and what it is called with: `repr` is the Python of it."""

    name: str
    """How the notebook names the function."""
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    """Values, or calls that make them."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **more: Any) -> Any:
        """What the function makes."""
        arguments = (argument() if isinstance(argument, Call) else argument for argument in self.arguments)
        return self.function(*arguments, **self.options, **more)

    def __repr__(self) -> str:
        texts = [*map(_python, self.arguments), *(f"{key}={_python(value)}" for key, value in self.options.items())]
        line = f"{self.name}({', '.join(texts)})"
        if len(line) <= _LINE:
            return line
        return f"{self.name}(\n" + "".join(indent(f"{text},\n", "    ") for text in texts) + ")"


def _python(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple | list):
        inner = ", ".join(map(_python, value))
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    return repr(value)
