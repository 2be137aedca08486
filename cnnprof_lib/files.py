"""Files that are whole or not there: atomic writes, checked reads, and no remains of killed processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from .errors import StoreError
from .layers import Spec

_Spec = TypeVar("_Spec", bound=Spec)

PARTIAL = ".partial-"
"""How the names of unfinished files and folders begin; the number of their process follows."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a whole file or nothing: to a temporary name beside it, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_spec(spec: type[_Spec], path: Path) -> _Spec:
    """Reads a record.

    Raises:
        StoreError: it is missing, damaged or of another schema version.
    """
    try:
        return spec.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing. Remove the run's folder and run again.") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "record"
        received = repr(first["input"]) if first["type"] == "literal_error" else "see the file"
        raise StoreError(
            f"{path}: `{key}`: {first['msg'].lower()}. Received: {received}. Remove the run's folder and run again."
        ) from None


def sweep(folder: Path) -> None:
    """Removes what killed processes left behind."""
    for partial in folder.glob(f"{PARTIAL}*"):
        pid = int(partial.name.removeprefix(PARTIAL).split("-")[0])
        if _alive(pid):
            continue
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
