"""Images named ``train/<class>/...`` and ``test/<class>/...``, in a folder or a zip.

Folders within a class are read as well. What is not read is told by reason, but for hidden files and ``__MACOSX``,
which are an operating system's own.
"""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...base.errors import DataError
from . import files as image_files
from . import official
from .official import Images, Part

SPLITS = ("train", "test")
MAX_FILE_BYTES = 1 << 24  # of one image, as several threads read at once
CHUNK = 100  # images that one thread decodes at a time
TOLD_EVERY = 5000  # images between two lines of progress
NO_SUFFIX, NO_FILE, NO_CLASS = "without the suffix of an image", "not regular", "in no class folder"
RECOGNISED = (
    "Give cifar-10-binary.tar.gz, the folder unpacked from it, "
    "or a folder or .zip of train/<class>/ and test/<class>/ with images."
)

Read = Callable[[str], bytes]
Progress = Callable[[str], None]


class Entry(NamedTuple):
    """What a folder or zip lists: a name, and whether a plain file stands there, of how many bytes, changed when."""

    name: str
    is_file: bool
    size: int = 0
    changed_ns: int = 0


@dataclass(frozen=True)
class Tree:
    """The images of a source, and what else it holds.

    Attributes:
        path: The source, for messages.
        images: Of each split, the class and the name of every image, sorted.
        left_out: How many files are not read, by reason with the first of their names; empty where none is.
    """

    path: Path
    images: dict[str, list[tuple[str, str]]]
    left_out: str

    def classes(self, split: str = "train") -> tuple[str, ...]:
        """Their names, sorted: a label is an index into them."""
        return tuple(sorted({folder for folder, _ in self.images[split]}))


def is_plain(name: str) -> bool:
    """Whether a file or folder is not an operating system's own."""
    return not name.startswith((".", "__MACOSX"))


def of_folder(root: Path) -> list[Entry]:
    """The official files in a folder and what is below ``train/`` and ``test/``, sorted; hidden files left aside.

    Links to class folders are followed. Links to folders deeper are not: they may lead in a ring.
    """
    names = [name for name in official.FILES if (root / name).is_file()]
    for split in filter(lambda split: (root / split).is_dir(), SPLITS):
        for folder, inner, files in os.walk(root / split, onerror=_stop, followlinks=True):
            place = os.path.relpath(folder, root).replace(os.sep, "/")
            links = [name for name in inner if place != split and os.path.islink(f"{folder}/{name}")]
            inner[:] = [name for name in inner if is_plain(name) and name not in links]
            odd = [name for name in inner if place != split and image_files.format_of(name)]
            names += [f"{place}/{name}" for name in (*files, *links, *odd) if is_plain(name)]
    return [_entry(root, name) for name in sorted(names)]


def _stop(error: OSError) -> None:
    raise error  # a folder that cannot be read is not passed over


def _entry(root: Path, name: str) -> Entry:
    path = root / name
    facts = path.stat() if path.exists() else path.lstat()  # a link that leads nowhere
    return Entry(name, stat.S_ISREG(facts.st_mode), facts.st_size, facts.st_mtime_ns)


def of_zip(archive: zipfile.ZipFile) -> list[Entry]:
    """What a zip lists."""
    regular = (0, stat.S_IFREG)  # 0 where the zip was not made on Unix
    return [
        Entry(info.filename, stat.S_IFMT(info.external_attr >> 16) in regular and not info.is_dir(), info.file_size)
        for info in archive.infolist()
    ]


def read_zipped(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a file in a zip, never more than the zip lists."""
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks the others in steps of no bound: 4 KB of bzip2 may be 4 GB.
        raise DataError(
            f"{name} in {archive.filename}: must be stored or deflated. Received: compression {info.compress_type}. "
            "Zip it again, without a choice of method."
        )
    return archive.read(info)


def sort_out(path: Path, entries: Iterable[Entry]) -> Tree:
    """Finds the images named ``[top/]train/<class>/[folders/]<file>`` and the same of ``test``.

    Raises:
        DataError: There are none, more than one tree of them, too many or too large ones, or other classes in train
            than in test.
    """
    images: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    left_out: dict[str, list[str]] = {}
    tops: set[str] = set()
    for name, is_file, size, _ in sorted({entry.name: entry for entry in entries}.values()):
        *folders, file = name.rstrip("/").split("/")
        at = next((place for place, folder in enumerate(folders[:2]) if folder in SPLITS), None)
        if at is None or not all(map(is_plain, (*folders, file))):
            continue
        is_image = image_files.format_of(file) is not None
        if is_image and is_file and len(folders) > at + 1:
            if size > MAX_FILE_BYTES:
                rule = f"must be at most {MAX_FILE_BYTES:,} bytes. Received: {size:,}. Remove it."
                raise DataError(f"{name} in {path}: {rule}")
            tops.add("/".join(folders[: at + 1]))
            images[folders[at]].append((folders[at + 1], name))
        elif is_image or not name.endswith("/"):  # a folder is nothing to tell of
            reason = NO_SUFFIX if not is_image else NO_CLASS if is_file else NO_FILE
            left_out.setdefault(reason, []).append(name)
    tree = Tree(path, {split: sorted(found) for split, found in images.items()}, _told(left_out))
    _check(tree, tops)
    return tree


def _told(left_out: dict[str, list[str]]) -> str:
    count = sum(map(len, left_out.values()))
    reasons = (
        f"{len(names):,} {reason} ({names[0]}{', ...' if len(names) > 1 else ''})" for reason, names in left_out.items()
    )
    return f"left out {count:,} file{'s' * (count > 1)}: {', '.join(reasons)}." if count else ""


def _check(tree: Tree, tops: set[str]) -> None:
    train, test = map(tree.classes, SPLITS)
    if not train or not test:
        found = f" Received: {tree.left_out}" if tree.left_out else ""
        place = "test" if train else "train"
        raise DataError(f"{tree.path}: no images found in {place}/<class>/.{found} {RECOGNISED}")
    if len({top.rpartition("/")[0] for top in tops}) > 1:
        places = ", ".join(f"{top}/" for top in sorted(tops))
        raise DataError(f"{tree.path}: must hold one train/ beside one test/. Received: {places}. {RECOGNISED}")
    if train != test:
        raise DataError(
            f"{tree.path}: must hold the same classes in train/ and test/. Received: {len(train)} and {len(test)}, "
            f"in one of them only: {', '.join(sorted(set(train) ^ set(test))[:3])}. Give both the same folders."
        )


def decode(tree: Tree, read: Read, progress: Progress) -> tuple[Part, Part]:
    """The training images and the test images, all of the first one's size.

    Raises:
        DataError: They are more than `official.MAX_BYTES`, or one cannot be read, see `image_files.decode`.
    """

    def decode_one(name: str, like: tuple[int, ...] | None = None) -> Images:
        return image_files.decode(f"{name} in {tree.path}", partial(read, name), like)

    def decode_split(split: str) -> Part:
        def fill(index: int) -> None:
            images[index] = decode_one(named[index][1], size)

        named = tree.images[split]
        images = np.empty((len(named), *size), np.uint8)
        for done, _ in enumerate(pool.imap(fill, range(len(named)), CHUNK), 1):
            if done % TOLD_EVERY == 0 or done == len(named):
                progress(f"Decoding {split} images: {done:,} of {len(named):,}")
        return images, np.array([places[folder] for folder, _ in named], np.int32)

    places = {folder: place for place, folder in enumerate(tree.classes())}
    size = decode_one(tree.images["train"][0][1]).shape
    count = sum(map(len, tree.images.values()))
    if count > official.MAX_IMAGES or count * math.prod(size) > official.MAX_BYTES:
        raise official.too_large(tree.path)
    with ThreadPool(os.cpu_count()) as pool:  # one thread decodes while another waits for the disk
        return decode_split("train"), decode_split("test")
