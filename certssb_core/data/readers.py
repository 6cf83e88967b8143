"""Sources: how each dataset is read from disk, one split at a time.

A source describes a split by its labels and a function that reads chosen images, so that class subsets and
caps are taken before anything is decoded. Whatever is missing or damaged becomes a `DataError`. Only the
readers that need torchvision import it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from certssb_core.data.system_memory import memory
from certssb_core.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
"""What is decoded: Pillow knows more, and for some of it starts other programs."""
LARGEST_SIDE = 8192
"""Pixels: a small file can unpack to a picture that fills the memory."""
IMAGENETTE_FOLDERS = {"160px": "imagenette2-160", "320px": "imagenette2-320", "full": "imagenette2"}
DIGITS_TEST_IMAGES, DIGITS_SPLIT_SEED = 360, 0
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
FETCH_AGAIN = "delete it and ask for the download, or copy it again"


@dataclass(frozen=True, eq=False)
class Split:
    """One split before anything is decoded."""

    classes: tuple[str, ...]
    labels: np.ndarray
    """``(n,)`` indices into ``classes``."""
    read: Callable[[np.ndarray], np.ndarray]
    """``(k,)`` image indices -> ``(k, C, H, W)`` float32 in [0, 1]."""


def balanced_subset(labels: np.ndarray, cap: int, *, seed: int) -> np.ndarray:
    """Ascending indices of ``cap`` images: classes take turns until they run out, each in a random order."""
    generator = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = generator.permutation(len(members))
    return np.sort(np.lexsort((labels, turn))[:cap])


def _unit_pixels(pixels: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [0, 1]."""
    return np.divide(pixels, 255, dtype=np.float32)


def read_digits(root: Path, *, train: bool, size: int, download: bool) -> Split:
    """The 1,797 digits of scikit-learn, 17 grey levels: 36 fixed ones of each class to test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    is_test = np.zeros(len(digits.target), dtype=bool)
    is_test[balanced_subset(digits.target, DIGITS_TEST_IMAGES, seed=DIGITS_SPLIT_SEED)] = True
    members = np.flatnonzero(is_test != train)
    images = (digits.images[members, None] / 16).astype(np.float32)
    return Split(tuple("0123456789"), digits.target[members], images.__getitem__)


def read_mnist(kind: str, root: Path, *, train: bool, size: int, download: bool) -> Split:
    raw, prefix = root / kind / "raw", "train" if train else "t10k"
    images, labels = raw / f"{prefix}-images-idx3-ubyte", raw / f"{prefix}-labels-idx1-ubyte"
    files = {images: (28, 28), labels: ()}
    if download and not all(path.is_file() for path in files):
        from torchvision import datasets

        _open(getattr(datasets, kind), root, download=True, train=train)
    pixels, targets = (_read_idx(path, shape) for path, shape in files.items())
    if len(pixels) != len(targets):
        held = " but ".join(f"{path} holds {len(items)} items" for path, items in ((images, pixels), (labels, targets)))
        raise DataError(f"{held}: delete both and ask for the download, or copy them again.")
    if targets.max(initial=0) > 9:
        raise DataError(f"{labels} has a label above 9: {FETCH_AGAIN}.")
    names = tuple("0123456789") if kind == "MNIST" else FASHION_CLASSES
    return Split(names, targets.astype(np.int64), lambda picked: _unit_pixels(pixels[picked, None]))


def _read_idx(path: Path, item_shape: tuple[int, ...]) -> np.ndarray:
    """All items ``(n, *item_shape)`` uint8 of an IDX file of bytes, which has to be whole."""
    content = path.read_bytes()
    header = 4 * (2 + len(item_shape))
    magic, count, *shape = np.frombuffer(content[: min(header, len(content)) // 4 * 4].ljust(8, b"\0"), ">u4").tolist()
    if magic != 0x800 + 1 + len(item_shape) or tuple(shape) != item_shape:
        raise DataError(f"{path} does not begin like the file it is named after: {FETCH_AGAIN}.")
    expected = header + count * prod(item_shape)
    if len(content) != expected:
        raise DataError(f"{path} has {len(content)} bytes where its header promises {expected}: {FETCH_AGAIN}.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(count, *item_shape)


def read_cifar10(root: Path, *, train: bool, size: int, download: bool) -> Split:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    try:
        data = _open(CIFAR10, root, download=download, train=train)
    except DataError:
        meta = [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]
        for file, md5 in [*CIFAR10.train_list, *CIFAR10.test_list, meta]:
            path = root / CIFAR10.base_folder / file
            if path.is_file() and not download and not check_integrity(str(path), md5):
                raise DataError(f"{path} is cut short or altered (wrong MD5 sum): {FETCH_AGAIN}.") from None
        raise
    pixels = data.data.transpose(0, 3, 1, 2)
    return Split(tuple(data.classes), np.array(data.targets), lambda picked: _unit_pixels(pixels[picked]))


def read_imagenette(root: Path, *, train: bool, size: int, download: bool) -> Split:
    from torchvision.datasets import Imagenette

    held = next((held for held, folder in IMAGENETTE_FOLDERS.items() if (root / folder).is_dir()), "160px")
    # With str as the loader an item is (path, label): `_read_files` decodes the chosen ones later.
    data = _open(Imagenette, root, download=download, split="train" if train else "val", size=held, loader=str)
    paths, labels = zip(*(data[index] for index in range(len(data))), strict=True)
    names = tuple(synonyms[0] for synonyms in data.classes)
    return Split(names, np.array(labels), partial(_read_files, np.array(paths), size))


def read_image_folder(root: Path, *, train: bool, size: int, download: bool) -> Split:
    folder = root / ("train" if train else "test")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    samples = [
        (str(path), label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not samples:
        raise DataError(f"{folder} holds no images in class folders: put some into {folder}/CLASS/.")
    paths, labels = zip(*samples, strict=True)
    return Split(tuple(classes), np.array(labels), partial(_read_files, np.array(paths), size))


def _open(kind: type, root: Path, *, download: bool, **options: Any) -> Any:
    """A torchvision dataset, with its failures as `DataError`."""
    try:
        return kind(str(root), download=download, **options)
    except Exception as problem:
        reason = (str(problem) or repr(problem)).splitlines()[0].rstrip(".:")
        # A file not found means a folder that torchvision took for the whole and did not fetch.
        if download and not isinstance(problem, FileNotFoundError):
            raise DataError(
                f"{kind.__name__} could not be downloaded into {root} ({reason}): check the network and that "
                "the folder can be written, or copy the files there."
            ) from problem
        raise DataError(f"{kind.__name__} in {root} cannot be read ({reason}): {FETCH_AGAIN}.") from problem


def _read_files(paths: np.ndarray, size: int, picked: np.ndarray) -> np.ndarray:
    if 5 * len(picked) * 3 * size**2 > memory():  # bytes as they are read, and floats made of them
        raise MemoryError
    pixels = np.empty((len(picked), 3, size, size), dtype=np.uint8)
    for image, path in zip(pixels, paths[picked], strict=True):
        image[:] = _read_file(path, size)
    return _unit_pixels(pixels)


def _read_file(path: str, size: int) -> np.ndarray:
    """One picture, upright, scaled and cut to a centred square: ``(3, size, size)`` uint8."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=IMAGE_FORMATS) as file:
            if max(file.size) > LARGEST_SIDE:
                raise DataError(f"{path} has {file.size[0]}×{file.size[1]} pixels: at most {LARGEST_SIDE} a side.")
            mode = file.mode
            picture = ImageOps.fit(ImageOps.exif_transpose(file).convert("RGB"), (size, size))
    except DataError:
        raise
    except Exception as problem:  # Pillow's decoders raise whatever they like
        raise DataError(f"{path} is cut short or is not an image: delete it or copy it again.") from problem
    if mode.startswith(("I", "F")):
        raise DataError(f"{path} has more than 8 bits per channel: save it with 8.")
    return np.asarray(picture).transpose(2, 0, 1)
