"""Triggers: small changes of an image that a backdoored model answers with the attacker's label.

Pixels are in [0, 1] and every norm is L2 over all pixels and channels. The pixel triggers spread their norm
evenly over their pixels and all channels, at the positions published for 28, 32 and 224 pixels (RAB, 2003.08904).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np

from certssb_core.errors import PoisonError

# Published anchors, image size -> coordinate (row and column alike). The four pixels keep their shape on any
# size, as published: they lie within one pixel of their anchor on 28 and on 224 alike.
ONE_PIXEL = {28: 23, 32: 15, 224: 112}
FOUR_PIXEL = {28: 19, 32: 15, 224: 112}
FOUR_PIXEL_OFFSETS = ((-1, 1), (0, 0), (1, -1), (1, 1))


@dataclass(frozen=True)
class Trigger:
    """One entry of `TRIGGERS`: how to stamp images, before clamping, and whether its norm can be chosen."""

    title: str
    stamp: Callable[..., np.ndarray]
    """``(images, *, norm, patch_size, patch_value, pattern_seed)`` -> images, not yet clamped to [0, 1]."""
    has_norm: bool = True
    """False where pixels are overwritten: then ``norm`` is ignored."""


def apply_trigger(
    images: np.ndarray,
    trigger: str,
    *,
    norm: float,
    patch_size: int = 3,
    patch_value: float = 1.0,
    pattern_seed: int = 0,
) -> np.ndarray:
    """Stamp a trigger on every image and clamp to [0, 1].

    Args:
        images: ``(n, C, H, W)`` in [0, 1], H and W at least 4; left untouched.
        trigger: a key of `TRIGGERS`.
        norm: nominal L2 norm of the change, > 0; clamping can only shrink it (see `actual_norms`). A patch
            overwrites its pixels, so it has no nominal norm and ignores this.
        patch_size: side of the patch in pixels, at most the image's side.
        patch_value: value of the patch's pixels, in [0, 1].
        pattern_seed: seed of the blended pattern, which is the same for all images.

    Returns:
        ``(n, C, H, W)`` float32 in [0, 1].

    Raises:
        PoisonError: an unknown trigger, or a setting outside its range.
    """
    if trigger not in TRIGGERS:
        raise PoisonError(f"There is no trigger '{trigger}': choose one of {', '.join(TRIGGERS)}.")
    height, width = images.shape[-2:]
    if min(height, width) < 4:
        raise PoisonError(f"A trigger needs images of at least 4×4 pixels, not {height}×{width}.")
    if not 0 < norm < np.inf:
        raise PoisonError(f"The trigger's norm must be a positive number, not {norm}.")
    if not 1 <= patch_size <= min(height, width):
        raise PoisonError(f"The patch must be 1 to {min(height, width)} pixels wide on these images, not {patch_size}.")
    if not 0 <= patch_value <= 1:
        raise PoisonError(f"The patch's value must lie between 0 and 1, not {patch_value}.")
    stamped = TRIGGERS[trigger].stamp(
        images, norm=norm, patch_size=patch_size, patch_value=patch_value, pattern_seed=pattern_seed
    )
    return np.clip(stamped, 0, 1, dtype=np.float32)


def apply_controls(
    images: np.ndarray,
    trigger: str,
    *,
    patterns: int,
    seed: int,
    norm: float,
    patch_size: int = 3,
    patch_value: float = 1.0,
    pattern_seed: int = 0,
) -> np.ndarray:
    """Stamp control patterns that no model was trained on: the trigger's change with its pixels at random places.

    The trigger's own places are avoided if enough others are left. Image i gets pattern i modulo ``patterns``.

    Args:
        images: ``(n, C, H, W)`` in [0, 1]; left untouched.
        trigger: as in `apply_trigger`, and so are norm, patch_size, patch_value and pattern_seed.
        patterns: number of patterns.
        seed: chooses the places of their pixels.

    Returns:
        ``(n, C, H, W)`` float32 in [0, 1].
    """
    channels, height, width = images.shape[1:]
    blank = np.zeros((1, channels, height, width), np.float32)
    change = TRIGGERS[trigger].stamp(
        blank, norm=norm, patch_size=patch_size, patch_value=patch_value, pattern_seed=pattern_seed
    )
    change = change.reshape(channels, -1)
    moved = np.flatnonzero(change.any(axis=0))
    free = np.setdiff1d(np.arange(height * width), moved)
    room = free if len(free) >= len(moved) else np.arange(height * width)
    controls = np.zeros((patterns, channels, height * width), np.float32)
    draws = np.random.default_rng(seed)
    for control in controls:
        control[:, draws.permutation(room)[: len(moved)]] = change[:, moved]
    added = controls.reshape(patterns, channels, height, width)[np.arange(len(images)) % patterns]
    return np.clip(images + added, 0, 1, dtype=np.float32)


def actual_norms(clean: np.ndarray, triggered: np.ndarray) -> np.ndarray:
    """L2 norm of each image's change, after clamping: ``(n, C, H, W)`` twice -> ``(n,)`` float64."""
    change = np.subtract(triggered, clean, dtype=np.float64)
    return np.sqrt(np.square(change).sum(axis=(1, 2, 3)))


def _scaled(anchors: dict[int, int], size: int) -> int:
    """Scale a coordinate to any image size, from the published size that is nearest in ratio."""
    published = min(anchors, key=lambda known: abs(log(known / size)))
    return anchors[published] * size // published


def _pixels(anchors: dict[int, int], offsets: tuple[tuple[int, int], ...]) -> Callable[..., np.ndarray]:
    """Make a stamp that adds ``norm / sqrt(pixels * channels)`` to each of a few pixels in every channel."""

    def stamp(images: np.ndarray, *, norm: float, **_) -> np.ndarray:
        channels, *sides = images.shape[1:]
        rows, columns = (
            _scaled(anchors, side) + steps for side, steps in zip(sides, np.transpose(offsets), strict=True)
        )
        stamped = images.copy()
        stamped[:, :, rows, columns] += norm / np.sqrt(len(offsets) * channels)
        return stamped

    return stamp


def _blended(images: np.ndarray, *, norm: float, pattern_seed: int, **_) -> np.ndarray:
    pattern = np.random.default_rng(pattern_seed).standard_normal(images.shape[1:])
    return images + (pattern * (norm / np.linalg.norm(pattern))).astype(np.float32)


def _patch(images: np.ndarray, *, patch_size: int, patch_value: float, **_) -> np.ndarray:
    stamped = images.copy()
    stamped[:, :, -patch_size:, -patch_size:] = patch_value
    return stamped


TRIGGERS: dict[str, Trigger] = {
    "one-pixel": Trigger("One pixel", _pixels(ONE_PIXEL, ((0, 0),))),
    "four-pixel": Trigger("Four pixels", _pixels(FOUR_PIXEL, FOUR_PIXEL_OFFSETS)),
    "blended": Trigger("Blended pattern", _blended),
    "patch": Trigger("Corner patch", _patch, has_norm=False),
}
