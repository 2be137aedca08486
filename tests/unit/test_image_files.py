"""Every kind of image file as RGB of 8 bits."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_sources import message_of

from cnnprof_lib.measure.images import files as image_files


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: Any) -> np.ndarray:
    return image_files.decode("x", lambda: saved(image, kind, **options))


def refusal(image: Image.Image, kind: str = "PNG") -> str:
    return message_of(lambda: decoded(image, kind))


COUNT = np.arange(1024, dtype=np.uint16).reshape(32, 32)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    pixels = decoded(Image.fromarray(64 * COUNT), kind)
    assert pixels.mean() == 127.5
    assert pixels[:, :, 0].tolist() == (COUNT // 4).tolist()
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_what_is_transparent_is_white() -> None:
    red = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    red.putpixel((1, 0), (255, 0, 0, 255))
    red.putpixel((2, 0), (0, 0, 0, 51))
    assert decoded(red)[0, :3].tolist() == [[255, 255, 255], [255, 0, 0], [204, 204, 204]]
    assert decoded(Image.new("LA", (32, 32), (0, 0)))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.putpixel((0, 0), 0)
    for kind in ("PNG", "GIF"):
        assert decoded(palette, kind, transparency=0)[0, :2].tolist() == [[255, 255, 255], [9, 8, 7]]
        assert decoded(palette, kind)[0, :2].tolist() == [[0, 0, 0], [9, 8, 7]]
    for mode, colour in (("L", 7), ("RGB", (7, 7, 7))):
        image = Image.new(mode, (32, 32), colour)
        image.putpixel((0, 0), 0)
        assert decoded(image, transparency=colour)[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]
    grey16 = Image.fromarray(64 * COUNT)
    assert decoded(grey16, transparency=64 * 1023)[31, 30:].tolist() == [[255] * 3, [255] * 3]
    assert decoded(grey16, transparency=0)[0, ::4][:2].tolist() == [[255] * 3, [1] * 3]


def test_a_colour_of_16_bits_may_be_transparent() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + b"".join(struct.pack(">3H", 256 * x, 65_535, 0) for x in range(32))
    parts = {"IHDR": struct.pack(">IIBBBBB", 32, 32, 16, 2, 0, 0, 0), "tRNS": struct.pack(">3H", 256 * 5, 65_535, 0)}
    parts |= {"IDAT": zlib.compress(32 * row), "IEND": b""}
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind.encode(), content) for kind, content in parts.items())
    assert image_files.decode("x", lambda: png)[0, 4:7].tolist() == [[4, 255, 0], [255, 255, 255], [6, 255, 0]]


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "rgb"),
    [
        ("1", "PNG", 1, [255, 255, 255]),
        ("L", "PNG", 7, [7, 7, 7]),
        ("CMYK", "TIFF", (0, 255, 0, 0), [255, 0, 255]),
        ("YCbCr", "TIFF", (76, 85, 255), [254, 0, 0]),
    ],
)
def test_other_modes_become_rgb(mode: str, kind: str, colour: Any, rgb: list[int]) -> None:
    assert decoded(Image.new(mode, (32, 32), colour), kind)[5, 5].tolist() == rgb


def test_an_image_turned_by_exif_is_upright() -> None:
    image = Image.new("RGB", (32, 32))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    assert np.argwhere(decoded(image, exif=exif)[..., 0]).tolist() == [[0, 31]]


def test_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("L", (32, 32), value) for value in (10, 200)]
    assert set(decoded(frames[0], "GIF", save_all=True, append_images=frames[1:]).ravel()) == {10}


@pytest.mark.parametrize(("mode", "kind"), [("F", "TIFF"), ("I", "TIFF"), ("LAB", "TIFF")])
def test_values_without_a_white_are_refused(mode: str, kind: str) -> None:
    assert refusal(Image.new(mode, (32, 32)), kind) == (
        f"x: must have 8 or 16 bits a value. Received: mode {mode}. Save it as RGB."
    )


def test_icons_and_postscript_are_not_opened() -> None:
    assert {image_files.format_of(name) for name in ("x.eps", "x.ico", "x.mpg", "x.h5", "x.txt", "x")} == {None}
    assert image_files.format_of("train/cat/x.JFIF") == "JPEG"
    message = message_of(lambda: image_files.decode("x.png", lambda: saved(Image.new("RGB", (32, 32)), "EPS")))
    assert message == "x.png: cannot be decoded. Received: UnidentifiedImageError. Get it again."
