"""Pictures hold the pixels they were given, and the gallery magnifies the change as it says."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from certssb_core.figures.images import magnification, picture, trigger_gallery


def pixels(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


@pytest.mark.parametrize("channels", [1, 3])
def test_picture_holds_the_pixels(channels):
    image = np.random.default_rng(0).random((channels, 8, 8), dtype=np.float32)
    shown = pixels(picture(image, side=32))
    assert shown.shape[:2] == (32, 32)
    one_per_pixel = shown[::4, ::4].reshape(8, 8, channels).transpose(2, 0, 1)
    np.testing.assert_allclose(one_per_pixel / 255, image, atol=0.5 / 255 + 1e-6)
    assert (shown[0, :4] == shown[0, 0]).all()  # enlarged in squares, not blurred


def test_picture_clips_what_is_outside_the_range():
    shown = pixels(picture(np.array([[[-1.0, 2.0]]]), side=2))
    assert shown.min() == 0
    assert shown.max() == 255


@pytest.mark.parametrize(("change", "factor"), [(0.1, 10.0), (-0.25, 4.0), (1.0, 1.0), (0.0, 1.0)])
def test_magnification_fills_the_range(change, factor):
    clean = np.full((2, 1, 4, 4), 0.5)
    triggered = clean.copy()
    triggered[1, 0, 2, 3] += change
    assert magnification(clean, triggered) == pytest.approx(factor)


def test_gallery_has_three_rows_and_a_magnified_change():
    clean = np.full((2, 1, 4, 4), 0.5, dtype=np.float32)
    triggered = clean.copy()
    triggered[:, 0, 1, 1] += 0.2
    triggered[:, 0, 2, 2] -= 0.1
    figure = trigger_gallery(clean, triggered, titles=["3 → 0", "5 → 0"])
    assert len(figure.data) == 3 * 2
    assert [note.text for note in figure.layout.annotations] == ["3 → 0", "5 → 0"]
    change = pixels(figure.data[4].source)
    cell = len(change) // 4
    row, column = (np.array([0, 1, 2]) * cell + cell // 2 for _ in range(2))
    assert change[row, column].tolist() == [128, 255, 64]  # untouched mid-grey, +0.2 white, −0.1 half as far down
    assert "× 5" in figure.layout.yaxis5.title.text
