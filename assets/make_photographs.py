"""Lay the photographs that ship out as tiles: the first of each class of an image folder, airplanes above birds.

    python assets/make_photographs.py FOLDER        (FOLDER/{train,test}/{airplane,bird}/*.jpg, 32×32 pixels)

Writes certssb_core/assets/photographs/{train,test}.jpg. One large JPEG needs its tables once, so that a tile takes 300
bytes. Full chroma resolution and the quality of the folder's own files keep every tile within 2 grey levels (root mean
square) of its source. The run in checkpoints/photographs was made from the pixels as decoded: make it anew afterwards.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from certssb_core.data.readers import PHOTOGRAPHS

SIDE, COLUMNS, QUALITY = 32, 50, 75
PER_CLASS = {"train": 2000, "test": 100}


def sheet(folder: Path, count: int) -> Image.Image:
    found = [path for name in ("airplane", "bird") for path in sorted((folder / name).iterdir())[:count]]
    tiles = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in found])
    rows = tiles.reshape(-1, COLUMNS, SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray(rows.reshape(-1, COLUMNS * SIDE, 3))


def main() -> None:
    PHOTOGRAPHS.mkdir(parents=True, exist_ok=True)
    for part, count in PER_CLASS.items():
        picture = sheet(Path(sys.argv[1]) / part, count)
        picture.save(PHOTOGRAPHS / f"{part}.jpg", quality=QUALITY, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
