"""Datasets: what is loaded, which part of it, and what comes back in which shape."""

import hashlib
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from certssb_core.data.datasets import DATASETS, Dataset, availability, data_root, load, passed_over
from certssb_core.data.poisoning import poison
from certssb_core.data.readers import IMAGENETTE_CLASSES, PHOTOGRAPHS

REAL_DATA = os.environ.get("CERTSSB_DATA")


def write_idx(path, array):
    """An IDX file of bytes, written as its specification says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


@pytest.fixture
def small_mnist(tmp_path):
    """Forty random MNIST-like images, ten of them for testing; the label of image i is i mod 10."""
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 30), ("t10k", 10)):
        raw = tmp_path / "MNIST" / "raw"
        write_idx(raw / f"{prefix}-images-idx3-ubyte", generator.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)
    return tmp_path


def write_image(path, colour, *, mode="RGB", size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def colour_folder(tmp_path):
    """Two classes of plain images: red shades are cats, blue shades are dogs."""
    for split, count in (("train", 4), ("test", 2)):
        for index in range(count):
            write_image(tmp_path / split / "cat" / f"{index}.png", (200 + index, 0, 0))
            write_image(tmp_path / split / "dog" / f"{index}.PNG", (0, 0, 200 + index))
    return tmp_path


def test_digits_are_all_of_scikit_learns_split_once_and_for_all():
    digits = load("digits")
    assert digits.classes == tuple("0123456789")
    assert digits.train_images.shape == (1437, 1, 8, 8)
    assert digits.test_images.shape == (360, 1, 8, 8)
    assert digits.train_images.dtype == np.float32
    assert digits.train_labels.dtype == np.int64
    assert np.bincount(digits.test_labels).tolist() == [36] * 10

    def as_rows(images, labels):
        return sorted((int(label), *image.ravel()) for image, label in zip(images, labels, strict=True))

    source = load_digits()
    images = np.concatenate([digits.train_images, digits.test_images]) * 16
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert as_rows(images, labels) == as_rows(source.images, source.target)
    np.testing.assert_array_equal(load("digits", seed=9).test_images, digits.test_images)


def test_photographs_are_the_tiles_that_ship_to_the_bit():
    """A run made of them would refuse other pixels, so a decoder that gives others must be noticed here."""
    photographs = load("photographs")
    assert photographs.classes == ("airplane", "bird")
    assert photographs.train_images.shape == (4000, 3, 32, 32)
    assert photographs.test_images.shape == (200, 3, 32, 32)
    assert np.bincount(photographs.train_labels).tolist() == [2000, 2000]
    assert np.bincount(photographs.test_labels).tolist() == [100, 100]
    assert photographs.fingerprint["train"]["sha256"].startswith("c797977fef636af0")
    assert photographs.fingerprint["test"]["sha256"].startswith("fac95a303b8d9422")
    # The second row of tiles begins with image 50, and a tile is what the sheet shows there.
    with Image.open(PHOTOGRAPHS / "test.jpg") as sheet:
        tile = np.asarray(sheet.crop((32, 32, 64, 64))).transpose(2, 0, 1)
    np.testing.assert_array_equal(photographs.test_images[51] * 255, tile)


def test_classes_are_renumbered_in_the_order_given():
    everything, some = load("digits"), load("digits", classes=("7", "2"))
    assert some.classes == ("7", "2")
    for label, digit in enumerate((7, 2)):
        np.testing.assert_array_equal(
            some.train_images[some.train_labels == label],
            everything.train_images[everything.train_labels == digit],
        )


def test_caps_are_balanced_deterministic_and_nested():
    small, again, large, other = (
        load("digits", classes=("0", "1", "2"), max_train=cap, max_test=10, seed=seed)
        for cap, seed in ((31, 1), (31, 1), (60, 1), (31, 2))
    )
    assert np.bincount(small.train_labels).tolist() == [11, 10, 10]
    assert np.bincount(small.test_labels).tolist() == [4, 3, 3]
    np.testing.assert_array_equal(small.train_images, again.train_images)
    assert {image.tobytes() for image in small.train_images} < {image.tobytes() for image in large.train_images}
    assert {image.tobytes() for image in small.train_images} != {image.tobytes() for image in other.train_images}


def test_a_cap_above_a_small_class_is_filled_from_the_others(colour_folder):
    write_image(colour_folder / "train" / "eel" / "0.png", (0, 9, 0))
    write_image(colour_folder / "test" / "eel" / "0.png", (0, 9, 0))
    loaded = load("image-folder", root=colour_folder, size=4, max_train=7, max_test=100)
    assert np.bincount(loaded.train_labels).tolist() == [3, 3, 1]
    assert np.bincount(loaded.test_labels).tolist() == [2, 2, 1]


def test_mnist_files_become_unit_pixels(small_mnist):
    loaded = load("mnist", root=small_mnist, classes=("3", "1"))
    raw = (small_mnist / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:]
    pixels = np.frombuffer(raw, np.uint8).reshape(30, 1, 28, 28)[[1, 3, 11, 13, 21, 23]]
    np.testing.assert_array_equal(loaded.train_images, (pixels / 255.0).astype(np.float32))
    assert loaded.train_labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert loaded.test_images.shape == (2, 1, 28, 28)


def test_fashion_mnist_takes_class_names_and_numbers(small_mnist):
    (small_mnist / "MNIST").rename(small_mnist / "FashionMNIST")
    by_name = load("fashion-mnist", root=small_mnist, classes=("Trouser", "T-shirt/top"))
    by_number = load("fashion-mnist", root=small_mnist, classes=("1", "0"))
    assert by_name.classes == by_number.classes == ("Trouser", "T-shirt/top")
    np.testing.assert_array_equal(by_name.train_images, by_number.train_images)


@pytest.fixture
def small_cifar10(tmp_path, monkeypatch):
    """Six batch files in CIFAR-10's format, four images each, with torchvision told their checksums."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    generator = np.random.default_rng(0)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch():
        return {"data": generator.integers(0, 256, (4, 3072), dtype=np.uint8), "labels": [0, 2, 2, 9]}

    monkeypatch.setattr(CIFAR10, "train_list", [write(f"data_batch_{n}", batch()) for n in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch())])
    meta = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return tmp_path


def test_cifar10_keeps_its_channel_first_planes(small_cifar10):
    loaded = load("cifar10", root=small_cifar10, classes=("airplane", "bird"))
    batch = pickle.loads((small_cifar10 / "cifar-10-batches-py/test_batch").read_bytes())
    planes = batch["data"][:3].reshape(3, 3, 32, 32) / 255.0
    np.testing.assert_array_equal(loaded.test_images, planes.astype(np.float32))
    assert loaded.test_labels.tolist() == [0, 1, 1]
    assert loaded.train_images.shape == (15, 3, 32, 32)


@pytest.mark.parametrize("folder", ["imagenette2-160", "imagenette2-320", "imagenette2"])
def test_imagenette_is_read_from_whichever_folder_is_there(tmp_path, folder):
    for split in ("train", "val"):
        write_image(tmp_path / folder / split / "n01440764" / "a.JPEG", (255, 0, 0), size=(60, 40))
        write_image(tmp_path / folder / split / "n02102040" / "b.JPEG", 128, mode="L", size=(40, 60))
    loaded = load("imagenette", root=tmp_path, classes=("English springer", "tench"))
    assert loaded.classes == ("English springer", "tench")
    assert loaded.train_images.shape == loaded.test_images.shape == (2, 3, 224, 224)
    assert loaded.train_labels.tolist() == [1, 0]
    np.testing.assert_allclose(loaded.train_images[0].mean(axis=(1, 2)), [1, 0, 0], atol=0.01)
    assert load("imagenette", root=tmp_path, size=32).test_images.shape == (2, 3, 32, 32)


def test_imagenette_keeps_three_channels_without_any_colour(tmp_path):
    for name in ("train/n01440764", "train/n02102040", "val/n01440764", "val/n02102040"):
        write_image(tmp_path / "imagenette2-160" / name / "a.JPEG", 128, mode="L")
    assert load("imagenette", root=tmp_path, size=8).train_images.shape == (2, 3, 8, 8)


def test_image_folder_reads_classes_colours_and_any_suffix(colour_folder):
    (colour_folder / "train" / ".hidden").mkdir()
    (colour_folder / "train" / "cat" / "notes.txt").write_text("not an image")
    loaded = load("image-folder", root=colour_folder, size=4)
    assert loaded.classes == ("cat", "dog")
    assert loaded.train_images.shape == (8, 3, 4, 4)
    assert loaded.train_labels.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_allclose(loaded.train_images[2], np.broadcast_to([[[202 / 255]], [[0]], [[0]]], (3, 4, 4)))


def test_every_format_that_is_decoded_is_read_and_the_rest_is_counted(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            for suffix in (".gif", ".jfif", ".jpe", ".pgm", ".pbm", ".webp", ".TIF"):
                write_image(tmp_path / split / name / f"x{suffix}", 0, mode="L")
            write_image(tmp_path / split / name / "cam2" / "0.png", 0, mode="L")
            (tmp_path / split / name / "photo.HEIC").write_bytes(b"ftypheic")
            (tmp_path / split / name / "._x.gif").write_bytes(b"what a Mac adds to an archive")
            os.mkfifo(tmp_path / split / name / "pipe.png")
        (tmp_path / split / "__MACOSX").mkdir()
        write_image(tmp_path / split / "loose.png", 0, mode="L")
    loaded = load("image-folder", root=tmp_path, size=4)
    assert loaded.classes == ("a", "b")
    assert np.bincount(loaded.train_labels).tolist() == np.bincount(loaded.test_labels).tolist() == [7, 7]
    told = (
        "20 files or folders were passed over and are not part of the data: 4 .heic, 4 folder in a class folder, "
        "6 hidden or of the system, 4 not a regular file, 2 outside the class folders."
    )
    assert loaded.passed_over == passed_over("image-folder", tmp_path) == told


def test_nothing_is_told_where_nothing_was_passed_over(colour_folder):
    assert load("image-folder", root=colour_folder, size=4).passed_over == ""
    assert load("digits").passed_over == passed_over("digits") == passed_over("image-folder", "/nowhere") == ""


def test_files_that_a_mac_adds_are_passed_over_in_imagenette_too(tmp_path):
    for split in ("train", "val"):
        for name in ("n01440764", "n02102040"):
            write_image(tmp_path / "imagenette2-160" / split / name / "a.JPEG", 128, mode="L")
            (tmp_path / "imagenette2-160" / split / name / "._a.JPEG").write_bytes(b"resource fork")
        (tmp_path / "imagenette2-160" / split / "__MACOSX").mkdir()
    loaded = load("imagenette", root=tmp_path, size=8)
    assert loaded.classes == ("tench", "English springer")
    assert len(loaded.train_labels) == 2
    assert "6 hidden or of the system" in loaded.passed_over


def test_imagenettes_classes_are_torchvisions():
    from torchvision.datasets import Imagenette

    assert {key: names[0] for key, names in Imagenette._WNID_TO_CLASS.items()} == IMAGENETTE_CLASSES


def test_a_class_name_is_the_same_however_its_accents_are_stored(tmp_path):
    for split, accent in (("train", "e\u0301"), ("test", "\u00e9")):
        for name in ("bar", f"caf{accent}", "caf"):
            write_image(tmp_path / split / name / "0.png", 0, mode="L")
    loaded = load("image-folder", root=tmp_path, size=4, classes=("cafe\u0301", "bar"))
    assert loaded.classes == ("caf\u00e9", "bar")
    assert loaded.train_labels.tolist() == loaded.test_labels.tolist() == [1, 0]


def test_the_fingerprint_names_the_part_that_changed(colour_folder):
    before = load("image-folder", root=colour_folder, size=4).fingerprint
    assert (before["train"]["images"], before["test"]["images"]) == (8, 4)
    assert load("image-folder", root=colour_folder, size=4).fingerprint == before
    write_image(colour_folder / "test" / "cat" / "0.png", (200, 1, 0))
    after = load("image-folder", root=colour_folder, size=4).fingerprint
    assert after["train"] == before["train"]
    assert after["test"]["images"] == before["test"]["images"]
    assert after["test"]["sha256"] != before["test"]["sha256"]


def test_the_fingerprint_covers_pixels_labels_and_shape():
    images, labels = np.zeros((2, 1, 4, 6), np.float32), np.array([0, 1])
    variants = [(images, labels), (images, labels[::-1]), (images + 1, labels), (images.reshape(2, 1, 6, 4), labels)]
    prints = [Dataset("x", ("a", "b"), *variant, images, labels).fingerprint["train"]["sha256"] for variant in variants]
    assert len({*prints}) == 4
    assert prints[0] == hashlib.sha256(b"(2, 1, 4, 6)" + bytes(192) + bytes(8) + b"\1" + bytes(7)).hexdigest()


def test_images_without_colour_have_one_channel_however_they_are_stored(tmp_path):
    for split in ("train", "test"):
        write_image(tmp_path / split / "a" / "0.png", 51, mode="L")
        write_image(tmp_path / split / "b" / "0.bmp", (102, 102, 102))
    loaded = load("image-folder", root=tmp_path, size=8)
    assert loaded.train_images.shape == (2, 1, 8, 8)
    np.testing.assert_allclose(loaded.train_images.mean(axis=(1, 2, 3)), [0.2, 0.4], rtol=1e-6)


def test_resizing_keeps_proportions_and_cuts_the_middle(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        write_image(tmp_path / name / "0.png", (0, 0, 0), size=(30, 10))
        with Image.open(tmp_path / name / "0.png") as image:
            image.paste((255, 0, 0), (10, 0, 20, 10))
            image.save(tmp_path / name / "0.png")
    loaded = load("image-folder", root=tmp_path, size=10)
    np.testing.assert_array_equal(loaded.train_images[0, 0], 1)
    np.testing.assert_array_equal(loaded.train_images[0, 1:], 0)


def test_class_folders_named_by_digits_are_names_not_numbers(tmp_path):
    for split in ("train", "test"):
        for label, name in enumerate(("1", "3", "7")):
            write_image(tmp_path / split / name / "0.png", (label, 0, 0))
    loaded = load("image-folder", root=tmp_path, size=8, classes=("7", "1"))
    assert loaded.classes == ("7", "1")
    assert loaded.train_images[loaded.train_labels == 1].max() == 0


def test_only_the_images_kept_by_a_cap_are_decoded(colour_folder):
    for broken in (colour_folder / "train").glob("dog/*"):
        broken.write_bytes(b"broken")
    write_image(colour_folder / "train" / "eel" / "0.png", (0, 9, 0))
    write_image(colour_folder / "test" / "eel" / "0.png", (0, 9, 0))
    assert len(load("image-folder", root=colour_folder, size=4, classes=("cat", "eel")).train_labels) == 5


def test_the_data_folder_is_the_one_given_else_the_environments_else_data(monkeypatch):
    monkeypatch.setenv("CERTSSB_DATA", "/somewhere")
    assert data_root("/here") == Path("/here")
    assert data_root() == Path("/somewhere")
    monkeypatch.delenv("CERTSSB_DATA")
    assert data_root() == Path("data")


def test_availability_follows_the_files(small_mnist):
    assert availability("digits", small_mnist / "nowhere").present
    assert availability("mnist", small_mnist).present
    (small_mnist / "MNIST/raw/t10k-labels-idx1-ubyte").rename(small_mnist / "MNIST/raw/t10k-labels-idx1-ubyte.gz")
    answer = availability("mnist", small_mnist)
    assert not answer.present
    assert "t10k-labels-idx1-ubyte is missing, though its .gz is there" in answer.message
    for name in ("fashion-mnist", "cifar10", "imagenette", "image-folder"):
        assert not availability(name, small_mnist).present


def test_every_source_stands_under_its_own_name():
    assert [source.name for source in DATASETS.values()] == list(DATASETS)
    assert [name for name, source in DATASETS.items() if not source.needs_files] == ["digits", "photographs"]


def test_the_digits_load_without_torch_and_the_package_they_come_with():
    program = "import sys; from certssb_core.data.datasets import load; load('digits'); print(*sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = outcome.stdout.split()
    assert "numpy" in imported
    assert not {"torch", "sklearn", "scipy.stats"} & set(imported)


@pytest.mark.skipif(not availability("mnist", REAL_DATA).present, reason="needs MNIST in CERTSSB_DATA")
def test_real_mnist_zeros_and_ones_have_the_published_counts():
    loaded = load("mnist", root=REAL_DATA, classes=("0", "1"))
    assert loaded.train_images.shape == (12_665, 1, 28, 28)
    assert loaded.test_images.shape == (2_115, 1, 28, 28)
    assert np.bincount(loaded.train_labels).tolist() == [5_923, 6_742]
    assert (loaded.train_images.min(), loaded.train_images.max()) == (0, 1)
    poisoned = poison(loaded.train_images, loaded.train_labels, classes=2, trigger="one-pixel", norm=1.0, rate=0.02)
    assert len(poisoned.indices) == 253
    room = np.minimum(1, 1 - loaded.train_images[poisoned.indices, 0, 23, 23].astype(np.float64))
    np.testing.assert_allclose(poisoned.norms, room, rtol=1e-6)


@pytest.mark.skipif(
    not Path(REAL_DATA or "", "cifar10-airplane-bird-jpeg.zip").is_file(),
    reason="needs cifar10-airplane-bird-jpeg.zip in CERTSSB_DATA",
)
def test_real_photographs_load_from_an_image_folder(tmp_path):
    with zipfile.ZipFile(Path(REAL_DATA, "cifar10-airplane-bird-jpeg.zip")) as archive:
        pictures = [name for name in archive.namelist() if name.endswith(".jpg")]
        archive.extractall(tmp_path, pictures[::40])
    loaded = load("image-folder", root=tmp_path / "cifar10-jpeg", size=32, classes=("bird", "airplane"))
    assert loaded.train_images.shape == (250, 3, 32, 32)
    assert loaded.test_images.shape == (50, 3, 32, 32)
    first_bird = sorted((tmp_path / "cifar10-jpeg/train/bird").iterdir())[0]
    pixels = np.asarray(Image.open(first_bird)).transpose(2, 0, 1) / 255.0
    np.testing.assert_array_equal(loaded.train_images[loaded.train_labels == 0][0], pixels.astype(np.float32))
    shipped = load("photographs")  # the first of each class, encoded once more
    apart = shipped.train_images[shipped.train_labels == 1][0] - pixels
    assert np.sqrt(np.square(apart).mean()) < 3 / 255
