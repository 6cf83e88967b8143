"""Decode a picture: one way for training files, queried files and uploads.

A picture is turned upright by its EXIF orientation, laid on a white ground where it is transparent, scaled (bicubic)
and cut to the centred square or rectangle that is asked for. Grey and float pictures of more than 8 bits are refused:
nobody can tell from the file which value is white. Colour of 16 bits is read by its upper 8.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from certssb_core.errors import DataError

FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}
"""The formats that are decoded, with their file suffixes. Pillow knows more; for some it starts other programs."""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
LARGEST_FILE = 20_000_000
"""Bytes. The dashboard's upload limit, server.maxUploadSize, is the same."""
LARGEST_SIDE = 8192
"""Pixels: a small file can unpack to a picture that fills the memory."""
GROUND = "white"
"""Transparent pixels show this colour, as on a sheet of paper."""


def decode(source: Path | bytes, size: tuple[int, int]) -> np.ndarray:
    """Decode a picture file, or the content of an uploaded one.

    Args:
        size: height and width in pixels.

    Returns:
        ``(3, H, W)`` uint8; the three channels of a grey picture are equal.

    Raises:
        DataError: the file is missing, not a regular file, too large, not an image, or has more than 8 bits.
    """
    from PIL import Image, ImageOps

    name = str(source) if isinstance(source, Path) else "the upload"
    _check_size(source, name)
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=list(FORMATS)) as file:
            if max(file.size) > LARGEST_SIDE:
                raise DataError(f"{name} has {file.size[0]}×{file.size[1]} pixels: at most {LARGEST_SIDE} a side.")
            if file.mode.startswith(("I", "F")):
                raise DataError(f"{name} has more than 8 bits per channel: save it with 8.")
            picture = ImageOps.exif_transpose(file)
            if picture.has_transparency_data:
                ground = Image.new("RGBA", picture.size, GROUND)
                picture = Image.alpha_composite(ground, picture.convert("RGBA"))
            fitted = ImageOps.fit(picture.convert("RGB"), size[::-1])
    except DataError:
        raise
    except Exception as problem:  # Pillow's decoders raise whatever they like
        raise DataError(
            f"{name} is cut short or is not an image ({', '.join(FORMATS)} are read): save or copy it again."
        ) from problem
    return np.asarray(fitted).transpose(2, 0, 1)


def _check_size(source: Path | bytes, name: str) -> None:
    """Refuse what is too large, and whatever would be waited for, such as a named pipe."""
    try:
        if isinstance(source, Path) and not source.is_file():
            raise DataError(f"{name} is not a file: name an image file.")
        if (source.stat().st_size if isinstance(source, Path) else len(source)) > LARGEST_FILE:
            raise DataError(f"{name} is larger than {LARGEST_FILE // 10**6} MB: save it smaller.")
    except (OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read ({error}): check the path.") from None


def read_image(source: Path | bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode a picture as a run's dataset would hold it: :func:`decode`, then grey where the run has one channel.

    Args:
        shape: ``(C, H, W)`` of the run's images; C is 1 or 3.

    Returns:
        ``shape`` float32 in [0, 1]; of a file of the run's own dataset, exactly the run's pixels.

    Raises:
        DataError: as :func:`decode`.
    """
    from PIL import Image

    channels, height, width = shape
    pixels = decode(source, (height, width))
    if channels == 1:
        pixels = np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"))[None]
    return unit_pixels(pixels)


def unit_pixels(pixels: np.ndarray) -> np.ndarray:
    """uint8 in 0 to 255 -> float32 in [0, 1], same shape."""
    return np.divide(pixels, 255, dtype=np.float32)
