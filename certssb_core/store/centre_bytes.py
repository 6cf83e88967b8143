"""A ball's centre as bytes, exact to the bit: one byte for a pixel that is n/255, as those of image files are.

The other values, such as a trigger's, follow as floats with their places. Where they are many, all are floats.
Little-endian: the number of floats (uint32), n of every pixel (uint8), the floats' places (uint32), the floats.
"""

from __future__ import annotations

import numpy as np

_ALL = 2**32 - 1
"""In place of the number of floats: all values are floats, and nothing else follows."""


def pack(centre: np.ndarray) -> bytes:
    """Centre ``(d,)`` float32, finite → bytes."""
    levels = np.clip(np.rint(centre.astype(np.float64) * 255), 0, 255).astype(np.uint8)
    places = np.flatnonzero(_pixels(levels).view(np.uint32) != centre.view(np.uint32))
    if 8 * len(places) >= 3 * len(centre):
        return np.uint32(_ALL).tobytes() + centre.tobytes()
    head = np.uint32(len(places)).tobytes() + levels.tobytes()
    return head + places.astype(np.uint32).tobytes() + centre[places].tobytes()


def unpack(blob: bytes) -> np.ndarray:
    """Undo :func:`pack`.

    Raises:
        ValueError: the bytes are not those of a centre.
    """
    floats = int.from_bytes(blob[:4], "little")
    if floats == _ALL:
        return np.frombuffer(blob, np.float32, offset=4)
    size = len(blob) - 4 - 8 * floats
    if size < 1:
        raise ValueError(f"{len(blob)} bytes are too few for {floats:,} floats and their places")
    centre = _pixels(np.frombuffer(blob, np.uint8, count=size, offset=4))
    places = np.frombuffer(blob, np.uint32, count=floats, offset=4 + size)
    if (places >= size).any():
        raise ValueError(f"a float stands at {places.max():,}, beyond {size:,} pixels")
    centre[places] = np.frombuffer(blob, np.float32, offset=4 + size + 4 * floats)
    return centre


def _pixels(levels: np.ndarray) -> np.ndarray:
    return np.divide(levels, 255, dtype=np.float32)
