"""A model of somebody's own: a file, or a function that builds one, in place of layers written in YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..base.errors import VariantError, received
from ..base.spec import PositiveInt, Spec
from .variant import VariantSpec

KINDS = (".keras", ".h5", ".hdf5", ".onnx")
"""Ends of the names of files that hold a model; a SavedModel is a folder."""
SAVED_MODEL = "saved_model.pb"
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FIT_FOR_A_FOLDER = re.compile(r"[^\w.-]+")

Preprocessing = Annotated[str, Field(pattern=r"^[a-z]\w*$")]
"""``none``, ``standardize``, ``scale``, ``crop``, or a module of ``keras.applications``, for its `preprocess_input`."""


class ModelSpec(Spec):
    """A model and how to open it.

    Attributes:
        name: What it is called in tables, commands and folders: its file's stem.
        title: What it is, in words.
        model: Its file or folder, or the dotted name of a function that builds it.
        input_shape: Of one image, where the model leaves sizes open.
        signature: Of a SavedModel that has several.
        trusted: Whether code that the file brings along may be run, such as that of a Lambda layer.
        preprocessing: Of images that are named: none, each with mean 0 and deviation 1, from 0 to 1, as variants take
            them (`CROP`), or as a network of ``keras.applications`` was trained.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]{0,59}$")]
    title: str
    model: str
    input_shape: Annotated[tuple[PositiveInt, ...], Field(strict=False)] | None = None
    signature: str | None = None
    trusted: bool = False
    preprocessing: Preprocessing = "none"

    @property
    def is_file(self) -> bool:
        """Whether it is a file or folder, not the name of a function."""
        return is_model_file(self.model)


NetworkSpec = VariantSpec | ModelSpec
"""What says how a network is made: its layers in YAML, or a model of somebody's own."""
CROP = "crop"
"""The preprocessing of variants: the middle of an image, as large as the input, with mean 0 and deviation 1."""


def preprocessing_of(spec: NetworkSpec) -> str:
    """What images go through before a network sees them."""
    return spec.preprocessing if isinstance(spec, ModelSpec) else CROP


def is_model_file(reference: str) -> bool:
    """Whether a text names a file or folder of a model, there or not."""
    return reference.endswith(KINDS) or (Path(reference) / SAVED_MODEL).is_file()


def is_model(reference: str) -> bool:
    """Whether a text names a model, not a file of ``params/``."""
    if reference.endswith((".yaml", ".yml")):
        return False
    return is_model_file(reference) or (_DOTTED.fullmatch(reference) is not None and not Path(reference).exists())


def network_name(reference: str) -> str:
    """What a network is called: the stem of a model's file, the last word of a dotted name, a name of ``params/``."""
    if not is_model(reference):
        return reference
    if not is_model_file(reference):
        return reference.rpartition(".")[2]
    plain = Path(reference).name
    for end in KINDS:
        plain = plain.removesuffix(end)
    return plain


def model_of(reference: str, **options: object) -> ModelSpec:
    """A model as it is named on the command line.

    Raises:
        VariantError: there is no such file, or its name cannot be a folder's.
    """
    name = network_name(reference)
    if is_model_file(reference) and not Path(reference).exists():
        raise VariantError(f"{reference}: no such file. Name a model: .keras, .h5, .onnx or a SavedModel folder.")
    if _FIT_FOR_A_FOLDER.search(name) or not name:
        raise VariantError(
            f"{reference}: a model's name must be letters, digits, _ . and -. {received(name)} Rename it."
        )
    given = {key: value for key, value in options.items() if value is not None}
    return ModelSpec.model_validate({"name": name, "title": Path(reference).name, "model": reference, **given})
