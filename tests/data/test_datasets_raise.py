"""Datasets, bad input only: whatever is missing, damaged or absurd ends in one `DataError` sentence."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certssb_core.data.datasets import availability, load
from certssb_core.errors import DataError

TRAIN_IMAGES = "MNIST/raw/train-images-idx3-ubyte"
TRAIN_LABELS = "MNIST/raw/train-labels-idx1-ubyte"


def idx(*shape, fill=1):
    return bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + bytes([fill]) * np.prod(shape)


@pytest.fixture
def small_mnist(tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for prefix in ("train", "t10k"):
        (tmp_path / f"MNIST/raw/{prefix}-images-idx3-ubyte").write_bytes(idx(6, 28, 28))
        (tmp_path / f"MNIST/raw/{prefix}-labels-idx1-ubyte").write_bytes(idx(6))
    return tmp_path


@pytest.fixture
def folder(tmp_path):
    """An image folder with classes cat and dog, two images of noise each in train and test."""
    generator = np.random.default_rng(0)
    for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / name).mkdir(parents=True)
        for index in range(2):
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.jpg")
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """torchvision's addresses all lead to a closed port of this machine."""
    from torchvision.datasets import CIFAR10, MNIST, Imagenette

    closed = "http://127.0.0.1:9/"
    monkeypatch.setattr(MNIST, "mirrors", [closed])
    monkeypatch.setattr(CIFAR10, "url", closed)
    monkeypatch.setattr(Imagenette, "_ARCHIVES", {"160px": (f"{closed}imagenette2-160.tgz", "0")})


def refusal(*arguments, **settings):
    """The sentence of the `DataError`, checked to be one line that ends like a sentence."""
    with pytest.raises(DataError) as caught:
        load(*arguments, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"classes": ("0", "x")}, "There is no class x: choose from 0, 1, 2"),
        ({"classes": ("10", "0")}, "There is no class 10: choose from"),
        ({"classes": ("3",)}, "At least two classes are needed, not 1"),
        ({"classes": ()}, "At least two classes are needed, not 0"),
        ({"classes": ("3", "3")}, "named twice"),
        ({"max_train": 0}, "training images: a cap of 0 leaves a class empty; allow at least 10"),
        ({"max_test": 9}, "test images: a cap of 9 leaves a class empty"),
        ({"max_train": -5}, "a cap of -5"),
        ({"size": 32}, "images of 8 pixels and no other size, not 32"),
    ],
)
def test_impossible_parts_of_the_digits(settings, sentence):
    assert sentence in refusal("digits", **settings)


def test_an_unknown_dataset_lists_the_choices():
    choices = "digits, photographs, mnist, fashion-mnist, cifar10, imagenette, image-folder"
    assert f"choose one of {choices}" in refusal("minst")
    with pytest.raises(DataError, match="There is no dataset 'minst'"):
        availability("minst")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "imagenette"])
def test_missing_files_say_where_they_belong(tmp_path, name):
    message = refusal(name, root=tmp_path)
    assert f"is not in {tmp_path}" in message
    assert "ask for the download" in message
    assert message == availability(name, tmp_path).message
    assert not any(tmp_path.iterdir()), "nothing is downloaded or created unless asked"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "imagenette"])
def test_a_download_without_network_is_one_sentence(tmp_path, no_network, monkeypatch, name):
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    message = refusal(name, root=tmp_path, download=True)
    assert f"could not be downloaded into {tmp_path}" in message
    assert "check the network" in message


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (TRAIN_IMAGES, idx(6, 28, 28)[:-100], "has 4620 bytes where its header promises 4720"),
        (TRAIN_IMAGES, idx(6, 28, 28) + b"more", "has 4724 bytes where its header promises 4720"),
        (TRAIN_IMAGES, b"", "does not begin like the file it is named after"),
        (TRAIN_IMAGES, idx(6, 28, 28)[:10], "does not begin like the file it is named after"),
        (TRAIN_IMAGES, idx(6, 32, 32), "does not begin like the file it is named after"),
        (TRAIN_IMAGES, gzip.compress(idx(6, 28, 28), mtime=0), "does not begin like the file it is named after"),
        (TRAIN_IMAGES, b"\0\0\x08\x03" + b"\xff" * 4 + idx(6, 28, 28)[8:], "header promises 3367254359296"),
        (TRAIN_IMAGES, idx(5, 28, 28), "holds 5 items but"),
        (TRAIN_LABELS, idx(6)[:-1], "has 13 bytes where its header promises 14"),
        (TRAIN_LABELS, idx(6, fill=11), "has a label above 9"),
        ("MNIST/raw/t10k-labels-idx1-ubyte", idx(7), "holds 7 items"),
    ],
)
@pytest.mark.parametrize("download", [False, True])
def test_damaged_mnist_files_are_named(small_mnist, file, content, sentence, download):
    (small_mnist / file).write_bytes(content)
    message = refusal("mnist", root=small_mnist, download=download)
    assert file in message
    assert sentence in message
    assert "ask for the download, or copy" in message


def test_a_bad_gzip_is_not_unpacked(small_mnist, no_network):
    (small_mnist / TRAIN_IMAGES).unlink()
    (small_mnist / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(idx(6, 28, 28))[:40])
    assert f"{TRAIN_IMAGES} is missing, though its .gz is there" in refusal("mnist", root=small_mnist)
    message = refusal("mnist", root=small_mnist, download=True)
    assert "could not be downloaded" in message
    assert "train-images-idx3-ubyte.gz" in message


def test_a_folder_in_the_place_of_a_file(small_mnist):
    (small_mnist / TRAIN_IMAGES).unlink()
    (small_mnist / TRAIN_IMAGES).mkdir()
    assert "MNIST" in refusal("mnist", root=small_mnist)


def test_a_short_cifar_batch_is_named(tmp_path, no_network):
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (batches / name).write_bytes(pickle.dumps({"data": [], "labels": []})[:-2])
    message = refusal("cifar10", root=tmp_path)
    assert f"{batches / 'data_batch_1'} is cut short or altered" in message
    assert "delete it and ask for the download" in message
    assert "could not be downloaded" in refusal("cifar10", root=tmp_path, download=True)


def test_a_cifar_pickle_with_the_wrong_checksum_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "opened",)

    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (batches / name).write_bytes(pickle.dumps(Bomb()))
    refusal("cifar10", root=tmp_path)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("download", [False, True])
def test_an_imagenette_class_without_images(tmp_path, download):
    for split in ("train", "val"):
        (tmp_path / "imagenette2-160" / split / "n01440764").mkdir(parents=True)
    message = refusal("imagenette", root=tmp_path, download=download)
    assert f"{tmp_path / 'imagenette2-160/train'} holds no images in class folders" in message


def test_an_imagenette_folder_of_unknown_classes(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "imagenette2-160" / split / "cats").mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "imagenette2-160" / split / "cats" / "0.png")
    assert "train/cats is no class of ImageNette" in refusal("imagenette", root=tmp_path)


@pytest.mark.parametrize("size", [0, -8, 3, 1025, 10**9])
@pytest.mark.parametrize("name", ["image-folder", "imagenette"])
def test_absurd_sizes(folder, name, size):
    assert f"must be 4 to 1024 pixels, not {size}" in refusal(name, root=folder, size=size)


def test_an_image_folder_needs_a_size(folder):
    assert "needs a size" in refusal("image-folder", root=folder)


@pytest.mark.parametrize("keep", [0, 3, 200, 400])
def test_a_cut_jpeg_is_named(folder, keep):
    picture = folder / "train" / "dog" / "1.jpg"
    content = picture.read_bytes()
    assert len(content) > 500
    picture.write_bytes(content[:keep])
    assert f"{picture} is cut short or is not an image" in refusal("image-folder", root=folder, size=8)


def test_two_class_folders_whose_names_look_the_same(folder):
    for name in ("caf\u00e9", "cafe\u0301"):
        (folder / "train" / name).mkdir()
    assert "differ in Unicode form only: merge or rename" in refusal("image-folder", root=folder, size=8)


def test_a_class_whose_images_are_all_in_a_format_that_is_not_read(folder):
    for picture in folder.glob("t*/*/*"):
        picture.rename(picture.with_suffix(".heic"))
    message = refusal("image-folder", root=folder, size=8)
    assert "holds no images in class folders" in message
    assert "4 .heic" in message


def test_an_image_folder_without_the_two_parts(tmp_path):
    assert "put images into train/CLASS/ and test/CLASS/" in refusal("image-folder", root=tmp_path, size=8)
    assert "put images into" in refusal("image-folder", root=tmp_path / "nowhere", size=8)
    (tmp_path / "train").mkdir()
    assert "train/*/ is missing" in refusal("image-folder", root=tmp_path, size=8, download=True)


def test_class_folders_without_any_image(folder):
    for picture in folder.glob("test/*/*"):
        picture.unlink()
    assert f"{folder / 'test'} holds no images" in refusal("image-folder", root=folder, size=8)


def test_one_empty_class_folder(folder):
    for picture in folder.glob("test/dog/*"):
        picture.unlink()
    message = refusal("image-folder", root=folder, size=8)
    assert "test images: there are none of class dog" in message


def test_test_classes_that_differ_from_the_training_classes(folder):
    (folder / "test" / "dog").rename(folder / "test" / "wolf")
    message = refusal("image-folder", root=folder, size=8)
    assert "training classes cat, dog but the test classes cat, wolf" in message


def test_a_single_class_folder(folder):
    for picture in folder.glob("*/dog/*"):
        picture.unlink()
    for empty in folder.glob("*/dog"):
        empty.rmdir()
    assert "At least two classes are needed, not 1" in refusal("image-folder", root=folder, size=8)


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    message = refusal("image-folder", root=folder, size=8)
    assert f"{folder / 'train'} cannot be read (Permission denied)" in message


def test_more_images_than_memory(folder, monkeypatch):
    def exhaust(*_):
        raise MemoryError

    monkeypatch.setattr("certssb_core.data.readers._read_files", exhaust)
    message = refusal("image-folder", root=folder, size=8)
    assert "4 do not fit in memory; set a cap or a smaller size" in message
