"""Read each dataset from disk, one split at a time.

A reader returns a split's labels and a function that decodes chosen images, so that class subsets and caps are taken
before anything is decoded. Missing or damaged files raise `DataError`. Only the readers that need torchvision import
it.
"""

import gzip
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from certssb_core.data.image_file import SUFFIXES, decode, unit_pixels
from certssb_core.data.system_memory import memory
from certssb_core.errors import DataError

IMAGENETTE_FOLDERS = {"160px": "imagenette2-160", "320px": "imagenette2-320", "full": "imagenette2"}
IMAGENETTE_CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
SYSTEM_FOLDERS = {"__MACOSX", "lost+found", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"}
"""Folders that systems add to a copy, a disk or a share. They are no classes; nor are names with a leading dot."""
DIGITS_TEST_IMAGES, DIGITS_SPLIT_SEED = 360, 0
PHOTOGRAPHS = Path(__file__).parents[1] / "assets" / "photographs"
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
    passed_over: Counter[str] = field(default_factory=Counter)
    """Files and folders that were not read: how many of each kind."""


def balanced_subset(labels: np.ndarray, cap: int, *, seed: int) -> np.ndarray:
    """Ascending indices of ``cap`` images: classes take turns until they run out, each in a random order."""
    generator = np.random.default_rng(seed)
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = generator.permutation(len(members))
    return np.sort(np.lexsort((labels, turn))[:cap])


def read_digits(root: Path, *, train: bool, size: int, download: bool) -> Split:
    """The 1,797 digits of scikit-learn, 17 grey levels: 36 fixed ones of each class to test."""
    levels, labels = _digits()
    is_test = np.zeros(len(labels), dtype=bool)
    is_test[balanced_subset(labels, DIGITS_TEST_IMAGES, seed=DIGITS_SPLIT_SEED)] = True
    members = np.flatnonzero(is_test != train)
    images = (levels[members, None] / 16).astype(np.float32)
    return Split(tuple("0123456789"), labels[members], images.__getitem__)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey levels ``(1797, 8, 8)`` and labels, from scikit-learn's file: its import would take longer than the page."""
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError("The digits come with scikit-learn, which is not installed: pip install scikit-learn.")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(file, "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)


def read_photographs(root: Path, *, train: bool, size: int, download: bool) -> Split:
    """Airplanes and birds of CIFAR-10 that ship with the package, as tiles of one JPEG (LICENCES.md says whose)."""
    from PIL import Image

    with Image.open(PHOTOGRAPHS / f"{'train' if train else 'test'}.jpg") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
    tiles = pixels.reshape(rows, size, columns, size, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, size, size)
    labels = np.repeat(np.arange(2), len(tiles) // 2)  # the upper half is airplanes
    return Split(("airplane", "bird"), labels, lambda picked: unit_pixels(tiles[picked]))


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
    return Split(names, targets.astype(np.int64), lambda picked: unit_pixels(pixels[picked, None]))


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
    return Split(tuple(data.classes), np.array(data.targets), lambda picked: unit_pixels(pixels[picked]))


def read_imagenette(root: Path, *, train: bool, size: int, download: bool) -> Split:
    held = next((folder for folder in IMAGENETTE_FOLDERS.values() if (root / folder).is_dir()), None)
    if held is None and download:
        from torchvision.datasets import Imagenette

        held = IMAGENETTE_FOLDERS["160px"]
        _open(Imagenette, root, download=True, size="160px")
    folder = root / (held or IMAGENETTE_FOLDERS["160px"]) / ("train" if train else "val")
    split = _class_folders(folder, size)
    if unknown := [name for name in split.classes if name not in IMAGENETTE_CLASSES]:
        raise DataError(f"{folder / unknown[0]} is no class of ImageNette: {FETCH_AGAIN}.")
    return replace(split, classes=tuple(IMAGENETTE_CLASSES[name] for name in split.classes))


def read_image_folder(root: Path, *, train: bool, size: int, download: bool) -> Split:
    return _class_folders(root / ("train" if train else "test"), size)


def _class_folders(folder: Path, size: int) -> Split:
    """Images ``folder/CLASS/*``, classes and files in the order of their names.

    Names are compared in Unicode's composed form (NFC): a Mac stores an é in two characters, other systems in one.
    """
    passed_over: Counter[str] = Counter()
    folders: dict[str, Path] = {}
    for path in folder.iterdir():
        name = normalize("NFC", path.name)
        if path.name.startswith(".") or path.name in SYSTEM_FOLDERS:
            passed_over["hidden or of the system"] += 1
        elif not path.is_dir():
            passed_over["outside the class folders"] += 1
        elif name in folders:
            raise DataError(f"{folder} has two folders {name} that differ in Unicode form only: merge or rename them.")
        else:
            folders[name] = path
    paths, labels = [], []
    for label, name in enumerate(sorted(folders)):
        for path in sorted(folders[name].iterdir(), key=lambda path: path.name):
            if kind := _reason_to_pass_over(path):
                passed_over[kind] += 1
            else:
                paths.append(path)
                labels.append(label)
    if not paths:
        told = describe_passed_over(passed_over)
        raise DataError(f"{folder} holds no images in class folders: put some into {folder}/CLASS/. {told}".rstrip())
    read = partial(_read_files, np.array(paths), size)
    return Split(tuple(sorted(folders)), np.array(labels), read, passed_over)


def _reason_to_pass_over(path: Path) -> str:
    """The kind of a file that is not read; empty for an image."""
    if path.name.startswith("."):
        return "hidden or of the system"
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return ""
    if path.is_dir():
        return "folder in a class folder"
    return (path.suffix.lower() or "without a suffix") if path.is_file() else "not a regular file"


def describe_passed_over(kinds: Counter[str]) -> str:
    """One sentence on what was not read; empty where everything was."""
    if not kinds:
        return ""
    listing = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return f"{kinds.total():,} files or folders were passed over and are not part of the data: {listing}."


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
    """The picked images ``(k, 3, size, size)`` float32 in [0, 1]."""
    if 5 * len(picked) * 3 * size**2 > memory():  # bytes as they are read, and floats made of them
        raise MemoryError
    pixels = np.empty((len(picked), 3, size, size), dtype=np.uint8)
    for image, path in zip(pixels, paths[picked], strict=True):
        image[:] = decode(path, (size, size))
    return unit_pixels(pixels)
