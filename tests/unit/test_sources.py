"""Reading archives, folders and zips of images; the builders here serve test_data.py too."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnprof_lib.base.errors import CnnprofError, DataError
from cnnprof_lib.measure.images import files as image_files
from cnnprof_lib.measure.images import official, sources
from cnnprof_lib.measure.images import tree as image_tree

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILES = ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin")
RECOGNISED = (
    "Give cifar-10-binary.tar.gz, the folder unpacked from it, "
    "or a folder or .zip of train/<class>/ and test/<class>/ with images."
)


def make_records(labels: list[int], seed: int = 0) -> bytes:
    """Records of the official format with random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3_072), np.uint8)
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1).tobytes()


def make_files() -> dict[str, bytes]:
    """The official files, name to content, with two records in each of training and three of test."""
    files = {name: make_records([i, i + 1], i) for i, name in enumerate(FILES)}
    return files | {"test_batch.bin": make_records([9, 0, 5], 6), "batches.meta.txt": "\n".join(CLASSES).encode()}


def make_archive(path: Path, files: dict[str, bytes] | None = None) -> Path:
    """A .tar.gz of `cifar-10-batches-bin/`."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (make_files() if files is None else files).items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_image(value: int = 0, size: tuple[int, int] = (32, 32), kind: str = "PNG", mode: str = "RGB") -> bytes:
    """The bytes of an image file of one colour."""
    content = io.BytesIO()
    Image.new(mode, size, (value,) * len(mode) if len(mode) > 1 else value).save(content, kind)
    return content.getvalue()


def make_tree(classes: tuple[str, ...] = CLASSES, top: str = "") -> dict[str, bytes]:
    """Two training images and a test image for each class, name to content."""
    tree = {}
    for index, name in enumerate(classes):
        tree |= {f"{top}train/{name}/{i}.png": make_image(10 * index + i) for i in range(2)}
        tree[f"{top}test/{name}/0.png"] = make_image(10 * index + 5)
    return tree


def make_zip(path: Path, tree: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (make_tree() if tree is None else tree).items():
            archive.writestr(name, content)
    return path


def make_folder(path: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, content in (make_tree() if files is None else files).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def decode(path: Path) -> sources.DataSet:
    return sources.decode(sources.recognise(path), lambda message: None)


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that Python allocates during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def message_of(call: Callable[[], object], kind: type[CnnprofError] = DataError) -> str:
    """The text of the error that a call must raise."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_official_archive(tmp_path: Path) -> None:
    data = decode(make_archive(tmp_path / "small.tar.gz"))
    assert data.classes == CLASSES
    assert data.train_images.shape == (10, 32, 32, 3)
    assert data.train_images.dtype == np.uint8
    assert data.train_labels.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert data.train_labels.dtype == np.int32
    assert data.test_labels.tolist() == [9, 0, 5]
    assert data.name == "small"  # not CIFAR-10: fewer images


def test_pixels_of_a_record_are_planes_of_rows(tmp_path: Path) -> None:
    planes = np.zeros((3, 32, 32), np.uint8)
    planes[0, 0, 1] = 1  # red, first row, second column
    planes[2, 31, 0] = 2  # blue, last row, first column
    data = decode(make_archive(tmp_path / "a.tar.gz", make_files() | {"test_batch.bin": b"\7" + planes.tobytes()}))
    assert data.test_labels.tolist() == [7]
    assert data.test_images[0, 0, 1].tolist() == [1, 0, 0]
    assert data.test_images[0, 31, 0].tolist() == [0, 0, 2]
    assert data.test_images.sum() == 3


@pytest.mark.parametrize("above", ["cifar-10-batches-bin", "download/cifar-10-batches-bin", "other/inner"])
def test_official_folder_or_one_above(tmp_path: Path, above: str) -> None:
    folder = make_folder(tmp_path / above, make_files())
    expected = decode(make_archive(tmp_path / "a.tar.gz"))
    for named in {folder, tmp_path / above.split("/")[0]}:
        assert np.array_equal(decode(named).train_images, expected.train_images)


def test_class_names_come_from_the_archive_or_are_the_usual_ten(tmp_path: Path) -> None:
    files = make_files()
    del files["batches.meta.txt"]
    assert decode(make_archive(tmp_path / "a.tar.gz", files)).classes == CLASSES
    files["batches.meta.txt"] = b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n"
    assert decode(make_archive(tmp_path / "b.tar.gz", files)).classes == tuple("abcdefghij")
    files["batches.meta.txt"] = b"a\nb\n"
    assert message_of(lambda: decode(make_archive(tmp_path / "c.tar.gz", files))) == (
        "batches.meta.txt: must hold 10 class names. Received: 2. Download the archive again."
    )


def whole_files() -> dict[str, bytes]:
    """As many records as CIFAR-10 has, all alike."""
    return dict.fromkeys((*FILES, "test_batch.bin"), b"\0" * (3_073 * 10_000))


def test_the_official_archive_is_known_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_archive(tmp_path / "any.tgz")
    source = sources.recognise(path)
    other = sources._decode_records(source, whole_files())
    assert other.name == "any"
    assert other.notices == (
        f"{path}: has as many images as CIFAR-10, but is not its official release. It is called any.",
    )
    monkeypatch.setattr(official, "ARCHIVE_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    release = sources._decode_records(source, whole_files())
    assert (release.name, release.notices) == ("CIFAR-10", ())


def test_the_official_files_are_known_by_their_classes_and_channel_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources.recognise(make_folder(tmp_path / "CIFAR-10", make_files()))
    assert sources._decode_records(source, whole_files()).name == "CIFAR-10 (unchecked)"
    labels = np.arange(10_000) % 10
    records = np.zeros((10_000, 3_073), np.uint8)
    records[:, 0] = labels
    records[:, 1], records[:, 1_025], records[:, 2_049] = 1, 2, 3
    files = dict.fromkeys((*FILES, "test_batch.bin"), records.tobytes())
    sums = {"train": (50_000, 100_000, 150_000), "test": (10_000, 20_000, 30_000)}
    monkeypatch.setattr(official, "CHANNEL_SUMS", sums)
    assert sources._decode_records(source, files).name == "CIFAR-10"
    records[0, 5] = 1  # one value more in the test images
    assert sources._decode_records(source, files | {"test_batch.bin": records.tobytes()}).name == "CIFAR-10 (unchecked)"
    records[0, 5], records[0, 0] = 0, 1  # one label
    assert sources._decode_records(source, files | {"test_batch.bin": records.tobytes()}).name == "CIFAR-10 (unchecked)"


def test_channel_sums_are_the_published_means() -> None:
    means = {"train": (125.306918046875, 122.950394140625, 113.86538318359375)}
    means["test"] = (126.02464140625, 123.70850419921875, 114.85431865234375)
    for split, sums in official.CHANNEL_SUMS.items():
        assert tuple(total / (official.COUNTS[split] * 32 * 32) for total in sums) == means[split]


@pytest.mark.parametrize("name", ["data_batch_2.bin", "readme.html"])
def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(official, "MAX_BYTES", 20 << 20)
    path = make_archive(tmp_path / "a.tar.gz", make_files() | {name: bytes(30 << 20)})
    expected = f"{path}: must hold at most 500,000 images, 20,971,520 bytes. Received: more. Give a smaller set."
    assert message_of(lambda: decode(path)) == expected
    assert peak_bytes(lambda: message_of(lambda: decode(path))) < 5 << 20


def test_headers_and_padding_of_an_archive_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", pax_headers={"comment": "x" * (3 << 20)}) as archive:
        archive.addfile(tarfile.TarInfo("cifar-10-batches-bin/readme.html"))
    expected = f"{path}: must hold at most 500,000 images, 1,536,500,000 bytes. Received: more. Give a smaller set."
    assert message_of(lambda: decode(path)) == expected
    content = gzip.decompress(make_archive(path).read_bytes())
    path.write_bytes(gzip.compress(content + bytes(9 << 20)))
    assert message_of(lambda: decode(path)) == expected


def test_an_official_folder_of_gigabytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "MAX_BYTES", 1_000)
    path = make_folder(tmp_path / "a", make_files())
    assert message_of(lambda: decode(path)) == (
        f"{path}: must hold at most 500,000 images, 1,000 bytes. Received: more. Give a smaller set."
    )


def test_label_out_of_range(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", make_files() | {"data_batch_3.bin": make_records([0] * 42 + [17])})
    assert message_of(lambda: decode(archive)) == (
        "data_batch_3.bin: label must be 0 to 9. Received: 17 at record 42. Download the archive again."
    )


@pytest.mark.parametrize(("size", "received"), [(4_000, "4,000"), (0, "0")])
def test_records_cut_short(tmp_path: Path, size: int, received: str) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", make_files() | {"data_batch_5.bin": b"\0" * size})
    assert message_of(lambda: decode(archive)) == (
        f"data_batch_5.bin: must hold whole records of 3,073 bytes. Received: {received} bytes. "
        "Download the archive again."
    )


def test_other_version_of_the_archive(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "cifar-10-python.tar.gz", {"data_batch_1": b"x", "test_batch.bin": b"x"})
    assert message_of(lambda: decode(archive)) == (
        f"{archive}: must hold data_batch_1.bin to data_batch_5.bin and test_batch.bin. "
        "Received: no data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin. "
        "Give the whole binary version, cifar-10-binary.tar.gz."
    )


def test_every_truncation_of_an_archive_is_one_line(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    content = archive.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 9, len(content) - 1):
        archive.write_bytes(content[:size])
        assert message_of(lambda: decode(archive)) == (
            f"{archive}: truncated or damaged. Received: {size:,} bytes that do not unpack. Get it again."
        )


def test_changed_byte_in_an_archive_is_noticed(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz")
    stored = gzip.compress(gzip.decompress(archive.read_bytes()), compresslevel=0)
    at = len(stored) // 2
    archive.write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
    assert message_of(lambda: decode(archive)) == (
        f"{archive}: truncated or damaged. Received: {len(stored):,} bytes that do not unpack. Get it again."
    )


@pytest.mark.parametrize("top", ["", "CIFAR/"])
@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_tree_of_images(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], top: str) -> None:
    clutter = {f"{top}train/.DS_Store": b"x", f"{top}train/cat/._0.png": b"x", f"{top}train/cat/notes.txt": b"x"}
    clutter |= {f"__MACOSX/{top}train/cat/0.png": b"x"}
    classes = tuple(reversed("abcdefghij"))
    data = decode(make(tmp_path / "ten.zip", make_tree(classes, top) | clutter))
    assert data.name == ("ten" if make is make_zip else "ten.zip")
    assert data.classes == tuple("abcdefghij")
    assert data.train_labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert data.test_labels.tolist() == list(range(10))
    assert data.train_labels.dtype == np.int32
    assert data.train_images[:, 0, 0, 0].tolist() == [10 * (9 - label) + i for label in range(10) for i in range(2)]
    assert data.test_images[:, 31, 31, 2].tolist() == [95 - 10 * label for label in range(10)]


@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_whatever_pillow_reads_is_read_and_so_are_folders_deeper(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    tree = make_tree() | {
        "test/bird/1.JPEG": make_image(50, kind="JPEG"),
        "test/bird/2.bmp": make_image(51, kind="BMP"),
    }
    tree |= {"test/bird/3.gif": make_image(52, kind="GIF", mode="L"), "test/bird/4.tif": make_image(53, kind="TIFF")}
    tree |= {"test/bird/5.ppm": make_image(54, kind="PPM"), "test/bird/more/6/6.png": make_image(55)}
    data = decode(make(tmp_path / "a.zip", tree))
    assert np.bincount(data.test_labels).tolist() == [1, 1, 7, 1, 1, 1, 1, 1, 1, 1]
    assert data.test_images[3:9, 9, 9].tolist() == [[value] * 3 for value in (50, 51, 52, 53, 54, 55)]
    assert data.notices == ()


@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_what_is_left_out_is_told_by_reason(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> None:
    others = {"train/cat/notes.txt": b"x", "train/cat/0001": make_image(), "train/page.eps": b"%!PS-Adobe-3.0 EPSF-3.0"}
    hidden = {"train/cat/.DS_Store": b"x", "train/.git/x.png": b"x", "readme.md": b"x"}
    path = make(tmp_path / "a.zip", make_tree() | others | {"test/loose.png": make_image()} | hidden)
    data = decode(path)
    assert len(data.train_images) == 20
    assert data.notices == (
        f"{path}: left out 4 files: 1 in no class folder (test/loose.png), "
        "3 without the suffix of an image (train/cat/0001, ...).",
    )


def test_pipes_devices_and_folders_called_as_images_are_left_out(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "a")
    os.mkfifo(path / "train/cat/x.png")
    (path / "train/cat/y.png").symlink_to("/dev/zero")
    (path / "train/dog/z.png").mkdir()
    (path / "train/dog/gone.png").symlink_to("nowhere")
    (path / "train/dog/ring").symlink_to(path / "train")
    data = decode(path)
    assert len(data.train_images) == 20
    assert data.notices == (
        f"{path}: left out 5 files: 4 not regular (train/cat/x.png, ...), "
        "1 without the suffix of an image (train/dog/ring).",
    )
    zipped = make_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(zipped, "a") as archive:
        link = zipfile.ZipInfo("test/cat/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "0.png")
    assert decode(zipped).notices == (f"{zipped}: left out 1 file: 1 not regular (test/cat/link.png).",)


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "a")
    (path / "test/cat").rename(tmp_path / "cat")
    (path / "test/cat").symlink_to(tmp_path / "cat")
    assert decode(path).test_labels.tolist() == list(range(10))


def test_a_pipe_in_place_of_a_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    os.mkfifo(path)
    assert message_of(lambda: sources.recognise(path)) == (
        f"{path}: not recognised. Received: neither a file nor a folder. {RECOGNISED}"
    )


def test_a_zip_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/airplane/2.png", bytes(60 << 20))
    assert message_of(lambda: decode(path)) == (
        f"train/airplane/2.png in {path}: must be at most 16,777,216 bytes. Received: 62,914,560. Remove it."
    )
    assert peak_bytes(lambda: message_of(lambda: decode(path))) < 1 << 20


def test_an_image_in_a_folder_of_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "a")
    os.truncate(path / "train/airplane/1.png", 60 << 20)
    assert message_of(lambda: decode(path)) == (
        f"train/airplane/1.png in {path}: must be at most 16,777,216 bytes. Received: 62,914,560. Remove it."
    )
    assert peak_bytes(lambda: message_of(lambda: decode(path))) < 1 << 20


@pytest.mark.parametrize("place", ["train/airplane/0.png", "test/truck/0.png"])
def test_a_few_bytes_that_stand_for_a_huge_image_are_refused_undecoded(tmp_path: Path, place: str) -> None:
    huge = make_image(size=(8_192, 4_096), mode="L")
    path = make_zip(tmp_path / "a.zip", make_tree() | {place: huge})
    rule = "at most 16,777,216 pixels" if "airplane" in place else "32x32 pixels, as the first image is"
    expected = f"{place} in {path}: must be {rule}. Received: 8192x4096. Remove it, or give images of one size."
    assert message_of(lambda: decode(path)) == expected
    assert peak_bytes(lambda: message_of(lambda: decode(path))) < 1 << 20


def test_a_zip_of_another_compression_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("train/airplane/2.png", make_image())
    assert message_of(lambda: decode(path)) == (
        f"train/airplane/2.png in {path}: must be stored or deflated. Received: compression 12. "
        "Zip it again, without a choice of method."
    )


def test_a_tree_of_too_many_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "MAX_IMAGES", 29)
    path = make_zip(tmp_path / "a.zip")
    assert message_of(lambda: decode(path)).startswith(f"{path}: must hold at most 29 images, ")


@pytest.mark.parametrize(
    ("suffix", "classes", "side", "name"),
    [
        (".jpg", CLASSES, 32, "CIFAR-10 (JPEG copy)"),
        (".jpeg", tuple(name.upper() if "i" in name else name for name in CLASSES), 32, "CIFAR-10 (JPEG copy)"),
        (".png", tuple("9876543210"), 32, "CIFAR-10 (PNG copy)"),
        (".bmp", CLASSES, 32, "set"),
        (".png", tuple("abcdefghij"), 32, "set"),
        (".jpg", CLASSES, 24, "set"),
    ],
)
def test_name_of_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, classes: tuple[str, ...], side: int, name: str
) -> None:
    monkeypatch.setattr(image_files, "decode", lambda name, read, like=None: np.zeros((side, side, 3), np.uint8))
    counts = {"train": 5_000, "test": 1_000}
    names = [f"{split}/{c}/{i}{suffix}" for split, count in counts.items() for c in classes for i in range(count)]
    source = sources.recognise(make_zip(tmp_path / "set.zip", {"train/a/0.png": b""}))
    entries = [image_tree.Entry(name, is_file=True) for name in names]
    assert sources._decode_tree(source, entries, lambda name: b"", lambda message: None).name == name


def test_image_of_another_size(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", make_tree() | {"train/cat/1.png": make_image(size=(64, 48))})
    assert message_of(lambda: decode(path)) == (
        f"train/cat/1.png in {path}: must be 32x32 pixels, as the first image is. Received: 64x48. "
        "Remove it, or give images of one size."
    )


@pytest.mark.parametrize("make", [make_zip, make_folder])
@pytest.mark.parametrize("count", [1, 9, 300])
def test_any_number_of_classes_and_any_one_size(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], count: int
) -> None:
    tree = {}
    for place in range(count):
        image = make_image(place % 251, size=(40, 24))
        tree |= {f"train/{place:03}/0.png": image, f"test/{place:03}/0.png": image}
    data = decode(make(tmp_path / "a.zip", tree))
    assert data.classes == tuple(f"{place:03}" for place in range(count))
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        assert images.shape == (count, 24, 40, 3)
        assert (labels.dtype, labels.tolist()) == (np.int32, list(range(count)))
        assert images[:, 23, 39, 1].tolist() == [place % 251 for place in range(count)]


def test_an_image_on_its_side_has_the_size_that_a_viewer_shows(tmp_path: Path) -> None:
    def turned(size: tuple[int, int]) -> bytes:
        exif, content = Image.Exif(), io.BytesIO()
        exif[0x0112] = 6
        Image.new("RGB", size).save(content, "PNG", exif=exif)
        return content.getvalue()

    tree = {f"{split}/cat/0.png": make_image(size=(40, 24)) for split in ("train", "test")}
    path = make_zip(tmp_path / "a.zip", tree | {"train/cat/1.png": turned((24, 40))})
    assert decode(path).train_images.shape == (2, 24, 40, 3)
    make_zip(path, tree | {"train/cat/1.png": turned((40, 24))})
    assert message_of(lambda: decode(path)) == (
        f"train/cat/1.png in {path}: must be 40x24 pixels, as the first image is. Received: 24x40. "
        "Remove it, or give images of one size."
    )


def test_large_images_are_bounded_by_all_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "MAX_BYTES", 2 * 24 * 40 * 3)
    tree = {f"{split}/cat/0.png": make_image(size=(40, 24)) for split in ("train", "test")}
    assert len(decode(make_zip(tmp_path / "a.zip", tree)).train_images) == 1
    path = make_zip(tmp_path / "b.zip", tree | {"test/cat/1.png": make_image(size=(40, 24))})
    assert message_of(lambda: decode(path)) == (
        f"{path}: must hold at most 500,000 images, 5,760 bytes. Received: more. Give a smaller set."
    )


def test_decoded_images_are_held_once(tmp_path: Path) -> None:
    image = make_image(size=(256, 256))
    tree = {f"{split}/cat/{place:03}.png": image for split in ("train", "test") for place in range(100)}
    path = make_zip(tmp_path / "a.zip", tree)
    decode(path)  # Pillow's plug-ins are loaded
    assert peak_bytes(lambda: decode(path)) < 1.5 * 200 * 256 * 256 * 3


@pytest.mark.parametrize("make", [make_zip, make_folder])
@pytest.mark.parametrize(
    ("content", "reason"), [(make_image(kind="JPEG")[:300], "OSError"), (b"no image", "UnidentifiedImageError")]
)
def test_damaged_image(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], content: bytes, reason: str
) -> None:
    path = make(tmp_path / "a.zip", make_tree() | {"test/dog/0.png": content})
    assert message_of(lambda: decode(path)) == (
        f"test/dog/0.png in {path}: cannot be decoded. Received: {reason}. Get it again."
    )


def test_changed_byte_in_a_zip_is_noticed(tmp_path: Path) -> None:
    image = make_image(123)
    path = make_zip(tmp_path / "a.zip", make_tree() | {"test/dog/0.png": image})
    content = path.read_bytes()
    at = content.index(image) + len(image) // 2
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert message_of(lambda: decode(path)) == (
        f"test/dog/0.png in {path}: cannot be decoded. Received: BadZipFile. Get it again."
    )


def test_truncated_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert message_of(lambda: decode(path)) == (
            f"{path}: truncated or damaged. Received: {size:,} bytes that do not unpack. Get it again."
        )


@pytest.mark.parametrize("make", [make_zip, make_folder])
@pytest.mark.parametrize("split", ["train", "test"])
def test_split_missing(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], split: str) -> None:
    path = make(tmp_path / "a.zip", {k: v for k, v in make_tree().items() if not k.startswith(split)})
    assert message_of(lambda: decode(path)) == f"{path}: no images found in {split}/<class>/. {RECOGNISED}"


def test_images_without_suffixes_are_told_of(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {name.removesuffix(".png"): content for name, content in make_tree().items()})
    assert message_of(lambda: decode(path)) == (
        f"{path}: no images found in train/<class>/. "
        f"Received: left out 30 files: 30 without the suffix of an image (test/airplane/0, ...). {RECOGNISED}"
    )


def test_other_number_of_classes_in_test(tmp_path: Path) -> None:
    tree = {name: content for name, content in make_tree().items() if name not in ("test/cat/0.png", "test/dog/0.png")}
    path = make_zip(tmp_path / "a.zip", tree)
    assert message_of(lambda: decode(path)) == (
        f"{path}: must hold the same classes in train/ and test/. Received: 10 and 8, in one of them only: cat, dog. "
        "Give both the same folders."
    )


def test_other_classes_in_test(tmp_path: Path) -> None:
    tree = {name.replace("test/cat", "test/lynx"): content for name, content in make_tree().items()}
    path = make_zip(tmp_path / "a.zip", tree)
    assert message_of(lambda: decode(path)) == (
        f"{path}: must hold the same classes in train/ and test/. Received: 10 and 10, in one of them only: "
        "cat, lynx. Give both the same folders."
    )


def test_two_sets_in_one_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", make_tree(top="x/") | make_tree(top="y/"))
    assert message_of(lambda: decode(path)) == (
        f"{path}: must hold one train/ beside one test/. Received: x/test/, x/train/, y/test/, y/train/. {RECOGNISED}"
    )


def test_place_that_is_nothing_recognised(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert message_of(lambda: sources.recognise(path)) == f"{path}: no such file or folder. {RECOGNISED}"
    path.mkdir()
    assert message_of(lambda: sources.recognise(path)) == (
        f"{path}: not recognised. Received: a folder without .bin files, train/ or test/. {RECOGNISED}"
    )
    path = tmp_path / "a.rar"
    path.write_bytes(b"x")
    assert message_of(lambda: sources.recognise(path)) == (
        f"{path}: not recognised. Received: a file that is no .tar.gz or .zip. {RECOGNISED}"
    )


def test_source_that_cannot_be_read(tmp_path: Path) -> None:
    source = sources.recognise(make_archive(tmp_path / "a.tar.gz"))
    source.path.unlink()
    expected = (
        f"{source.path}: cannot be read. Received: No such file or directory. Check the path and its permissions."
    )
    assert message_of(lambda: sources.fingerprint(source)) == expected
    assert message_of(lambda: sources.decode(source, lambda message: None)) == expected


def test_progress_counts_up_to_all_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_tree, "CHUNK", 4)
    monkeypatch.setattr(image_tree, "TOLD_EVERY", 8)
    said: list[str] = []
    sources.decode(sources.recognise(make_zip(tmp_path / "a.zip")), said.append)
    assert said == [
        "Decoding train images: 8 of 20",
        "Decoding train images: 16 of 20",
        "Decoding train images: 20 of 20",
        "Decoding test images: 8 of 10",
        "Decoding test images: 10 of 10",
    ]
