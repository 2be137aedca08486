"""Files that are whole or not there: atomic writes, checked reads, and no remains of killed processes."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from .errors import StoreError
from .spec import Spec

_Spec = TypeVar("_Spec", bound=Spec)

PARTIAL = ".partial-"
"""How the names of unfinished files and folders begin, see `partial_name`."""


ROOM_BYTES = 2**20
"""What `try_writing` asks for: as much as a run takes, its notebook and its trace included."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def writing(path: Path, remedy: str = "") -> Iterator[None]:
    """Makes one line of whatever the system has against writing ``path``, such as a full disk.

    Args:
        path: What is written, for the message.
        remedy: What to do about it, unless it is to start again with room or rights.

    Raises:
        StoreError: something cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # HDF5's own text takes many lines
        way_out = "make room" if error.errno in _FULL else "make it writable, or name another folder by --outputs,"
        again = f"What was there before is intact: {way_out} and start the same command again."
        raise StoreError(f"{path}: cannot be written. Received: {reason}. {remedy or again}") from error


def try_writing(folder: Path) -> None:
    """Finds out whether a folder can be made and takes `ROOM_BYTES`, before work is done that is to be kept there.

    It writes, for rights, mounts and quotas do not tell beforehand, to a file without a name, which nothing is left of.

    Raises:
        StoreError: it cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())  # some file systems find out about a quota only now


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a whole file or nothing: to a temporary name beside it, then renamed.

    Raises:
        StoreError: it cannot be written; what was there stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def read_spec(
    spec: type[_Spec], path: Path, remedy: str, upgrade: Callable[[bytes], bytes] = lambda stored: stored
) -> _Spec:
    """Reads a record.

    Args:
        spec: Its class.
        path: Its file.
        remedy: What to do where it cannot be read, as a sentence: what is safe depends on what it cost.
        upgrade: Makes a record of today's schema of an older one; a damaged one it may leave as it is.

    Raises:
        StoreError: it is missing, damaged or of another schema version.
    """
    try:
        return spec.model_validate_json(upgrade(path.read_bytes()))
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing. {remedy}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read. Received: {error.strerror}. {remedy}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "record"
        received = repr(first["input"]) if first["type"] == "literal_error" else "see the file"
        raise StoreError(f"{path}: `{key}`: {first['msg'].lower()}. Received: {received}. {remedy}") from None


def partial_name(name: str) -> str:
    """What an unfinished file or folder of this process is called that will be ``name``."""
    return f"{PARTIAL}{os.getpid()}@{platform.node()}-{name}"


def sweep(folder: Path) -> None:
    """Removes what killed processes of this host left behind; those of others may be alive."""
    for partial in folder.glob(f"{PARTIAL}*"):
        pid, _, rest = partial.name.removeprefix(PARTIAL).partition("@")
        if not pid.isdecimal() or not rest.startswith(f"{platform.node()}-") or _alive(int(pid)):
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


@contextlib.contextmanager
def new_folder(final: Path, parts: Sequence[str] = ()) -> Iterator[Path]:
    """A folder to fill, which takes its place only when the block ends without an error.

    Args:
        final: Its place.
        parts: Files that take their places in a folder that may be there already, the last one last.

    Raises:
        StoreError: it cannot be written.
    """
    home = final if parts else final.parent
    partial = home / partial_name(final.name)
    with writing(final):
        home.mkdir(parents=True, exist_ok=True)
        sweep(home)
        try:
            partial.mkdir()
            yield partial
            for name in parts:  # killed in between, they do not match: recognised when read
                os.replace(partial / name, final / name)
            if not parts:
                os.replace(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
