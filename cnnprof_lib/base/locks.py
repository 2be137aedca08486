"""Locks between processes: one of a kind in a folder, and one timing at a time on a host.

They are the kernel's, not a file's existence: one that a killed process left behind holds nobody up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import CnnprofError
from .files import writing

TIMING_LOCK = Path("/tmp/cnnprof-timing.lock")
"""Not where TMPDIR says, which differs between users and jobs of one host."""

WAITING = "waiting for another run on this host, for one times at a time"
"""What to say of who has to wait."""


@contextlib.contextmanager
def only_process(folder: Path, doing: str, error: type[CnnprofError] = CnnprofError) -> Iterator[None]:
    """Holds the lock of a folder.

    Args:
        folder: The folder; made if need be.
        doing: What the holder does, for the message: ``is training the same``.
        error: What to raise.

    Raises:
        CnnprofError: another process holds it.
        StoreError: the folder cannot be written.
    """
    import fcntl

    path = folder / "lock"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8")
            raise error(f"{path}: held by process {holder}, which {doing}. Wait for it, or stop it.") from None
        with writing(path):
            path.write_text(str(os.getpid()), encoding="utf-8")
        yield


@contextlib.contextmanager
def alone_on_host(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Waits until no other process of this host times anything by cnnprof, and keeps others waiting meanwhile.

    Args:
        on_wait: Called once if it has to wait.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    # Whoever was first owns the file, so that others may only read it, which is enough for a lock.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(TIMING_LOCK, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
    file = os.open(TIMING_LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
