"""Reads ``params/``: variants that extend each other, recipes and presets; one line for every mistake."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from .errors import VariantError
from .layers import Spec
from .settings import PresetSpec, RecipeSpec
from .variant import VariantSpec

_Spec = TypeVar("_Spec", bound=Spec)


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys silently; a parameter file must not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping.

    Raises:
        VariantError: the file is missing, is not YAML, holds a key twice or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise VariantError(f"{path}: no such file. Known in {path.parent}: {known}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise VariantError(f"{path}: cannot be read ({_one_line(error)}).") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise VariantError(f"{path}: line {line} is not valid: {error.problem}.") from error
    if not isinstance(content, dict):
        raise VariantError(f"{path}: must hold keys and values. Received: {content!r}.")
    return content


def validate(spec: type[_Spec], content: Mapping[str, Any], path: Path) -> _Spec:
    """Builds ``spec`` from ``content`` as read from ``path``.

    Raises:
        VariantError: one line with the file, the first key at fault, the rule and the received value.
    """
    try:
        return spec.model_validate(content)
    except ValidationError as error:
        first, more = error.errors()[0], error.error_count() - 1
        line = _explain(first, content)
        raise VariantError(f"{path}: {line}{f' ({more} more)' if more else ''}") from None


def _explain(error: Any, content: Mapping[str, Any]) -> str:
    """One pydantic error as ```key` must ... Received: value.``."""
    if error["type"] == "rule":
        context = error["ctx"]
        return f"`{context['key']}` {context['rule']}. Received: {context['value']!r}."
    key = _key(error["loc"], content)
    if error["type"] == "missing":
        return f"`{key}` is required."
    if error["type"] == "extra_forbidden":
        return f"`{key}` is not a known key. Received: {error['input']!r}."
    if error["type"] == "union_tag_not_found":
        return f"`{key}.type` is required."
    if error["type"] == "union_tag_invalid":
        context = error["ctx"]
        return f"`{key}.type` must be one of {context['expected_tags']}. Received: {context['tag']!r}."
    rule = error["msg"].removeprefix("Input should ")
    return f"`{key}` must {rule}. Received: {error['input']!r}."


def _key(location: tuple[int | str, ...], content: Mapping[str, Any]) -> str:
    """Pydantic's location with a layer named by its name instead of its index and type."""
    parts = list(location)
    layers = content.get("layers")
    if len(parts) > 1 and parts[0] == "layers" and isinstance(parts[1], int) and isinstance(layers, list):
        layer = layers[parts[1]]
        if isinstance(layer, dict) and isinstance(layer.get("name"), str):
            parts = [layer["name"], *parts[3:]]
    elif (
        len(parts) > 1
        and isinstance(content.get(str(parts[0])), dict)
        and content[str(parts[0])].get("type") == parts[1]
    ):
        del parts[1]  # the type, by which pydantic chose what to check against
    return ".".join(str(part) for part in parts)


def load_variant(name: str, params_dir: Path) -> VariantSpec:
    """Loads ``params_dir/<name>.yaml``, with all it extends.

    Args:
        name: The file's name without ``.yaml``; it is the variant's name.
        params_dir: The folder of parameter files.

    Raises:
        VariantError: see `validate`; also for an ``extends`` that leads back to itself.
    """
    return _load(name, params_dir, ())


def _load(name: str, params_dir: Path, chain: tuple[str, ...]) -> VariantSpec:
    path = params_dir / f"{name}.yaml"
    if name in chain:
        loop = " -> ".join((*chain[chain.index(name) :], name))
        raise VariantError(f"{params_dir / chain[-1]}.yaml: `extends` must not lead back to itself. Received: {loop}.")
    content = read_yaml(path)
    content.setdefault("name", name)
    parent_name = content.get("extends")
    if parent_name is None:
        if "change" in content:
            raise VariantError(f"{path}: `change` needs `extends`. Received: {content['change']!r}.")
        return validate(VariantSpec, content, path)
    if not isinstance(parent_name, str):
        raise VariantError(f"{path}: `extends` must name a variant. Received: {parent_name!r}.")
    if not (params_dir / f"{parent_name}.yaml").is_file():
        raise VariantError(f"{path}: `extends` must name a file of {params_dir}. Received: {parent_name!r}.")
    parent = _load(parent_name, params_dir, (*chain, name))
    return validate(VariantSpec, _merge(parent, content, path), path)


def _merge(parent: VariantSpec, content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The parent's keys, replaced by the child's; ``change`` replaces keys of single layers."""
    change = content.get("change", {})
    if not isinstance(change, dict) or not all(isinstance(keys, dict) for keys in change.values()):
        raise VariantError(f"{path}: `change` must map layers to the keys they change. Received: {change!r}.")
    merged = {**parent.model_dump(), "change": {}, **content}
    if not isinstance(merged["layers"], (list, tuple)):
        return merged  # for `validate` to refuse
    layers = list(merged["layers"])
    names = [layer.get("name") if isinstance(layer, dict) else None for layer in layers]
    for layer_name, keys in change.items():
        if layer_name not in names:
            known = ", ".join(str(n) for n in names)
            raise VariantError(f"{path}: `change.{layer_name}` names no layer. Received: {keys!r}. Layers: {known}.")
        index = names.index(layer_name)
        layers[index] = {**layers[index], **keys}
    return {**merged, "layers": layers}


def load_variants(params_dir: Path) -> list[VariantSpec]:
    """Loads every variant of ``params_dir``, the baseline first, then by MACs, largest first.

    Raises:
        VariantError: one cannot be loaded, two share a name, or there is none.
    """
    by_name: dict[str, Path] = {}
    variants = []
    for path in sorted(params_dir.glob("*.yaml")):
        variant = load_variant(path.stem, params_dir)
        if variant.name in by_name:
            other = by_name[variant.name]
            raise VariantError(f"{path}: `name` must be unique. Received: {variant.name!r}, also in {other}.")
        by_name[variant.name] = path
        variants.append(variant)
    if not variants:
        raise VariantError(f"{params_dir}: holds no variant (*.yaml). Go to the project's folder or name it.")
    return sorted(variants, key=lambda v: (v.name != "baseline", -v.macs_per_image, v.name))


def load_recipe(name: str, params_dir: Path) -> RecipeSpec:
    """Loads ``params_dir/recipes/<name>.yaml``; raises `VariantError` as `validate` does."""
    return _load_settings(RecipeSpec, name, params_dir / "recipes")


def load_preset(name: str, params_dir: Path) -> PresetSpec:
    """Loads ``params_dir/presets/<name>.yaml``; raises `VariantError` as `validate` does."""
    return _load_settings(PresetSpec, name, params_dir / "presets")


def _load_settings(spec: type[_Spec], name: str, folder: Path) -> _Spec:
    path = folder / f"{name}.yaml"
    return validate(spec, {"name": name, **read_yaml(path)}, path)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
