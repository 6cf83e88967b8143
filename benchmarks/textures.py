"""Make a folder laid out as ImageNette, of generated textures: the path to real images, where none are at hand.

    python -m benchmarks.textures FOLDER [--size full|320px|160px] [--share 1.0]

Class folders, numbers of images and range of sizes are those of ImageNette (9,469 training and 3,925 validation
images); ``full`` has JPEGs of varying size and shape, the others a shorter side of 320 or 160 pixels. A class is a
tint, and a direction of waves among waves of any direction, so that it can be learned and not read off one pixel. An
image is a pure function of its class, split and number. Nothing is claimed about real photographs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from certssb_core.data.readers import IMAGENETTE_CLASSES, IMAGENETTE_FOLDERS

COUNTS = {
    "train": (963, 955, 993, 858, 941, 956, 961, 931, 951, 960),
    "val": (387, 395, 357, 386, 409, 394, 389, 419, 399, 390),
}
"""ImageNette's images per class, in the order of :data:`IMAGENETTE_CLASSES`."""
COARSE = 8
"""Pixels per grid point of the waves; the picture is scaled up from the grid."""


def texture(label: int, split: str, number: int, size: str) -> Image.Image:
    """One picture: the class's tint, a wave in its direction, two in any, and grain."""
    generator = np.random.default_rng([label, list(COUNTS).index(split), number])
    width, height = (int(side) for side in generator.integers(220, 640, 2))
    if size != "full":
        shorter = int(size.removesuffix("px"))
        width, height = (round(side * shorter / min(width, height)) for side in (width, height))
    rows, columns = -(-height // COARSE), -(-width // COARSE)
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    picture = np.tile(0.5 * np.cos(2 * label + 2 * np.arange(3)), (rows, columns, 1))
    own = label * np.pi / len(IMAGENETTE_CLASSES)
    for angle, strength in ((own, 0.8), *((angle, 0.4) for angle in generator.uniform(0, np.pi, 2))):
        phase = generator.uniform(0, 2 * np.pi)
        wave = np.cos(2 * np.pi * generator.uniform(0.5, 2) * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        picture += strength * wave[..., None] * generator.uniform(0.5, 1.5, 3)
    picture += generator.normal(0, 0.3, picture.shape)
    levels = np.clip(128 + 48 * picture, 0, 255).astype(np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)


def make(folder: Path, *, size: str = "full", share: float = 1.0, classes: int = 10) -> Path:
    """Write the folder of one variant; returns it. ``share`` of every class, at least two images.

    Args:
        folder: the data folder, in which ``imagenette2``, ``imagenette2-320`` or ``imagenette2-160`` is made.
        size: a key of ``IMAGENETTE_FOLDERS``; classes: make the first so many.
    """
    made = folder / IMAGENETTE_FOLDERS[size]
    for split, counts in COUNTS.items():
        for label, name in enumerate([*IMAGENETTE_CLASSES][:classes]):
            place = made / split / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(max(2, round(share * counts[label]))):
                path = place / f"{name}_{number}.JPEG"
                if not path.exists():
                    texture(label, split, number, size).save(path, "JPEG", quality=90)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=IMAGENETTE_FOLDERS, default="full")
    parser.add_argument("--share", type=float, default=1.0)
    settings = parser.parse_args()
    print(make(settings.folder, size=settings.size, share=settings.share))


if __name__ == "__main__":
    main()
