"""Load a named dataset of labelled images into memory, as plain arrays."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from certssb_core.data.readers import (
    Split,
    balanced_subset,
    describe_passed_over,
    read_cifar10,
    read_digits,
    read_image_folder,
    read_imagenette,
    read_mnist,
    read_photographs,
)
from certssb_core.errors import DataError

SMALLEST_SIZE, LARGEST_SIZE = 4, 1024
"""Pixels a side: the four-pixel trigger needs 4, and above 1024 few datasets fit in memory."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, ready to use: float32 pixels in [0, 1], int64 labels that index ``classes``."""

    name: str
    classes: tuple[str, ...]
    train_images: np.ndarray
    """``(n, C, H, W)``"""
    train_labels: np.ndarray
    """``(n,)``"""
    test_images: np.ndarray
    test_labels: np.ndarray
    passed_over: str = ""
    """One sentence on files in the dataset's folders that were not read; empty where there are none."""

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Identity of the data: class names, and for each split the number of images and the sha256 of its arrays."""
        return {
            "classes": [*self.classes],
            "train": _split_fingerprint(self.train_images, self.train_labels),
            "test": _split_fingerprint(self.test_images, self.test_labels),
        }


def _split_fingerprint(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """sha256 over shape, pixels (float32) and labels (int64), in little-endian order."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for array, kind in ((images, "<f4"), (labels, "<i8")):
        digest.update(np.ascontiguousarray(array, kind).data)
    return {"images": len(images), "sha256": digest.hexdigest()}


@dataclass(frozen=True)
class DatasetSource:
    """One entry of `DATASETS`."""

    name: str
    title: str
    channels: int | None
    """None: 3 if any image has colour, else 1."""
    size: int | None
    """Side in pixels unless another is asked for; None: it must be asked for."""
    loader: Callable[..., Split]
    """``(root, *, train, size, download)`` -> `Split`"""
    class_count: int | None = 10
    """None: as many as there are class folders."""
    files: tuple[str, ...] = ()
    """Patterns below the data folder that must all match something."""
    resizable: bool = False
    downloadable: bool = False

    @property
    def needs_files(self) -> bool:
        return bool(self.files)


@dataclass(frozen=True)
class Availability:
    present: bool
    message: str


def data_root(root: str | Path | None = None) -> Path:
    """The folder that holds the datasets: the one given, else environment CERTSSB_DATA, else ``./data``."""
    return Path(root or os.environ.get("CERTSSB_DATA") or "data").expanduser()


def availability(name: str, root: str | Path | None = None) -> Availability:
    """Look for a dataset's files, by name only.

    Raises:
        DataError: an unknown dataset name.
    """
    source, folder = _source(name), data_root(root)
    missing = next((pattern for pattern in source.files if not any(folder.glob(pattern))), None)
    if not source.needs_files:
        return Availability(True, f"{source.title} is built in.")
    if missing is None:
        return Availability(True, f"{source.title} is in {folder}.")
    packed = ", though its .gz is there" if (folder / f"{missing}.gz").is_file() else ""
    advice = (
        "ask for the download, copy the files there, or set CERTSSB_DATA to the folder that holds them"
        if source.downloadable
        else "put images into train/CLASS/ and test/CLASS/ there, or name another folder"
    )
    return Availability(False, f"{source.title} is not in {folder} ({missing} is missing{packed}): {advice}.")


def file_state(name: str, root: str | Path | None = None) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of change of a dataset's files or class folders: differs once one is added or replaced.

    A file of a class folder that is written over in place goes unnoticed: this costs no look at each image.

    Raises:
        DataError: an unknown dataset name.
    """
    source, folder = _source(name), data_root(root).resolve()
    found = sorted(path for pattern in source.files for path in folder.glob(pattern))
    return tuple((str(path), state.st_size, state.st_mtime_ns) for path in found for state in [path.stat()])


def passed_over(name: str, root: str | Path | None = None) -> str:
    """One sentence on files in a dataset's class folders that would not be read; nothing is decoded.

    Raises:
        DataError: an unknown dataset name, or folders that cannot be read.
    """
    source, folder = _source(name), data_root(root)
    if not source.resizable or not availability(name, folder).present:
        return ""
    return describe_passed_over(_sum_passed_over(_splits(source, folder, size=SMALLEST_SIZE, download=False)))


def load(
    name: str,
    *,
    root: str | Path | None = None,
    classes: Sequence[str] | None = None,
    max_train: int | None = None,
    max_test: int | None = None,
    size: int | None = None,
    seed: int = 0,
    download: bool = False,
) -> Dataset:
    """Load a dataset, or a part of it, into memory.

    Args:
        name: a key of `DATASETS`.
        root: the data folder, see `data_root`; for image-folder the folder that holds ``train`` and ``test``.
        classes: class names, or class numbers where no class name is itself a number; labels are renumbered
            in this order. None: all classes.
        max_train: cap on the training images; the subset is class-balanced, depends on ``seed`` only, and a
            smaller cap keeps a subset of a larger one's images.
        max_test: the same for the test images.
        size: side in pixels, 4 to 1024, for imagenette (default 224) and image-folder (required): images are
            scaled and cut to a centred square, see :mod:`certssb_core.data.image_file`. The other datasets have
            one size.
        seed: chooses the images that a cap keeps.
        download: fetch missing files with torchvision's own downloader.

    Raises:
        DataError: anything missing, damaged or impossible, in one sentence.
    """
    source, folder = _source(name), data_root(root)
    size = _checked_size(source, size)
    found = availability(name, folder)
    if not (found.present or (download and source.downloadable)):
        raise DataError(found.message)

    train, test = _splits(source, folder, size=size, download=download)
    if train.classes != test.classes:
        raise DataError(
            f"{source.title} in {folder} has the training classes {_listing(train.classes)} but the test "
            f"classes {_listing(test.classes)}: give both the same class folders."
        )
    chosen = _chosen_classes(train.classes, classes)
    where = f"{source.title} in {folder}" if source.needs_files else source.title
    train_images, train_labels = _read(train, chosen, max_train, seed=seed, what=f"{where}, training images")
    test_images, test_labels = _read(test, chosen, max_test, seed=seed, what=f"{where}, test images")
    if source.channels is None and not any(_has_colour(images) for images in (train_images, test_images)):
        train_images, test_images = (images[:, :1].copy() for images in (train_images, test_images))
    return Dataset(
        name=name,
        classes=tuple(train.classes[index] for index in chosen),
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        passed_over=describe_passed_over(_sum_passed_over((train, test))),
    )


def fetch(name: str, root: str | Path | None = None) -> Availability:
    """Download a dataset's missing files into the data folder, with torchvision's own downloader.

    Raises:
        DataError: an unknown dataset, one that nobody offers for download, or the download failed.
    """
    source, folder = _source(name), data_root(root)
    if not (source.downloadable or availability(name, root).present):
        raise DataError(availability(name, root).message)
    _splits(source, folder, size=source.size or SMALLEST_SIZE, download=True)
    return availability(name, root)


def _splits(source: DatasetSource, folder: Path, *, size: int, download: bool) -> tuple[Split, Split]:
    """Training and test split, not decoded yet."""
    try:
        train, test = (source.loader(folder, train=part, size=size, download=download) for part in (True, False))
    except OSError as problem:
        raise DataError(
            f"{problem.filename or folder} cannot be read ({problem.strerror}): check that you may read it."
        ) from problem
    return train, test


def _sum_passed_over(splits: Iterable[Split]) -> Counter[str]:
    return sum((split.passed_over for split in splits), Counter())


def _source(name: str) -> DatasetSource:
    if name not in DATASETS:
        raise DataError(f"There is no dataset '{name}': choose one of {_listing(DATASETS)}.")
    return DATASETS[name]


def _checked_size(source: DatasetSource, size: int | None) -> int:
    size = source.size if size is None else size
    if size is None:
        raise DataError(f"{source.title} needs a size: the side in pixels that images are resized to.")
    if not source.resizable and size != source.size:
        raise DataError(f"{source.title} has images of {source.size} pixels and no other size, not {size}.")
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise DataError(f"The image size must be {SMALLEST_SIZE} to {LARGEST_SIZE} pixels, not {size}.")
    return size


def _chosen_classes(available: tuple[str, ...], wanted: Sequence[str] | None) -> list[int]:
    """Indices into ``available`` in the order wanted."""
    known = {name: index for index, name in enumerate(available)}
    # Where class folders are called "3" and "7", a 1 must not be taken for the second of them.
    if not any(name.isdigit() for name in available):
        known |= {str(index): index for index in range(len(available))}
    wanted = available if wanted is None else [normalize("NFC", str(name)).strip() for name in wanted]
    if unknown := [name for name in wanted if name not in known]:
        raise DataError(f"There is no class {_listing(unknown)}: choose from {_listing(available)}.")
    chosen = [known[name] for name in wanted]
    if len(set(chosen)) < len(chosen):
        raise DataError(f"A class is named twice in {_listing(wanted)}: name each class once.")
    if len(chosen) < 2:
        raise DataError(f"At least two classes are needed, not {len(chosen)}; there are: {_listing(available)}.")
    return chosen


def _read(split: Split, chosen: list[int], cap: int | None, *, seed: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and renumbered labels of the chosen classes, in the split's order."""
    renumbered = np.full(len(split.classes), -1, dtype=np.int64)
    renumbered[chosen] = np.arange(len(chosen))
    labels = renumbered[split.labels]
    picked = np.flatnonzero(labels >= 0)
    if empty := [split.classes[index] for index in chosen if index not in split.labels]:
        raise DataError(f"{what}: there are none of class {_listing(empty)}; add some or choose other classes.")
    if cap is not None:
        if cap < len(chosen):
            raise DataError(f"{what}: a cap of {cap} leaves a class empty; allow at least {len(chosen)}.")
        picked = picked[balanced_subset(labels[picked], cap, seed=seed)]
    try:
        return split.read(picked), labels[picked]
    except MemoryError:
        raise DataError(f"{what}: {len(picked)} do not fit in memory; set a cap or a smaller size.") from None


def _has_colour(images: np.ndarray) -> bool:
    return bool((images[:, 1:] != images[:, :1]).any())


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names)


def _idx_files(kind: str) -> tuple[str, ...]:
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(f"{kind}/raw/{part}-ubyte" for part in parts)


CIFAR10_FILES = ("batches.meta", *(f"data_batch_{number}" for number in range(1, 6)), "test_batch")

DATASETS: dict[str, DatasetSource] = {
    "digits": DatasetSource("digits", "Digits 8×8", channels=1, size=8, loader=read_digits),
    "photographs": DatasetSource(
        "photographs",
        "Photographs 32×32",
        channels=3,
        size=32,
        loader=read_photographs,
        class_count=2,
    ),
    "mnist": DatasetSource(
        "mnist",
        "MNIST",
        channels=1,
        size=28,
        loader=partial(read_mnist, "MNIST"),
        files=_idx_files("MNIST"),
        downloadable=True,
    ),
    "fashion-mnist": DatasetSource(
        "fashion-mnist",
        "Fashion-MNIST",
        channels=1,
        size=28,
        loader=partial(read_mnist, "FashionMNIST"),
        files=_idx_files("FashionMNIST"),
        downloadable=True,
    ),
    "cifar10": DatasetSource(
        "cifar10",
        "CIFAR-10",
        channels=3,
        size=32,
        loader=read_cifar10,
        files=tuple(f"cifar-10-batches-py/{name}" for name in CIFAR10_FILES),
        downloadable=True,
    ),
    "imagenette": DatasetSource(
        "imagenette",
        "ImageNette",
        channels=3,
        size=224,
        loader=read_imagenette,
        files=("imagenette2*/train/*/", "imagenette2*/val/*/"),
        resizable=True,
        downloadable=True,
    ),
    "image-folder": DatasetSource(
        "image-folder",
        "Image folder",
        channels=None,
        size=None,
        loader=read_image_folder,
        class_count=None,
        files=("train/*/", "test/*/"),
        resizable=True,
    ),
}
