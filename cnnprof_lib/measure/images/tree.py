"""Images named ``train/<class>/...`` and ``test/<class>/...``, in a folder or a zip.

Folders within a class are read as well. What is not read is told by reason, but for hidden files and ``__MACOSX``,
which are an operating system's own.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ...base.errors import DataError
from . import files as image_files
from . import official
from .official import CLASSES, SIDE, Images, Labels

SPLITS = ("train", "test")
CHUNK = 500  # images that one thread decodes at a time
TOLD_EVERY = 5000  # images between two lines of progress
NO_SUFFIX, NO_FILE, NO_CLASS = "without the suffix of an image", "not regular", "in no class folder"
RECOGNISED = (
    "Give cifar-10-binary.tar.gz, the folder unpacked from it, "
    "or a folder or .zip of train/<class>/ and test/<class>/ with images."
)

Read = Callable[[str], bytes]
Progress = Callable[[str], None]


class Entry(NamedTuple):
    """What a folder or zip lists: its name, that of a folder with a stroke at its end."""

    name: str
    is_file: bool
    """False for a folder, a pipe, a device, a socket, a link to no file."""


@dataclass(frozen=True)
class Tree:
    """The images of a source by split and class, and what else it holds.

    Attributes:
        path: The source, for messages.
        files: Of each split and class, the names of its images, sorted.
        left_out: The names of what is not read, by reason.
    """

    path: Path
    files: dict[str, dict[str, list[str]]]
    left_out: dict[str, list[str]]

    @property
    def classes(self) -> tuple[str, ...]:
        """Ten names, sorted: a label is an index into them."""
        return tuple(sorted(self.files["train"]))

    def names(self, split: str) -> list[str]:
        """The images of a split, class after class."""
        return [name for folder in self.classes for name in self.files[split][folder]]

    def labels(self, split: str) -> Labels:
        """The classes' places in `classes`, in the order of `names`."""
        counts = [len(self.files[split][folder]) for folder in self.classes]
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def formats(self) -> set[str | None]:
        """Pillow's formats by the suffixes of all images."""
        return {image_files.format_of(name) for split in SPLITS for name in self.names(split)}

    def told(self) -> str:
        """How many files were left out, by reason with the first of its names; empty where none was."""
        count = sum(map(len, self.left_out.values()))
        reasons = ", ".join(
            f"{len(names):,} {reason} ({names[0]}{', ...' if len(names) > 1 else ''})"
            for reason, names in self.left_out.items()
        )
        return f"left out {count:,} file{'s' * (count > 1)}: {reasons}." if count else ""


def is_plain(name: str) -> bool:
    """Whether a file or folder is not an operating system's own."""
    return not name.startswith((".", "__MACOSX"))


def folder_names(root: Path) -> list[str]:
    """Names below ``train/`` and ``test/`` of a folder, relative to it, sorted; hidden ones are left aside.

    Links to class folders are followed. Links to folders deeper are not: they may lead in a ring.
    """
    names: list[str] = []
    for split in SPLITS:
        for top in os.scandir(root / split) if (root / split).is_dir() else ():
            if not is_plain(top.name):
                continue
            if not top.is_dir():
                names.append(f"{split}/{top.name}")
                continue
            for folder, inner, files in os.walk(top.path, onerror=_stop):
                inner[:] = filter(is_plain, inner)
                place = os.path.relpath(folder, root).replace(os.sep, "/")
                names += [f"{place}/{file}" for file in files if is_plain(file)]
                names += [f"{place}/{name}{'' if os.path.islink(f'{folder}/{name}') else '/'}" for name in inner]
    return sorted(names)


def _stop(error: OSError) -> None:
    raise error  # a folder that cannot be read is not passed over


def of_folder(path: Path, root: Path) -> tuple[Tree, Read]:
    """The images of a folder, and what reads one of them."""
    entries = [Entry(name, os.path.isfile(root / name)) for name in folder_names(root)]
    return sort_out(path, entries), lambda name: _read_some(open(root / name, "rb"))


def of_zip(path: Path, archive: zipfile.ZipFile) -> tuple[Tree, Read]:
    """The images of a zip, and what reads one of them."""

    def read(name: str) -> bytes:
        info = archive.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # zipfile unpacks the others in steps of no bound: 4 KB of bzip2 may be 4 GB.
            raise DataError(
                f"{name} in {path}: must be stored or deflated. Received: compression {info.compress_type}. "
                "Zip it again, without a choice of method."
            )
        return _read_some(archive.open(info))

    return sort_out(path, [Entry(info.filename, _is_file(info)) for info in archive.infolist()]), read


def _is_file(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip was not made on Unix
    return kind in (0, stat.S_IFREG) and not info.is_dir()


def _read_some(stream: IO[bytes]) -> bytes:
    """The content of an image file, or so much of it that `image_files.decode` sees that it is too large."""
    with stream:
        return stream.read(image_files.MAX_FILE_BYTES + 1)


def sort_out(path: Path, entries: Iterable[Entry]) -> Tree:
    """Finds the images named ``[top/]train/<class>/[folders/]<file>`` and the same of ``test``.

    Raises:
        DataError: There are none, more than one tree of them, too many, or other classes in train than in test.
    """
    tree = Tree(path, {split: {} for split in SPLITS}, {})
    tops: set[str] = set()
    for name, is_file in sorted(set(entries)):
        *folders, file = name.rstrip("/").split("/")
        at = next((place for place, folder in enumerate(folders[:2]) if folder in SPLITS), None)
        if at is None or not all(map(is_plain, (*folders, file))):
            continue
        reason = _why_not(name, is_file, in_class=len(folders) > at + 1)
        if reason:
            tree.left_out.setdefault(reason, []).append(name)
        elif reason is None:
            tops.add("/".join(folders[: at + 1]))
            tree.files[folders[at]].setdefault(folders[at + 1], []).append(name)
    _check(tree, tops)
    return tree


def _why_not(name: str, is_file: bool, in_class: bool) -> str | None:
    """Why something is no image to be read; empty for a folder, which is nothing to tell of; None if it is one."""
    if image_files.format_of(name.rstrip("/")) is None:
        return "" if name.endswith("/") else NO_SUFFIX
    if not is_file:
        return NO_FILE
    return None if in_class else NO_CLASS


def _check(tree: Tree, tops: set[str]) -> None:
    for split in SPLITS:
        if not tree.files[split]:
            found = f" Received: {tree.told()}" if tree.left_out else ""
            raise DataError(f"{tree.path}: no images found in {split}/<class>/.{found} {RECOGNISED}")
    if len({top.rpartition("/")[0] for top in tops}) > 1:
        places = ", ".join(f"{top}/" for top in sorted(tops))
        raise DataError(f"{tree.path}: must hold one train/ beside one test/. Received: {places}. {RECOGNISED}")
    train, test = sorted(tree.files["train"]), sorted(tree.files["test"])
    if train != test or len(train) != len(CLASSES):
        odd = ", ".join(sorted(set(train) ^ set(test))[:3]) or "none"
        raise DataError(
            f"{tree.path}: must hold the same 10 classes in train/ and test/. Received: {len(train)} and "
            f"{len(test)}, in one of them only: {odd}. Give ten folders of images in each."
        )
    if sum(len(names) for folders in tree.files.values() for names in folders.values()) > official.MAX_IMAGES:
        raise official.too_large(tree.path)


def decode(tree: Tree, split: str, read: Read, progress: Progress) -> Images:
    """The images of a split, in the order of `Tree.names`.

    Raises:
        DataError: One cannot be read, see `image_files.decode`.
    """
    names = tree.names(split)
    images = np.empty((len(names), SIDE, SIDE, 3), np.uint8)

    def decode_chunk(start: int) -> int:
        stop = min(start + CHUNK, len(names))
        for index in range(start, stop):
            images[index] = image_files.decode(f"{names[index]} in {tree.path}", partial(read, names[index]))
        return stop

    with ThreadPool(os.cpu_count()) as pool:  # one thread decodes while another waits for the disk
        for done in pool.imap(decode_chunk, range(0, len(names), CHUNK)):
            if done % TOLD_EVERY == 0 or done == len(names):
                progress(f"Decoding {split} images: {done:,} of {len(names):,}")
    return images
