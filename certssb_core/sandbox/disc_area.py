"""The area of a union of discs, exactly.

By Green's theorem the area is half the integral of x dy − y dx along the boundary, and the boundary consists of those
arcs of the circles that lie in no other disc.
"""

from __future__ import annotations

import numpy as np

_WHOLE = 2 * np.pi


def union_area(centres: np.ndarray, radii: np.ndarray) -> float:
    """Area of the union of discs with ``(n, 2)`` centres and ``(n,)`` radii; exact up to rounding."""
    discs = np.column_stack([np.asarray(centres, np.float64), np.asarray(radii, np.float64)])
    discs = np.unique(discs[discs[:, 2] > 0], axis=0)  # of equal discs one is enough
    x, y, radius = discs.T[:, :, None]  # (n, 1) each; row: the circle, column: the disc that may cover part of it
    across, up = x.T - x, y.T - y
    distance = np.hypot(across, up)
    within = distance + radius <= radius.T
    np.fill_diagonal(within, False)
    starts, ends = _covered(across, up, distance, radius)
    begins = np.maximum.accumulate(np.pad(ends, ((0, 0), (1, 0))), axis=1)
    ends = np.pad(starts, ((0, 0), (0, 1)), constant_values=_WHOLE)
    free = (begins < ends) & ~within.any(axis=1, keepdims=True)
    a, b = np.where(free, begins, 0.0), np.where(free, ends, 0.0)
    arcs = radius * (x * (np.sin(b) - np.sin(a)) - y * (np.cos(b) - np.cos(a))) + radius**2 * (b - a)
    return float(arcs.sum() / 2)


def _covered(
    across: np.ndarray, up: np.ndarray, distance: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Angles ``(n, 2n)`` between which each circle lies in another disc, by rising start; empty arcs are at 0."""
    meets = (distance < radius.T + radius) & (np.abs(radius.T - radius) < distance)
    scale = np.where(meets, 2 * distance * radius, np.inf)  # where they do not meet, any angle will do
    cosine = (distance**2 + radius**2 - radius.T**2) / scale
    half = np.arccos(np.clip(cosine, -1.0, 1.0))
    start = np.where(meets, (np.arctan2(up, across) - half) % _WHOLE, 0.0)
    end = np.where(meets, start + 2 * half, 0.0)
    # An arc over the seam at 2π is two.
    starts = np.concatenate([start, np.zeros_like(start)], axis=1)
    ends = np.concatenate([np.minimum(end, _WHOLE), np.maximum(end - _WHOLE, 0.0)], axis=1)
    order = np.argsort(starts, axis=1)
    return np.take_along_axis(starts, order, axis=1), np.take_along_axis(ends, order, axis=1)
