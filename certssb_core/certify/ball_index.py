"""Exact nearest balls: which ball's edge is closest to a point, or encloses it deepest.

The *gap* from a point to ball ``j`` is ``d_j - r_j``, the distance to its edge, negative inside. A matrix
product only rules out balls that provably do not have the smallest gap; what remains is recomputed from the
differences. So a result is exact up to the rounding of one float64 norm and does not depend on how points are
batched.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

_POINTS, _BALLS = 256, 4096  # block sizes of the matrix product: they bound the memory and change no result


@dataclass(frozen=True)
class Nearest:
    """The ball with the smallest gap to a point.

    Attributes:
        row: its place in the index.
        distance: from the point to its centre.
        gap: distance minus radius.
        distances: distances of this ball and of all that may tie with it.
        radii: their radii.
    """

    row: int
    distance: float
    gap: float
    distances: np.ndarray
    radii: np.ndarray

    def room(self, radius: float) -> float:
        """The largest radius up to ``radius`` with which a ball around the point intersects no ball.

        It holds for the rounded sum too: ``radius + radii <= distances``. A ball with a larger rounded gap
        than the smallest keeps that inequality by itself, so only ties have to be looked at.
        """
        radius = max(0.0, min(radius, self.gap))
        while radius > 0 and np.any(radius + self.radii > self.distances):
            radius = float(np.nextafter(radius, 0.0))
        return radius


class BallIndex:
    """Balls in order of arrival, in growing arrays: float32 centres, float64 radii."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._count = 0
        self._centres = np.empty((0, dim), np.float32)
        self._facts = np.empty(0, [("id", "i8"), ("label", "i8"), ("radius", "f8"), ("square", "f8")])

    def __len__(self) -> int:
        return self._count

    @property
    def centres(self) -> np.ndarray:
        """``(n, dim)`` float32."""
        return self._centres[: self._count]

    @property
    def ids(self) -> np.ndarray:
        """``(n,)`` int64, increasing."""
        return self._facts["id"][: self._count]

    @property
    def labels(self) -> np.ndarray:
        """``(n,)`` int64."""
        return self._facts["label"][: self._count]

    @property
    def radii(self) -> np.ndarray:
        """``(n,)`` float64."""
        return self._facts["radius"][: self._count]

    def append(self, ball: int, centre: np.ndarray, label: int, radius: float) -> None:
        """Add a ball with id ``ball``."""
        if self._count == len(self._facts):
            self._reserve(max(2 * self._count, _POINTS))
        self._centres[self._count] = centre
        self._facts[self._count] = (ball, label, radius, _squares(centre[None])[0])
        self._count += 1

    def truncate(self, count: int) -> None:
        """Forget all balls but the first ``count``."""
        self._count = min(count, self._count)

    def scan(self, points: np.ndarray) -> Iterator[Callable[[np.ndarray | slice], Nearest | None]]:
        """For each of the ``(n, dim)`` float32 points a function, from a choice of balls to the nearest.

        The function is good until the next one is drawn. Meanwhile the point itself, and no other, may be
        appended as a ball; later points see it.
        """
        for start in range(0, len(points), _POINTS):
            block = points[start : start + _POINTS]
            squares = _squares(block)
            within = _squared_distances(block, squares, block, squares)
            approximate = np.empty((len(block), self._count + len(block)))
            for ball in range(0, self._count, _BALLS):
                these = slice(ball, min(ball + _BALLS, self._count))
                approximate[:, these] = _squared_distances(
                    block, squares, self._centres[these], self._facts["square"][these]
                )
            for i, point in enumerate(block):
                count = self._count
                yield partial(self._nearest, point, squares[i], approximate[i, :count])
                if self._count > count:
                    approximate[:, count] = within[:, i]

    def _nearest(
        self, point: np.ndarray, square: float, approximate: np.ndarray, which: np.ndarray | slice
    ) -> Nearest | None:
        rows = np.arange(len(approximate))[which]
        if not len(rows):
            return None
        facts, approximate = self._facts[rows], approximate[rows]
        # Twice the textbook error bound of a dot product and of a sum of squares together.
        slack = 8 * (self.dim + 8) * np.finfo(np.float64).eps * (square + facts["square"])
        lowest = np.sqrt(np.maximum(approximate - slack, 0.0)) - facts["radius"]
        highest = np.sqrt(np.maximum(approximate, 0.0) + slack) - facts["radius"]
        close = np.flatnonzero(lowest <= highest.min())
        differences = self._centres[rows[close]].astype(np.float64) - point.astype(np.float64)
        distances = np.sqrt(np.sum(differences**2, axis=1))
        radii = facts["radius"][close]
        best = np.argmin(distances - radii)
        return Nearest(
            row=int(rows[close[best]]),
            distance=float(distances[best]),
            gap=float(distances[best] - radii[best]),
            distances=distances,
            radii=radii,
        )

    def _reserve(self, size: int) -> None:
        centres, facts = np.empty((size, self.dim), np.float32), np.empty(size, self._facts.dtype)
        centres[: self._count], facts[: self._count] = self.centres, self._facts[: self._count]
        self._centres, self._facts = centres, facts


def _squares(points: np.ndarray) -> np.ndarray:
    return np.sum(points.astype(np.float64) ** 2, axis=1)  # (n,)


def _squared_distances(a: np.ndarray, squares_a: np.ndarray, b: np.ndarray, squares_b: np.ndarray) -> np.ndarray:
    product = a.astype(np.float64) @ b.astype(np.float64).T  # (A, B)
    return squares_a[:, None] + squares_b[None, :] - 2 * product
