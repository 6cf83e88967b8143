"""Images from outside: what is taken, and what is refused in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from certssb_core.errors import DataError
from certssb_core.query import image_file
from certssb_core.query.image_file import read_image


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_picture_is_shrunk_by_averaging_and_scaled_to_one():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8)
    image = read_image(png(pixels), (1, 8, 12))
    assert (image.shape, image.dtype) == ((1, 8, 12), np.float32)
    means = pixels.reshape(8, 2, 12, 2).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(image[0], means, atol=1 / 255)


def test_colour_becomes_grey_and_grey_colour_as_the_run_needs_it(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    path = tmp_path / "red.png"
    path.write_bytes(png(red))
    assert read_image(path, (3, 4, 4))[:, 0, 0].tolist() == [1, 0, 0]
    assert read_image(path, (1, 4, 4))[0, 0, 0] == pytest.approx(0.299, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b"GIF89a" + b"\xff" * 20])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(DataError, match="the upload"):
        read_image(content, (1, 8, 8))


def test_what_is_too_large_is_refused_before_it_is_decoded(monkeypatch):
    with pytest.raises(DataError, match="at most 4096 a side"):
        read_image(png(np.zeros((1, 8193), np.uint8)), (1, 8, 8))
    monkeypatch.setattr(image_file, "LARGEST_FILE", 10)
    with pytest.raises(DataError, match="larger than"):
        read_image(png(np.zeros((2, 2), np.uint8)), (1, 8, 8))
