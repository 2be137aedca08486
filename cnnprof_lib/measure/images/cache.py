"""A data set as arrays: found or downloaded, decoded once, then memory-mapped from one ``.npz`` file."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import TimeoutError as NoAnswer
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from ...base.errors import DataError
from ...base.files import PARTIAL, writing
from . import official, sources
from .official import ARCHIVE_NAME
from .sources import DataSet as DataSet
from .tree import Progress

ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
GIVE_IMAGES = "give images with `--data PATH` or CNNPROF_DATA"
OTHER_FOLDER = "Set CNNPROF_CACHE to another folder."
REACH_S = 6.0  # seconds the server has for a first answer, the look-up of its name included
CACHE_FORMAT = 3  # of decoded arrays; what was decoded under another is decoded anew
DAY_S = 86_400.0
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
TEXTS = ("name", "sha256", "classes", "notices")


def cache_dir() -> Path:
    """The folder for the download and decoded arrays: CNNPROF_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("CNNPROF_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("cnnprof"))


def locate(source: Path | None = None) -> sources.Source:
    """Tells where `load` would find the images, without decoding or downloading.

    Raises:
        DataError: If the named place does not exist or is not recognised.
    """
    if source is not None:
        return sources.recognise(source, "--data")
    if named := os.environ.get("CNNPROF_DATA"):
        return sources.recognise(Path(named), "CNNPROF_DATA")
    archive = cache_dir() / ARCHIVE_NAME
    return sources.Source("official archive", archive, archive, "download")


def load(
    source: Path | None = None,
    *,
    download: bool = True,
    progress: Progress | None = None,
) -> DataSet:
    """Loads a data set, from the cache if its source has not changed since it was decoded.

    Args:
        source: An official archive, a folder or a zip. None: CNNPROF_DATA, else the official archive.
        download: Whether the official archive may be downloaded if it is needed.
        progress: Called with one line of text now and then, and with each of the data set's notices.

    Raises:
        DataError: If there are no images, or they are damaged or of another kind.
        StoreError: If the cache cannot be written.
    """
    say = progress or (lambda message: None)
    place = locate(source)
    if not place.exists:
        if not download:
            raise DataError(f"{place.path}: not downloaded yet. Allow the download, or {GIVE_IMAGES}.")
        _download(place.path, say)
    file = _file_of(place)
    data = _open(file)
    if data is None:
        _decode_into(file, place, say)
        data = _open(file)
    if data is None:
        raise DataError(f"{file}: the decoded images cannot be read back. {OTHER_FOLDER}")
    for notice in data.notices:
        say(notice)
    return data


def _file_of(place: sources.Source) -> Path:
    """Where the decoded images of a source are kept, as it is now."""
    mark = f"{CACHE_FORMAT} {sources.fingerprint(place)}".encode("utf-8", "surrogateescape")
    return cache_dir() / f"{hashlib.sha256(mark).hexdigest()[:16]}.npz"


def _decode_into(file: Path, place: sources.Source, progress: Progress) -> None:
    """Decodes a source. Two processes may do so at once: they write equal files, and the last one stays."""
    with _partial_folder(file.parent) as folder:
        decoded: dict[str, Any] = vars(sources.decode(place, progress))
        texts = {key: np.array(decoded[key], str) for key in TEXTS}
        np.savez(folder / file.name, **decoded | texts)
        os.replace(folder / file.name, file)


@contextmanager
def _partial_folder(cache: Path) -> Iterator[Path]:
    """A folder in the cache for what is not whole yet, gone afterwards; what a killed process left goes after a day."""
    with writing(cache, OTHER_FOLDER):
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(f"{PARTIAL}*"):
            with suppress(FileNotFoundError):  # its process may remove it right now
                if time.time() - old.stat().st_mtime > DAY_S:
                    shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=cache) as folder:
            yield Path(folder)


def _open(file: Path) -> DataSet | None:
    """The decoded images of a source, or None if they are missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as saved:
            name, sha256, classes, notices = (saved[key].tolist() for key in TEXTS)
            arrays = {key: _mapped(file, saved.zip.getinfo(f"{key}.npy")) for key in ARRAYS}
        return DataSet(name, sha256, tuple(classes), **arrays, notices=tuple(notices))
    except Exception:  # damaged bytes make NumPy and zipfile raise a dozen kinds of errors
        return None


def _mapped(path: Path, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """An array of an ``.npz`` file, read from the disk only where it is looked at: `numpy.load` reads it whole."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # the header of 30 bytes ends in the lengths of two texts after it
        file.seek(sum(np.frombuffer(file.read(4), "<u2").tolist()), os.SEEK_CUR)
        start = file.tell()
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        array = np.memmap(file, dtype, "r", data := file.tell(), shape)
    if data - start + array.nbytes != member.file_size:
        raise ValueError(path)
    return array


def _download(archive: Path, progress: Progress) -> None:
    """Downloads the official archive, checked and whole or not at all.

    Raises:
        DataError: If the server cannot be reached (within ten seconds), the transfer breaks or the file is another.
    """
    import pooch
    import requests

    host = urlsplit(ARCHIVE_URL).hostname
    has_bar = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
    progress(f"Downloading {ARCHIVE_NAME} (162 MB) from {host}")
    with _partial_folder(archive.parent) as folder:
        target = folder / ARCHIVE_NAME
        try:
            with ThreadPool(1) as pool:  # the look-up of a host's name knows no time limit
                pool.apply_async(requests.head, (ARCHIVE_URL,), {"timeout": (3, 3)}).get(REACH_S)
            pooch.HTTPDownloader(timeout=(3, 30), progressbar=has_bar)(ARCHIVE_URL, str(target), None)
        except (NoAnswer, requests.RequestException) as error:
            received = f"no answer in {REACH_S:g} s" if isinstance(error, NoAnswer) else type(error).__name__
            if (answer := getattr(error, "response", None)) is not None:
                received = f"HTTP {answer.status_code}"
            raise DataError(
                f"{ARCHIVE_NAME}: could not be downloaded from {host}. Received: {received}. "
                f"Check the network, or {GIVE_IMAGES}."
            ) from error
        received = pooch.file_hash(str(target), alg="md5")
        if received != official.ARCHIVE_MD5:
            raise DataError(
                f"{ARCHIVE_NAME}: md5 of the download must be {official.ARCHIVE_MD5}. Received: {received}. "
                f"Download it again, or {GIVE_IMAGES}."
            )
        os.replace(target, archive)
