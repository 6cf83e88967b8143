"""Compare pairs of balls: the distance of their centres and the sum of their radii.

Two open balls intersect when their distance is below r₁ + r₂. Between balls of different label that is a
*conflict*, the thing the storage-update removes; between balls of one label it does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 512  # rows at once: bounds the memory at 512 · n distances
_FILTER_TOLERANCE = 1e-4  # far above the error of the matrix product, so that no sign is left to it


@dataclass(frozen=True)
class Survey:
    """Counts of all pairs, and a list of the closest pairs of different label, conflicts first.

    Attributes:
        pairs: n (n − 1) / 2.
        touching: pairs of one label that intersect.
        conflicts: pairs of different label that intersect.
        distance_edges: ``(D + 1,)`` bin edges, L2 pixel units.
        radius_edges: ``(S + 1,)`` bin edges of r₁ + r₂.
        same, different: ``(S, D)`` int64, pairs per bin with the same and with different labels.
        first, second: ``(k,)`` int64, the listed pairs as positions in the input, smallest gap
            d − (r₁ + r₂) first: a negative gap is a conflict.
        distance, radius_sum: ``(k,)`` float64 of the listed pairs.
    """

    pairs: int
    touching: int
    conflicts: int
    distance_edges: np.ndarray
    radius_edges: np.ndarray
    same: np.ndarray
    different: np.ndarray
    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    radius_sum: np.ndarray


def survey(centres: np.ndarray, labels: np.ndarray, radii: np.ndarray, *, bins: int = 80, listed: int = 1000) -> Survey:
    """Compare every pair of balls.

    Distances come from a float64 matrix product; every pair within 1e-4 of touching, and every listed
    pair, is computed again by direct differences, so which pairs intersect is exact.

    Args:
        centres: ``(n, d)``, pixels in [0, 1].
        labels: ``(n,)`` integers.
        radii: ``(n,)`` L2 pixel units, ≥ 0.
        bins: bins per axis before the empty far end is cut off.
        listed: so many pairs of different label are listed; all are counted.
    """
    centres, radii = np.asarray(centres, np.float64), np.asarray(radii, np.float64)
    count = len(centres)
    shifted = centres - centres.mean(axis=0) if count else centres
    squares = np.einsum("ij,ij->i", shifted, shifted)
    # No distance exceeds twice the largest distance from the mean.
    distance_edges = np.linspace(0.0, 2 * np.sqrt(squares.max(initial=0.0)) or 1.0, bins + 1)
    radius_edges = np.linspace(0.0, 2 * radii.max(initial=0.0) or 1.0, bins + 1)
    same = np.zeros((bins, bins), np.int64)
    different = np.zeros((bins, bins), np.int64)
    touching, conflicts, found = 0, 0, []

    for start in range(0, count, _BLOCK):
        rows, columns = slice(start, start + _BLOCK), slice(start, count)
        product = squares[rows, None] + squares[columns] - 2 * shifted[rows] @ shifted[columns].T
        upper = np.triu(np.ones(product.shape, bool), k=1)  # each pair once
        distance = np.sqrt(np.maximum(product[upper], 0.0))
        radius_sum = (radii[rows, None] + radii[columns])[upper]
        alike = (labels[rows, None] == labels[columns])[upper]
        place = np.flatnonzero(upper)

        def pairs_at(chosen: np.ndarray, start: int = start, place: np.ndarray = place) -> np.ndarray:
            return start + np.stack(np.divmod(place[chosen], count - start), axis=1)  # (k, 2)

        doubtful = np.flatnonzero(np.abs(distance - radius_sum) < _FILTER_TOLERANCE)
        distance[doubtful] = distances(centres, *pairs_at(doubtful).T)
        gap = distance - radius_sum
        touching += int((gap[alike] < 0).sum())
        conflicts += int((gap[~alike] < 0).sum())
        same += _binned(radius_sum[alike], distance[alike], radius_edges, distance_edges)
        different += _binned(radius_sum[~alike], distance[~alike], radius_edges, distance_edges)
        closest = np.flatnonzero(~alike)
        if len(closest) > listed:
            closest = closest[np.argpartition(gap[closest], listed - 1)[:listed]]
        found.append(pairs_at(closest))

    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    distance = distances(centres, pairs[:, 0], pairs[:, 1])
    radius_sum = radii[pairs].sum(axis=1)
    closest = np.argsort(distance - radius_sum, kind="stable")[:listed]
    last = 1 + max(np.flatnonzero((same + different).any(axis=0)), default=bins - 1)
    return Survey(
        pairs=count * (count - 1) // 2,
        touching=touching,
        conflicts=conflicts,
        distance_edges=distance_edges[: last + 1],
        radius_edges=radius_edges,
        same=same[:, :last],
        different=different[:, :last],
        first=pairs[closest, 0],
        second=pairs[closest, 1],
        distance=distance[closest],
        radius_sum=radius_sum[closest],
    )


def distances(centres: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``(k,)`` float64 distances of the pairs ``(first, second)``, by direct differences."""
    result = np.empty(len(first), np.float64)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        difference = np.asarray(centres[first[part]], np.float64) - centres[second[part]]
        result[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return result


def nearest(centres: np.ndarray, radii: np.ndarray, position: int, candidates: np.ndarray) -> int | None:
    """The one of ``candidates`` (positions) whose ball's edge comes closest to ``centres[position]``."""
    if not len(candidates):
        return None
    gap = distances(centres, np.full(len(candidates), position), candidates) - radii[candidates]
    return int(candidates[np.argmin(gap)])


def _binned(
    radius_sum: np.ndarray, distance: np.ndarray, radius_edges: np.ndarray, distance_edges: np.ndarray
) -> np.ndarray:
    """``(S, D)`` counts; the edges are equally spaced from 0, which spares the search of ``histogram2d``."""
    bins = len(radius_edges) - 1
    row, column = (
        np.minimum((values * (bins / edges[-1])).astype(np.int64), bins - 1)
        for values, edges in ((radius_sum, radius_edges), (distance, distance_edges))
    )
    return np.bincount(row * bins + column, minlength=bins * bins).reshape(bins, bins)
