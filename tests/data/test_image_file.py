"""Pictures from files and uploads: what is read, how, and what is refused in words."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from certssb_core.data import image_file
from certssb_core.data.datasets import load
from certssb_core.data.image_file import decode, read_image
from certssb_core.errors import DataError


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photographs(tmp_path):
    """Wide colour photographs of noise, half of them stored upside down with an EXIF orientation."""
    generator, upside_down = np.random.default_rng(0), Image.Exif()
    upside_down[0x0112] = 3
    for split, count in (("train", 4), ("test", 3)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (20, 32, 3), dtype=np.uint8)
                options = {"exif": upside_down} if index % 2 else {}
                (tmp_path / split / name / f"{index}.jpg").write_bytes(encoded(pixels, "JPEG", **options))
    return tmp_path


def test_a_queried_file_becomes_the_pixels_that_training_and_test_saw(photographs):
    dataset = load("image-folder", root=photographs, size=12)
    for split, images in (("train", dataset.train_images), ("test", dataset.test_images)):
        paths = sorted((photographs / split).rglob("*.jpg"))
        assert len(paths) == len(images)
        for path, image in zip(paths, images, strict=True):
            np.testing.assert_array_equal(read_image(path, (3, 12, 12)), image)
            np.testing.assert_array_equal(read_image(path.read_bytes(), (3, 12, 12)), image)


def test_a_queried_grey_file_becomes_the_pixels_that_training_saw(tmp_path):
    generator = np.random.default_rng(1)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.png").write_bytes(encoded(generator.integers(0, 256, (9, 17), dtype=np.uint8)))
    images = load("image-folder", root=tmp_path, size=8).test_images
    for path, image in zip(sorted((tmp_path / "test").rglob("*.png")), images, strict=True):
        np.testing.assert_array_equal(read_image(path, (1, 8, 8)), image)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        *((1, "top left"), (2, "top right"), (3, "bottom right"), (4, "bottom left")),
        *((5, "top left"), (6, "bottom left"), (7, "bottom right"), (8, "top right")),
    ],
)
def test_a_picture_stands_upright_whatever_its_orientation(orientation, corner):
    # The EXIF standard names the side of the scene that row 0 and column 0 show: from it, the corner of the file
    # that holds the scene's top left, where a wide mark is. Orientations 5 to 8 also lie on their side.
    height, width = (6, 12) if orientation <= 4 else (12, 6)
    stored = np.zeros((24, 24, 3), np.uint8)
    rows = slice(0, height) if "top" in corner else slice(-height, None)
    columns = slice(0, width) if "left" in corner else slice(-width, None)
    stored[rows, columns] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.zeros((3, 24, 24))
    expected[:, :6, :12] = 220
    np.testing.assert_array_equal(decode(encoded(stored, exif=exif), (24, 24)), expected)


@pytest.mark.parametrize(("size", "ink"), [((2, 2), 0), ((2, 2), 200)])
def test_transparent_pictures_lie_on_white(size, ink):
    pixels = np.zeros((*size, 4), np.uint8)
    pixels[..., :3] = ink
    pixels[..., 3] = [[255, 0], [128, 255]]
    expected = [[ink, 255], [ink * 128 / 255 + 255 * 127 / 255, ink]]
    for content in (encoded(pixels), encoded(pixels[..., [0, 3]], mode="LA")):
        shown = decode(content, size)
        assert (shown == shown[:1]).all()
        np.testing.assert_allclose(shown[0], expected, atol=1)


def test_a_transparent_colour_of_a_palette_lies_on_white():
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.putpixel((0, 0), 0)
    buffer = io.BytesIO()
    picture.save(buffer, format="GIF", transparency=0)
    shown = decode(buffer.getvalue(), (4, 4))
    assert shown[:, 0, 0].tolist() == [255, 255, 255]
    assert shown[:, 3, 3].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.full((8, 8), 40_000, np.uint16), "PNG"),
        (np.full((8, 8), 40_000, np.uint16), "TIFF"),
        (np.full((8, 8), 3_000, np.uint16), "PNG"),
        (np.full((8, 8), 0.5, np.float32), "TIFF"),
        (np.full((8, 8), 70_000, np.int32), "TIFF"),
    ],
)
def test_more_than_eight_bits_are_refused_by_query_upload_and_training_alike(tmp_path, pixels, kind):
    content = encoded(pixels, kind)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"0.{kind.lower()}").write_bytes(content)
    for read in (
        lambda: read_image(content, (1, 8, 8)),
        lambda: read_image(tmp_path / f"test/a/0.{kind.lower()}", (3, 8, 8)),
        lambda: load("image-folder", root=tmp_path, size=8),
    ):
        with pytest.raises(DataError, match="more than 8 bits per channel: save it with 8"):
            read()


def test_colour_becomes_grey_and_grey_colour_as_the_run_needs_it(tmp_path):
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    path = tmp_path / "red.png"
    path.write_bytes(encoded(red))
    assert read_image(path, (3, 4, 4))[:, 0, 0].tolist() == [1, 0, 0]
    assert read_image(path, (1, 4, 4))[0, 0, 0] == pytest.approx(0.299, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b"GIF89a" + b"\xff" * 20])
def test_content_that_is_no_image_is_refused_in_words(content):
    with pytest.raises(DataError, match="the upload is cut short or is not an image") as caught:
        read_image(content, (1, 8, 8))
    assert "0x" not in str(caught.value)


def test_limits_are_checked_before_decoding_and_are_the_same_for_training(tmp_path, monkeypatch):
    wide = encoded(np.zeros((1, 8193), np.uint8))
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.png").write_bytes(wide)
    for limit, message in ((10**6, "at most 8192 a side"), (10, "larger than")):
        monkeypatch.setattr(image_file, "LARGEST_FILE", limit)
        with pytest.raises(DataError, match=message):
            read_image(wide, (1, 8, 8))
        with pytest.raises(DataError, match=message):
            load("image-folder", root=tmp_path, size=8)


def test_a_path_that_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png", tmp_path / "missing.png"):
        with pytest.raises(DataError, match="is not a file"):
            read_image(path, (1, 8, 8))
