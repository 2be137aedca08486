"""The places images come from: CIFAR-10's official archive or its folder, a folder or zip of images.

Nothing is unpickled and nothing is unpacked to disk: archives are read as streams of bytes. No source fills the
memory: `official.MAX_IMAGES` and `image_files.MAX_FILE_BYTES` bound what is read of it.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...base.errors import DataError
from . import official
from . import tree as image_tree
from .official import CLASSES, Images, Labels
from .tree import RECOGNISED, SPLITS, Progress, is_plain

Kind = Literal["official archive", "official folder", "folder of images", "zip of images"]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images of ten classes, in the order of their source.

    Attributes:
        name: "CIFAR-10" for the official release, known by its checksum or its pixels; "CIFAR-10 (JPEG copy)" or
            "CIFAR-10 (PNG copy)" for as many images of the same classes as such files; else the name of the folder or
            archive.
        sha256: For an archive, the hash of its bytes. For a folder, the hash of the sorted names, sizes and
            modification times (ns) of its files: it tells folders apart but does not stand for their pixels.
        classes: Ten names; a label is an index into them.
        train_images: uint8 of shape `(n, 32, 32, 3)`, RGB.
        train_labels: int32 of shape `(n,)`, 0 to 9.
        test_images: As `train_images`.
        test_labels: As `train_labels`.
        notices: What a user should know of it, each in a line: what was left out, what it is not.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A place that images can be read from.

    Attributes:
        kind: What it was recognised as.
        path: The file or folder as it was named.
        root: The file itself, or the folder that holds the .bin files or `train/` and `test/`.
    """

    kind: Kind
    path: Path
    root: Path


def recognise(path: Path) -> Source:
    """Tells by names alone, without reading an image, what kind of source a path is.

    Raises:
        DataError: If nothing is there, or nothing that is recognised.
    """
    path = path.expanduser()
    with _reading(path):
        if path.is_file():
            if path.name.lower().endswith((".tar.gz", ".tgz")):
                return Source("official archive", path, path)
            if path.name.lower().endswith(".zip"):
                return Source("zip of images", path, path)
            raise DataError(f"{path}: not recognised. Received: a file that is no .tar.gz or .zip. {RECOGNISED}")
        if not path.is_dir():
            what = (
                "not recognised. Received: neither a file nor a folder" if path.exists() else "no such file or folder"
            )
            raise DataError(f"{path}: {what}. {RECOGNISED}")
        inner = [entry for entry in path.iterdir() if entry.is_dir() and is_plain(entry.name)]
        for root in (path, path / "cifar-10-batches-bin", *(inner if len(inner) == 1 else ())):
            if any((root / name).is_file() for name in (*official.TRAIN_FILES, official.TEST_FILE)):
                return Source("official folder", path, root)
            if any((root / split).is_dir() for split in SPLITS):
                return Source("folder of images", path, root)
    raise DataError(f"{path}: not recognised. Received: a folder without .bin files, train/ or test/. {RECOGNISED}")


def fingerprint(source: Source) -> str:
    """A text that changes when the source does, cheap enough for every start: no file's content is read."""
    with _reading(source.path):
        facts = source.root.stat()
        mark = f"{facts.st_size} {facts.st_mtime_ns}" if source.root.is_file() else _sha256(source)
        return f"{source.path.resolve()} {mark}"


def decode(source: Source, progress: Progress) -> DataSet:
    """Reads all images of a source into memory (184 MB for CIFAR-10).

    Raises:
        DataError: If the source cannot be read, is incomplete or damaged, or holds images of another kind.
    """
    with _reading(source.path):
        if source.kind == "official archive":
            return _decode_records(source, _unpack(source, progress))
        if source.kind == "official folder":
            files = [source.root / name for name in _names(source)]
            if sum(file.stat().st_size for file in files) > official.MAX_BYTES:
                raise official.too_large(source.path)
            return _decode_records(source, {file.name: file.read_bytes() for file in files})
        if source.kind == "folder of images":
            return _decode_tree(source, *image_tree.of_folder(source.path, source.root), progress)
        try:
            archive = zipfile.ZipFile(source.root)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise _damaged(source) from error
        with archive:
            return _decode_tree(source, *image_tree.of_zip(source.path, archive), progress)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be read. Received: {reason}. Check the path and its permissions.") from error


def _damaged(source: Source) -> DataError:
    size = source.root.stat().st_size
    return DataError(f"{source.path}: truncated or damaged. Received: {size:,} bytes that do not unpack. Get it again.")


def _names(source: Source) -> list[str]:
    """Names of what a folder holds that may count, relative to its root, sorted."""
    if source.kind == "official folder":
        return sorted(name for name in official.FILES if (source.root / name).is_file())
    return image_tree.folder_names(source.root)


def _sha256(source: Source) -> str:
    if source.root.is_file():
        import pooch

        return str(pooch.file_hash(str(source.root), alg="sha256"))
    digest = hashlib.sha256()
    for name in _names(source):
        if name.endswith("/"):
            continue  # a folder changes with what is in it
        file = source.root / name
        facts = file.stat() if file.exists() else file.lstat()  # a link that leads nowhere
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _own_name(source: Source) -> str:
    """The name of the folder, or of the file without its suffix."""
    name = source.path.resolve().name
    suffixes = (".tar.gz", ".tgz", ".zip") if source.root.is_file() else ()
    name = next((name[: -len(suffix)] for suffix in suffixes if name.lower().endswith(suffix)), name)
    return f"{name} (unchecked)" if name.startswith("CIFAR-10") else name  # a name proves nothing


def _unpack(source: Source, progress: Progress) -> dict[str, bytes]:
    try:
        return official.unpack(source.root, progress)
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise _damaged(source) from error


def _decode_records(source: Source, files: dict[str, bytes]) -> DataSet:
    missing = [name for name in (*official.TRAIN_FILES, official.TEST_FILE) if name not in files]
    if missing:
        raise DataError(
            f"{source.path}: must hold {official.TRAIN_FILES[0]} to {official.TRAIN_FILES[-1]} and "
            f"{official.TEST_FILE}. Received: no {', '.join(missing)}. "
            f"Give the whole binary version, {official.ARCHIVE_NAME}."
        )
    classes = official.class_names(files.get(official.NAMES_FILE))
    parts = [official.split_records(name, files[name]) for name in official.TRAIN_FILES]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    test = official.split_records(official.TEST_FILE, files[official.TEST_FILE])
    data = DataSet(_own_name(source), _sha256(source), classes, images, labels, *test)
    if not _is_whole(data):
        return data
    if _is_release(source, data):
        return dataclasses.replace(data, name="CIFAR-10")
    notice = (
        f"{source.path}: has as many images as CIFAR-10, but is not its official release. It is called {data.name}."
    )
    return dataclasses.replace(data, notices=(notice,))


def _is_whole(data: DataSet) -> bool:
    return (len(data.train_images), len(data.test_images)) == tuple(official.COUNTS[split] for split in SPLITS)


def _is_release(source: Source, data: DataSet) -> bool:
    if source.kind == "official archive":
        import pooch

        return str(pooch.file_hash(str(source.root), alg="md5")) == official.ARCHIVE_MD5
    return official.has_its_pixels("train", data.train_images, data.train_labels) and official.has_its_pixels(
        "test", data.test_images, data.test_labels
    )


def _decode_tree(source: Source, tree: image_tree.Tree, read: image_tree.Read, progress: Progress) -> DataSet:
    images = {split: image_tree.decode(tree, split, read, progress) for split in SPLITS}
    data = DataSet(
        name=_own_name(source),
        sha256=_sha256(source),
        classes=tree.classes,
        train_images=images["train"],
        train_labels=tree.labels("train"),
        test_images=images["test"],
        test_labels=tree.labels("test"),
        notices=(f"{source.path}: {tree.told()}",) if tree.left_out else (),
    )
    kind = next(iter(formats)) if len(formats := tree.formats()) == 1 else None
    if kind in ("JPEG", "PNG") and _is_whole(data) and official.class_positions(data.classes, CLASSES) is not None:
        return dataclasses.replace(data, name=f"CIFAR-10 ({kind} copy)")
    return data
