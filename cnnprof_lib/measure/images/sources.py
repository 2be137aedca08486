"""The places images come from: CIFAR-10's official archive or its folder, a folder or zip of images.

Nothing is unpickled and nothing is unpacked to disk: archives are read as streams of bytes. No source fills the
memory: `official.MAX_BYTES` and `tree.MAX_FILE_BYTES` bound what is read of it.
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
from functools import partial
from pathlib import Path
from typing import Literal

from ...base.errors import DataError
from . import official
from . import tree as image_tree
from .files import format_of
from .official import Images, Labels
from .tree import SPLITS, Progress

Kind = Literal["official archive", "official folder", "folder of images", "zip of images"]
_ARCHIVES: dict[str, Kind] = {".tar.gz": "official archive", ".tgz": "official archive", ".zip": "zip of images"}


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test images in the order of their source.

    Attributes:
        name: "CIFAR-10" for the official release, known by its checksum or its pixels; "CIFAR-10 (JPEG copy)" or
            "CIFAR-10 (PNG copy)" for as many images of the same classes as such files; else the name of the folder or
            archive.
        sha256: For an archive, the hash of its bytes. For a folder, the hash of the sorted names, sizes and
            modification times (ns) of its files: it tells folders apart but does not stand for their pixels.
        classes: Their names; a label is an index into them.
        train_images: uint8 of shape `(n, rows, columns, 3)`, RGB.
        train_labels: int32 of shape `(n,)`.
        test_images: As `train_images`, of the same size.
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
    """A place that images are read from, or will be.

    Attributes:
        kind: What it was recognised as.
        path: The file or folder as it was named; for a download not made yet, where it will be.
        root: The file itself, or the folder that holds the .bin files or `train/` and `test/`.
        origin: "--data", "CNNPROF_DATA" or "download": what chose the place.
    """

    kind: Kind
    path: Path
    root: Path
    origin: str = "--data"

    @property
    def exists(self) -> bool:
        """False for a download not made yet."""
        return self.root.exists()


def recognise(path: Path, origin: str = "--data") -> Source:
    """Tells by names alone, without reading an image, what kind of source a path is.

    Raises:
        DataError: If nothing is there, or nothing that is recognised.
    """
    path = path.expanduser()
    with _reading(path):
        if path.is_file():
            if suffix := _suffix(path):
                return Source(_ARCHIVES[suffix], path, path, origin)
            what = "not recognised. Received: a file that is no .tar.gz or .zip"
        elif path.is_dir():
            inner = [folder for folder in path.iterdir() if folder.is_dir() and image_tree.is_plain(folder.name)]
            for root in (path, path / "cifar-10-batches-bin", *(inner if len(inner) == 1 else ())):
                if any((root / name).is_file() for name in (*official.TRAIN_FILES, official.TEST_FILE)):
                    return Source("official folder", path, root, origin)
                if any((root / split).is_dir() for split in SPLITS):
                    return Source("folder of images", path, root, origin)
            what = "not recognised. Received: a folder without .bin files, train/ or test/"
        else:
            is_odd = path.exists()
            what = "not recognised. Received: neither a file nor a folder" if is_odd else "no such file or folder"
    raise DataError(f"{path}: {what}. {image_tree.RECOGNISED}")


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in _ARCHIVES if path.name.lower().endswith(suffix)), None)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Makes one line of what is wrong with a file or folder as a whole."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
        received = f"{path.stat().st_size:,} bytes that do not unpack"
        raise DataError(f"{path}: truncated or damaged. Received: {received}. Get it again.") from error
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be read. Received: {reason}. Check the path and its permissions.") from error


def fingerprint(source: Source) -> str:
    """A text that changes when the source does, cheap enough for every start: no file's content is read."""
    with _reading(source.path):
        facts = source.root.stat()
        mark = f"{facts.st_size} {facts.st_mtime_ns}" if source.root.is_file() else _sha256(source)
        return f"{source.path.resolve()} {mark}"


def _sha256(source: Source) -> str:
    if source.root.is_file():
        return _hash(source.root, "sha256")
    lines = (f"{name}\0{size}\0{changed_ns}\n" for name, _, size, changed_ns in image_tree.of_folder(source.root))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def decode(source: Source, progress: Progress) -> DataSet:
    """Reads all images of a source into memory (184 MB for CIFAR-10).

    Raises:
        DataError: If the source cannot be read, is incomplete or damaged, or holds images of several sizes.
    """
    path, root = source.path, source.root
    with _reading(path):
        if source.kind == "official archive":
            return _decode_records(source, official.unpack(root, progress))
        if source.kind == "zip of images":
            with _opened(root) as archive:
                read = partial(image_tree.read_zipped, archive)
                return _decode_tree(source, image_tree.of_zip(archive), read, progress)
        entries = image_tree.of_folder(root)
        if source.kind == "folder of images":
            return _decode_tree(source, entries, lambda name: (root / name).read_bytes(), progress)
        files = [entry for entry in entries if entry.name in official.FILES]
        if sum(file.size for file in files) > official.MAX_BYTES:
            raise official.too_large(path)
        return _decode_records(source, {file.name: (root / file.name).read_bytes() for file in files})


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (NotImplementedError, ValueError) as error:
        raise zipfile.BadZipFile from error


def _own_name(source: Source) -> str:
    """The name of the folder, or of the file without its suffix."""
    name = source.path.resolve().name
    if source.root.is_file() and (suffix := _suffix(Path(name))):
        name = name[: -len(suffix)]
    return f"{name} (unchecked)" if name.startswith("CIFAR-10") else name  # a name proves nothing


def _decode_records(source: Source, files: dict[str, bytes]) -> DataSet:
    classes, train, test = official.decode(source.path, files)
    data = DataSet(_own_name(source), _sha256(source), classes, *train, *test)
    if not _is_whole(data):
        return data
    if source.kind == "official archive":
        is_release = _hash(source.root, "md5") == official.ARCHIVE_MD5
    else:
        is_release = official.has_its_pixels("train", *train) and official.has_its_pixels("test", *test)
    if is_release:
        return dataclasses.replace(data, name="CIFAR-10")
    notice = f"has as many images as CIFAR-10, but is not its official release. It is called {data.name}."
    return dataclasses.replace(data, notices=(f"{source.path}: {notice}",))


def _decode_tree(source: Source, entries: list[image_tree.Entry], read: image_tree.Read, progress: Progress) -> DataSet:
    tree = image_tree.sort_out(source.path, entries)
    train, test = image_tree.decode(tree, read, progress)
    notices = (f"{source.path}: {tree.left_out}",) if tree.left_out else ()
    data = DataSet(_own_name(source), _sha256(source), tree.classes(), *train, *test, notices=notices)
    is_copy = _is_whole(data) and official.class_positions(data.classes, official.CLASSES) is not None
    kinds = {format_of(name) for images in tree.images.values() for _, name in images}
    if is_copy and kinds in ({"JPEG"}, {"PNG"}):
        return dataclasses.replace(data, name=f"CIFAR-10 ({kinds.pop()} copy)")
    return data


def _is_whole(data: DataSet) -> bool:
    shapes = [(count, official.SIDE, official.SIDE, 3) for count in official.COUNTS.values()]
    return [data.train_images.shape, data.test_images.shape] == shapes
