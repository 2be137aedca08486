"""One image file as pixels of RGB: which files count as images, and how each kind becomes RGB.

Of an animation the first frame is read, of several pages the first. Each kind is turned into 8 bits of red, green
and blue as follows:

- Black and white, grey, palette, CMYK, YCbCr and HSV: by Pillow's own conversion.
- Transparent (an alpha channel, or one colour marked so): laid on white, as a page shows it.
- 16 bits a value: the upper 8, so that 0 to 65,535 becomes 0 to 255. Pillow reads 16-bit colours so; its own
  conversion clips 16-bit greys to white.
- 32-bit integers and floats: refused, for a file does not say which of their values is white. So is LAB.
- Turned by EXIF: as a viewer shows it.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...base.errors import DataError
from .official import Images

if TYPE_CHECKING:
    import PIL.Image

MAX_PIXELS = 1 << 24
"""Of one image, 4096x4096: a few bytes may stand for gigabytes of pixels, and several threads decode at once."""
NOT_READ = frozenset({"EPS", "WMF", "ICO", "ICNS", "BUFR", "GRIB", "HDF5", "MPEG"})
"""Of what Pillow opens: drawn by other programs, icons of several sizes, or known by name alone."""


@functools.cache
def formats() -> dict[str, str]:
    """Pillow's format of each suffix that is read: that of ``.jpg`` is ``JPEG``.

    They come in the order in which Pillow tries them: some know their own by no mark and come last.
    """
    from PIL import Image

    known = Image.registered_extensions().items()  # those of every plug-in, which it loads
    return {suffix: kind for each in Image.ID for suffix, kind in known if kind == each and kind not in NOT_READ}


def format_of(name: str) -> str | None:
    """The format that a file's suffix stands for; None where it is no image's."""
    return formats().get(os.path.splitext(name)[1].lower())


def decode(name: str, read: Callable[[], bytes], like: tuple[int, ...] | None = None) -> Images:
    """The pixels of one file, uint8 of shape ``(rows, columns, 3)``.

    Args:
        name: What messages call it.
        read: Gives its content.
        like: The shape it must have; None takes any of at most `MAX_PIXELS`.

    Raises:
        DataError: It is of another size, damaged, or of a kind that is refused.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read()), formats=tuple(dict.fromkeys(formats().values()))) as image:
            columns, rows = image.size
            # Looked at before the pixels are decoded, when nothing tells yet whether the image lies on its side.
            if {rows, columns} == set(like[:2]) if like else rows * columns <= MAX_PIXELS:
                pixels = np.array(_rgb(image, name))
                rows, columns = pixels.shape[:2]
                if like in (None, pixels.shape):
                    return pixels
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile and Pillow raise a dozen kinds of errors
        raise DataError(f"{name}: cannot be decoded. Received: {type(error).__name__}. Get it again.") from error
    rule = f"{like[1]}x{like[0]} pixels, as the first image is" if like else f"at most {MAX_PIXELS:,} pixels"
    raise DataError(f"{name}: must be {rule}. Received: {columns}x{rows}. Remove it, or give images of one size.")


def _rgb(image: PIL.Image.Image, name: str) -> PIL.Image.Image:
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image)
        hidden = values == image.info.get("transparency", -1)
        return Image.fromarray(np.where(hidden, 255, values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F", "LAB"):
        raise DataError(f"{name}: must have 8 or 16 bits a value. Received: mode {image.mode}. Save it as RGB.")
    if image.has_transparency_data:
        marked = image.info.get("transparency")
        if isinstance(marked, tuple) and max(marked) > 255:  # a colour of 16 bits, where pixels have the upper 8
            image.info["transparency"] = tuple(value >> 8 for value in marked)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")
