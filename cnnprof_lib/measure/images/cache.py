"""CIFAR-10 and its like as arrays: found or downloaded, decoded once, then memory-mapped."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from ...base.errors import DataError
from . import official, sources
from .official import ARCHIVE_NAME
from .sources import DataSet as DataSet
from .tree import Progress

ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
GIVE_IMAGES = "give images with `--data PATH` or CNNPROF_DATA"
REACH_S = 6.0  # seconds the server has for a first answer, the look-up of its name included
CACHE_FORMAT = 2
"""Of decoded arrays; what was decoded under another is decoded anew.

2 (2026-11-26): more kinds of images are read; 16-bit and transparent ones are no longer clipped; `notices`.
"""
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
DAY_S = 86_400.0


@dataclass(frozen=True)
class Location:
    """Where the images are, or would come from.

    Attributes:
        origin: "--data", "CNNPROF_DATA" or "download": what chose the place.
        kind: What is there, for people: "official archive", "zip of images", ...
        path: The file or folder; for a download not made yet, where it will be.
        exists: False for a download not made yet.
    """

    origin: str
    kind: str
    path: Path
    exists: bool


def cache_dir() -> Path:
    """The folder for the download and decoded arrays: CNNPROF_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("CNNPROF_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("cnnprof"))


def locate(source: Path | None = None, *, cache_dir: Path | None = None) -> Location:
    """Tells where `load` would find the images, without decoding or downloading.

    Raises:
        DataError: If the named place does not exist or is not recognised.
    """
    cache = _cache_or_default(cache_dir)
    origin, path = _choose(source, cache)
    if origin == "download" and not path.exists():
        return Location(origin, "official archive", path, exists=False)
    place = sources.recognise(path)
    return Location(origin, place.kind, place.path, exists=True)


def load(
    source: Path | None = None,
    *,
    cache_dir: Path | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> DataSet:
    """Loads a data set, from the cache if its source has not changed since it was decoded.

    Args:
        source: An official archive, a folder or a zip. None: CNNPROF_DATA, else the official archive.
        cache_dir: In place of the function `cache_dir`.
        download: Whether the official archive may be downloaded if it is needed.
        progress: Called with one line of text now and then, and with each of the data set's notices.

    Raises:
        DataError: If there are no images, they are damaged or of another kind, or the cache cannot be written.
    """
    cache = _cache_or_default(cache_dir)
    say = progress or (lambda message: None)
    origin, path = _choose(source, cache)
    if origin == "download" and not path.exists():
        if not download:
            raise DataError(f"{path}: not downloaded yet. Allow the download, or {GIVE_IMAGES}.")
        _download(cache, say)
    place = sources.recognise(path)
    mark = sources.fingerprint(place)
    entry = _entry(cache, mark)
    data = _open_entry(entry, mark)
    if data is None:
        _decode_into(entry, place, mark, say)
        data = _open_entry(entry, mark)
    if data is None:
        raise DataError(f"{entry}: the decoded images cannot be read back. Set CNNPROF_CACHE to another folder.")
    for notice in data.notices:
        say(notice)
    return data


def _cache_or_default(chosen: Path | None) -> Path:
    return cache_dir() if chosen is None else chosen  # `load` cannot say so: its argument hides the function


def _choose(source: Path | None, cache: Path) -> tuple[str, Path]:
    """What chose the place of the images, in the words of `Location.origin`, and the place."""
    if source is not None:
        return "--data", source
    if named := os.environ.get("CNNPROF_DATA"):
        return "CNNPROF_DATA", Path(named)
    return "download", cache / ARCHIVE_NAME


def _entry(cache: Path, mark: str) -> Path:
    return cache / hashlib.sha256(f"{CACHE_FORMAT} {mark}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _open_entry(entry: Path, mark: str) -> DataSet | None:
    """The decoded images of a source, or None if they are missing, damaged or of another state of it."""
    try:
        meta = json.loads((entry / "meta.json").read_text("utf-8"))
        if meta["fingerprint"] != mark:
            return None
        arrays = {name: _open_array(entry / f"{name}.npy", meta["arrays"][name]) for name in ARRAYS}
        return DataSet(meta["name"], meta["sha256"], tuple(meta["classes"]), **arrays, notices=tuple(meta["notices"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open_array(path: Path, facts: dict[str, Any]) -> npt.NDArray[Any]:
    if path.stat().st_size != facts["bytes"]:
        raise ValueError(path)
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if list(array.shape) != facts["shape"] or str(array.dtype) != facts["dtype"]:
        raise ValueError(path)
    return array


def _decode_into(entry: Path, source: sources.Source, mark: str, progress: Progress) -> None:
    """Decodes a source and moves the result into place, `meta.json` last: without it an entry counts as missing.

    Two processes may do this at once. They move equal files, so it does not matter whose come last.
    """
    with _partial_folder(entry.parent) as partial:
        decoded = sources.decode(source, progress)
        meta: dict[str, Any] = {key: getattr(decoded, key) for key in ("name", "sha256", "classes", "notices")}
        meta |= {"fingerprint": mark, "arrays": {}}
        for name in ARRAYS:
            array, path = getattr(decoded, name), partial / f"{name}.npy"
            np.save(path, array)
            meta["arrays"][name] = {"bytes": path.stat().st_size, "shape": array.shape, "dtype": str(array.dtype)}
        (partial / "meta.json").write_text(json.dumps(meta, indent=1), "utf-8")
        entry.mkdir(exist_ok=True)
        for file in (*(f"{name}.npy" for name in ARRAYS), "meta.json"):
            os.replace(partial / file, entry / file)


@contextmanager
def _partial_folder(cache: Path) -> Iterator[Path]:
    """A folder in the cache for work in progress, gone afterwards; what a killed process left goes after a day."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(".partial-*"):
            with suppress(FileNotFoundError):  # its process may remove it right now
                if time.time() - old.stat().st_mtime > DAY_S:
                    shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as folder:
            yield Path(folder)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{cache}: not writable. Received: {reason}. Set CNNPROF_CACHE to another folder.") from error


def _download(cache: Path, progress: Progress) -> None:
    """Downloads the official archive into the cache, checked and whole or not at all.

    Raises:
        DataError: If the server cannot be reached (within ten seconds), the transfer breaks or the file is another.
    """
    import pooch
    import requests

    host = urlsplit(ARCHIVE_URL).hostname
    has_bar = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
    progress(f"Downloading {ARCHIVE_NAME} (162 MB) from {host}")
    with _partial_folder(cache) as partial:
        target = partial / ARCHIVE_NAME
        failure = _no_answer()
        if failure is None:
            try:
                pooch.HTTPDownloader(timeout=(3, 30), progressbar=has_bar)(ARCHIVE_URL, str(target), None)
            except requests.RequestException as error:
                failure = type(error).__name__ if error.response is None else f"HTTP {error.response.status_code}"
        if failure is not None:
            raise DataError(
                f"{ARCHIVE_NAME}: could not be downloaded from {host}. Received: {failure}. "
                f"Check the network, or {GIVE_IMAGES}."
            )
        received = pooch.file_hash(str(target), alg="md5")
        if received != official.ARCHIVE_MD5:
            raise DataError(
                f"{ARCHIVE_NAME}: md5 of the download must be {official.ARCHIVE_MD5}. Received: {received}. "
                f"Download it again, or {GIVE_IMAGES}."
            )
        os.replace(target, cache / ARCHIVE_NAME)


def _no_answer() -> str | None:
    """Says why the server gives no answer at all; None if it does.

    The look-up of a host name knows no time limit, so it is left to a thread that can be abandoned.
    """
    import requests

    failures: list[str] = []

    def ask() -> None:
        try:
            requests.head(ARCHIVE_URL, timeout=(3, 3))
        except Exception as error:  # whatever it is, there is no way to the server
            failures.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_S)
    if thread.is_alive():
        return f"no answer in {REACH_S:g} s"
    return failures[0] if failures else None
