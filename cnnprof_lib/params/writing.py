"""Writes a variant as a file of ``params/``, which `reading` reads as the same."""

from __future__ import annotations

from typing import Any

import yaml

from .variant import VariantSpec


def variant_yaml(variant: VariantSpec, comment: str = "") -> str:
    """A variant as YAML: all of its layers, one a line, whatever it extended.

    Args:
        variant: The network.
        comment: What stands above, a line; empty for nothing.
    """
    return "\n".join(
        [
            *([f"# {comment}"] if comment else []),
            f"title: {_flow(variant.title)}",
            f"input: {_flow(variant.input.model_dump())}",
            f"classes: {variant.classes}",
            "layers:",
            *(f"  - {_flow(_keys(layer.model_dump(mode='json', exclude_defaults=True)))}" for layer in variant.layers),
            "",
        ]
    )


def _keys(layer: dict[str, Any]) -> dict[str, Any]:
    """What a layer is comes first."""
    return {"name": layer["name"], "type": layer["type"], **layer}


def _flow(value: Any) -> str:
    """A value on one line; PyYAML ends a text with a line of dots."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()
