"""An image from outside, as a run's dataset would hold it. What is uploaded may be anything: it is bounded first."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from certssb_core.data.readers import IMAGE_FORMATS
from certssb_core.errors import DataError

LARGEST_FILE = 20_000_000
LARGEST_SIDE = 4096


def read_image(source: Path | bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """An image file, or its content, as ``shape`` ``(C, H, W)`` float32 in [0, 1].

    Raises:
        DataError: the file is missing, no image, or too large.
    """
    name = str(source) if isinstance(source, Path) else "the upload"
    try:
        if (source.stat().st_size if isinstance(source, Path) else len(source)) > LARGEST_FILE:
            raise DataError(f"{name} is larger than {LARGEST_FILE // 10**6} MB")
        content = source if isinstance(source, Path) else io.BytesIO(source)
        with Image.open(content, formats=IMAGE_FORMATS) as image:
            if max(image.size) > LARGEST_SIDE:
                raise DataError(f"{name} has {image.size[0]}×{image.size[1]} pixels; at most {LARGEST_SIDE} a side")
            converted = image.convert("L" if shape[0] == 1 else "RGB").resize(shape[2:0:-1], Image.Resampling.BOX)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they like
        raise DataError(f"{name} cannot be read as an image: {error or type(error).__name__}") from None
    pixels = np.asarray(converted, dtype=np.float32) / 255
    return pixels.reshape(*shape[1:], shape[0]).transpose(2, 0, 1).copy()
