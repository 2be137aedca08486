"""Reads ``params/``: variants that extend each other, recipes and presets; one line for every mistake."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..base.errors import VariantError, received
from ..base.spec import Spec
from .model import ModelSpec, NetworkSpec, is_model_file
from .settings import PresetSpec, RecipeSpec
from .strict_yaml import read_yaml
from .variant import VariantSpec
from .windows import ONE_SIDE, TWO_SIDES

_Spec = TypeVar("_Spec", bound=Spec)

_PLAIN_NAME = re.compile(r"(?!.*\.yaml$)\w[\w.-]{0,59}")
_IN_YAML = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must hold keys and values"),
    "tuple_type": "must be a list",
}
"""Rules that pydantic words for Python."""


def file_of(name: str, folder: Path) -> Path:
    """The file of a variant, recipe or preset in its folder.

    Raises:
        VariantError: ``name`` is a path or otherwise no plain name, or there is no such file.
    """
    path = folder / f"{name}.yaml"
    if not _PLAIN_NAME.fullmatch(name):
        problem = f"a name must be plain, without folder, space or .yaml. {received(name)}"
    elif not path.exists():
        problem = "no such file."
    else:
        return path
    raise VariantError(f"{path}: {problem} Known in {folder}: {', '.join(_names(folder)) or 'none'}.")


def _names(folder: Path) -> list[str]:
    """What the files of ``folder`` are called; hidden ones are an editor's or the system's."""
    return sorted(path.stem for path in folder.glob("*.yaml") if not path.name.startswith("."))


def _read(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file of ``name`` and what it says, its name among it."""
    path = file_of(name, folder)
    content = {"name": name, **read_yaml(path)}
    if content["name"] != name:
        raise VariantError(
            f"{path}: `name` must be the file's. {received(content['name'])} Leave it out, or rename the file."
        )
    return path, content


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
        return f"`{context['key']}` {context['rule']}. {received(context['value'])}"
    key = _key(error["loc"], content)
    if error["type"] == "missing":
        return f"`{key}` is required."
    if error["type"] == "extra_forbidden":
        return f"`{key}` is not a known key. {received(error['input'])}"
    if error["type"] == "union_tag_not_found":
        return f"`{key}.type` is required."
    if error["type"] == "union_tag_invalid":
        context = error["ctx"]
        return f"`{key}.type` must be one of {context['expected_tags']}. {received(context['tag'])}"
    return f"`{key}` {_IN_YAML.get(error['type']) or in_words(error['msg'])}. {received(error['input'])}"


def in_words(message: str) -> str:
    """What follows the key: pydantic's ``String should have ...`` as ``must have ...``, anything else in brackets."""
    _, should, rule = message.partition(" should ")
    return f"must {rule.replace(' after validation', '')}" if should else f"cannot be used ({message})"


def _key(location: tuple[int | str, ...], content: Mapping[str, Any]) -> str:
    """Pydantic's location with a layer named by its name instead of its index and type."""
    parts = [part for part in location if part not in (ONE_SIDE, TWO_SIDES)]
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
        VariantError: see `file_of`, `read_yaml` and `validate`; also for an ``extends`` that leads back to itself.
    """
    path = file_of(name, params_dir)
    try:
        (first_path, first), *others = reversed(_chain(name, params_dir))
        variant = validate(VariantSpec, first, first_path)
        for other_path, content in others:
            variant = validate(VariantSpec, _merge(variant, content, other_path), other_path)
    except VariantError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise VariantError(f"{path}: extends {error}") from None
    return variant


def load_spec(name: str, params_dir: Path) -> NetworkSpec:
    """Loads ``params_dir/<name>.yaml``: a network as layers, or, with a ``model``, as somebody's model.

    Raises:
        VariantError: as `load_variant`.
    """
    path, content = _read(name, params_dir)
    if "model" not in content:
        return load_variant(name, params_dir)
    named = content["model"]
    if isinstance(named, str) and is_model_file(named):
        content["model"] = os.path.normpath(path.parent / named)  # relative to the file that names it
        if not Path(content["model"]).exists():
            raise VariantError(f"{path}: `model` must name a file, relative to this one. {received(named)}")
    return validate(ModelSpec, {"title": content["model"], **content}, path)


def _chain(name: str, params_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The file of ``name``, the one it extends, and so on to one that extends none, each with what it says."""
    chain: dict[str, tuple[Path, dict[str, Any]]] = {}
    while True:
        path, content = chain[name] = _read(name, params_dir)
        parent = content.get("extends")
        if parent is None:
            if "change" in content:
                raise VariantError(f"{path}: `change` needs `extends`. {received(content['change'])}")
            return list(chain.values())
        if not isinstance(parent, str):
            raise VariantError(f"{path}: `extends` must name a variant. {received(parent)}")
        if parent not in _names(params_dir):
            raise VariantError(f"{path}: `extends` must name a file of {params_dir}. {received(parent)}")
        if parent in chain:
            names = list(chain)
            loop = " -> ".join((*names[names.index(parent) :], parent))
            raise VariantError(f"{path}: `extends` must not lead back to itself. Received: {loop}.")
        name = parent


def _merge(parent: VariantSpec, content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The parent's keys, replaced by the child's; ``change`` replaces keys of single layers."""
    change = content.get("change", {})
    if not isinstance(change, dict) or not all(isinstance(keys, dict) for keys in change.values()):
        raise VariantError(f"{path}: `change` must map layers to the keys they change. {received(change)}")
    merged = {**parent.model_dump(), "change": {}, **content}
    if not isinstance(merged["layers"], (list, tuple)):
        return merged  # for `validate` to refuse
    layers = list(merged["layers"])
    names = [layer.get("name") if isinstance(layer, dict) else None for layer in layers]
    for layer_name, keys in change.items():
        if layer_name not in names:
            known = ", ".join(str(n) for n in names)
            raise VariantError(f"{path}: `change.{layer_name}` names no layer. {received(keys)} Layers: {known}.")
        index = names.index(layer_name)
        layers[index] = {**layers[index], **keys}
    return {**merged, "layers": layers}


def changed(parent: VariantSpec, name: str, title: str, change: dict[str, dict[str, Any]], path: Path) -> VariantSpec:
    """A variant that no file of its own holds: ``parent`` with keys of single layers replaced.

    Args:
        parent: What it extends.
        name: Its name.
        title: What it is, in words.
        change: Keys to replace, by layer.
        path: The file that asks for it, for messages.

    Raises:
        VariantError: as `load_variant`.
    """
    content = {"name": name, "title": title, "extends": parent.name, "change": change}
    return validate(VariantSpec, _merge(parent, content, path), path)


def files_of(name: str, params_dir: Path) -> list[Path]:
    """The files that `load_spec` reads of a name: its own, and those that it extends.

    Raises:
        VariantError: as `load_spec`.
    """
    return [path for path, _ in _chain(name, params_dir)]


def load_variants(params_dir: Path) -> tuple[list[VariantSpec], list[ModelSpec], list[VariantError]]:
    """Loads every network of ``params_dir``.

    Returns:
        The variants, by MACs, largest first; the models; and what is wrong with each file that is neither.

    Raises:
        VariantError: there is no file.
    """
    variants, models, refused = [], [], []
    for name in _names(params_dir):
        try:
            spec = load_spec(name, params_dir)
        except VariantError as error:
            refused.append(error)
            continue
        if isinstance(spec, VariantSpec):
            variants.append(spec)
        else:
            models.append(spec)
    if not variants and not models and not refused:
        raise VariantError(f"{params_dir}: holds no variant (*.yaml). Go to the project's folder or name it.")
    return sorted(variants, key=lambda v: (-v.network.macs_per_image, v.name)), models, refused


def load_recipe(name: str, params_dir: Path) -> RecipeSpec:
    """Loads ``params_dir/recipes/<name>.yaml``; raises `VariantError` as `validate` does."""
    return load_settings(RecipeSpec, name, params_dir / "recipes")


def load_preset(name: str, params_dir: Path) -> PresetSpec:
    """Loads ``params_dir/presets/<name>.yaml``; raises `VariantError` as `validate` does."""
    return load_settings(PresetSpec, name, params_dir / "presets")


def load_settings(spec: type[_Spec], name: str, folder: Path) -> _Spec:
    """Loads ``folder/<name>.yaml``; raises `VariantError` as `validate` does."""
    path, content = _read(name, folder)
    return validate(spec, content, path)
