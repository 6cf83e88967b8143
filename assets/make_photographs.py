"""Lay the photographs that ship out as tiles: the first of each class of an image folder, airplanes above birds.

    python assets/make_photographs.py FOLDER [OTHERS]    (FOLDER/{train,test}/{airplane,bird}/*.jpg, 32×32 pixels)

Writes certssb_core/assets/photographs/{train,test}.jpg, and links to all other images of FOLDER into OTHERS: the
denoiser that ships learned from these (``denoiser train --dataset image-folder --root OTHERS --size 32 --steps 5000``).
One large JPEG needs its tables once, so that a tile takes 300 bytes. Full chroma resolution and the quality of the
folder's own files keep every tile within 2 grey levels (root mean square) of its source. The run in
checkpoints/photographs was made from the pixels as decoded: make it anew afterwards.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from certssb_core.data.readers import PHOTOGRAPHS

SIDE, COLUMNS, QUALITY = 32, 50, 75
CLASSES = ("airplane", "bird")
PER_CLASS = {"train": 2000, "test": 100}


def sheet(folder: Path, count: int) -> Image.Image:
    found = [path for name in CLASSES for path in sorted((folder / name).iterdir())[:count]]
    tiles = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in found])
    rows = tiles.reshape(-1, COLUMNS, SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray(rows.reshape(-1, COLUMNS * SIDE, 3))


def link_others(folder: Path, count: int, others: Path) -> None:
    for name in CLASSES:
        (others / name).mkdir(parents=True)
        for path in sorted((folder / name).iterdir())[count:]:
            (others / name / path.name).symlink_to(path.resolve())


def main() -> None:
    PHOTOGRAPHS.mkdir(parents=True, exist_ok=True)
    for part, count in PER_CLASS.items():
        picture = sheet(Path(sys.argv[1]) / part, count)
        picture.save(PHOTOGRAPHS / f"{part}.jpg", quality=QUALITY, subsampling=0, optimize=True)
        if len(sys.argv) > 2:
            link_others(Path(sys.argv[1]) / part, count, Path(sys.argv[2]) / part)


if __name__ == "__main__":
    main()
