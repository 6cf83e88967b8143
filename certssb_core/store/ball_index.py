"""Find nearest balls exactly: the ball whose edge is closest to a point, or that holds it deepest.

The *gap* from a point to ball ``j`` is ``d_j - r_j``, the distance to its edge, negative inside. Matrix products only
rule out balls that provably do not come close enough to matter, first by a few numbers per ball; what remains is
recomputed from the differences. So a result is exact up to the rounding of one float64 norm and does not depend on how
points are batched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from certssb_core.store.power_distance import ball_rows, full_power, point_rows, squares
from certssb_core.store.projection import Sketch, sample

_POINTS, _BALLS = 256, 4096  # block sizes of the matrix products: they bound the memory and change no result
_LARGE = 2**25  # numbers per block of balls: fewer balls where points are large
_MANY = 1 / 32  # of a block's balls: a point for which sketches leave more looks at all pixels before any is recomputed
_FEWEST = 64  # balls that the first sketch is made of
_RESKETCHED = 4  # times as many balls as the last sketch knew ask for a new one
_LOOKED_AT = 32  # balls whose distance is recomputed at once, the likely ones first


@dataclass(frozen=True)
class Nearest:
    """The ball with the smallest gap to a point.

    Attributes:
        ball: its id; label: its label.
        distance: from the point to its centre.
        gap: distance minus radius.
        distances: distances of this ball and of all that may tie with it.
        radii: their radii.
    """

    ball: int
    label: int
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


class Near:
    """The balls that come within ``radius`` of a point, and perhaps some that do not; good until the index changes.

    Args:
        rows: their places in the index, ascending; power: a lower bound of ``distance² - (radius + their radius)²``.
    """

    def __init__(self, index: BallIndex, point: np.ndarray, radius: float, rows: np.ndarray, power: np.ndarray) -> None:
        self._index, self._point, self._radius = index, point, radius
        self._rows, self._power = rows, power

    @property
    def labels(self) -> np.ndarray:
        """Labels of these balls."""
        return self._index.labels[self._rows]

    def within(self, radius: float) -> Near:
        """The balls that come within another radius of the same point."""
        return self if radius <= self._radius else self._index.near(self._point, radius)

    def nearest(self, which: np.ndarray | slice = slice(None)) -> Nearest | None:
        """The nearest of a choice of these balls; None where no ball comes within the radius.

        A ball that does not, though it is the nearest of these, need not be the nearest of all.
        """
        if not len(self._rows) or not len(rows := self._rows[which]):
            return None
        radii = self._index.radii[rows]
        square = np.fmax(self._power[which] + (self._radius + radii) ** 2, 0.0)  # an unknown power is NaN
        lowest = np.sqrt(square) - radii
        likely = np.argsort(lowest)
        seen, distances, gaps = likely[:0], np.empty(0), np.empty(0)
        while len(seen) < len(likely) and lowest[likely[len(seen)]] <= gaps.min(initial=np.inf):
            more = likely[len(seen) : len(seen) + _LOOKED_AT]
            distances = np.concatenate([distances, self._index.distances(self._point, rows[more])])
            seen = likely[: len(distances)]
            gaps = distances - radii[seen]
        ties = np.flatnonzero(gaps == gaps.min())
        best = ties[rows[seen[ties]].argmin()]  # of equals the first that came
        return Nearest(
            ball=int(self._index.ids[rows[seen[best]]]),
            label=int(self._index.labels[rows[seen[best]]]),
            distance=float(distances[best]),
            gap=float(gaps[best]),
            distances=distances,
            radii=radii[seen],
        )

    def tied(self, which: np.ndarray, tolerance: float) -> list[int]:
        """Rows of the nearest among a choice of these balls, and of all whose gap equals its own within a relative
        ``tolerance``."""
        rows = self._rows[which]
        if not len(rows):
            return []
        distances = self._index.distances(self._point, rows)
        gaps = distances - self._index.radii[rows]
        return rows[gaps <= gaps.min() + tolerance * (1 + distances)].tolist()

    def add(self, row: int, power: float) -> None:
        """Add a ball that has just arrived."""
        self._rows, self._power = np.append(self._rows, row), np.append(self._power, power)


class BallIndex:
    """Balls in order of arrival: float32 centres and float64 radii, in blocks that are never copied."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._count = 0
        self._facts = np.empty(0, [("id", "i8"), ("label", "i8"), ("radius", "f8"), ("square", "f8")])
        self._block = min(_BALLS, max(_POINTS, _LARGE // max(dim, 1)))
        self._centres: list[np.ndarray] = []  # (_block, dim) float32 each
        self._sketch, self._sketched = Sketch.of(np.empty((0, dim))), 0  # and how many balls there were then
        self._lifted: list[np.ndarray] = []  # (_block, width + 3) float32 each
        self._lifted_count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def centres(self) -> np.ndarray:
        """``(n, dim)`` float32, a copy."""
        return self._at(np.arange(self._count))

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

    def centre(self, row: int) -> np.ndarray:
        """``(dim,)`` float32 centre of the ball at ``row``."""
        return self._centres[row // self._block][row % self._block]

    def append(self, ball: int, centre: np.ndarray, label: int, radius: float) -> None:
        """Add a ball with id ``ball``."""
        if self._count == len(self._facts):
            self._facts = np.concatenate([self._facts, np.empty(max(self._count, _POINTS), self._facts.dtype)])
        block, place = divmod(self._count, self._block)
        if block == len(self._centres):
            self._centres.append(np.empty((self._block, self.dim), np.float32))
        self._centres[block][place] = centre
        self._facts[self._count] = (ball, label, radius, np.nan)
        self._count += 1

    def truncate(self, count: int) -> None:
        """Forget all balls but the first ``count``."""
        self._count = min(count, self._count)
        self._lifted_count = min(count, self._lifted_count)

    def near(self, point: np.ndarray, radius: float) -> Near:
        """The balls that come within ``radius`` of ``point`` ``(dim,)`` float32."""
        return self._search(point[None], np.array([radius]))[0]

    def scan(self, points: np.ndarray, radii: np.ndarray) -> Iterator[Near]:
        """Yield, for each of the ``(n, dim)`` float32 points, the balls that come within its radius.

        What is yielded is good until the next one is drawn. Meanwhile the point itself, and no other, may be
        appended as a ball; later points see it.
        """
        for start in range(0, len(points), _POINTS):
            block, reach = points[start : start + _POINTS], radii[start : start + _POINTS]
            nears = self._search(block, reach)
            nothing = np.zeros(len(block))
            apart = full_power(block, nothing, block, squares(block), nothing)  # squared distances
            for i, near in enumerate(nears):
                count = self._count
                yield near
                if self._count > count:
                    power = apart[i, i + 1 :] - (reach[i + 1 :] + self._facts["radius"][count]) ** 2
                    for later in np.flatnonzero(~(power >= 0)).tolist():
                        nears[i + 1 + later].add(count, power[later])

    def distances(self, point: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Distances from ``point`` to the centres of the balls at ``rows``, float64."""
        differences = self._at(rows).astype(np.float64) - point.astype(np.float64)
        return np.sqrt(np.sum(differences**2, axis=1))

    def _search(self, points: np.ndarray, radii: np.ndarray) -> list[Near]:
        """Find the balls near each point, one block of balls after the other."""
        self._lift()
        rows = point_rows(self._sketch(points), radii)
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for block, lifted in enumerate(self._lifted[: -(-self._lifted_count // self._block)]):
            first = block * self._block
            lifted = lifted[: self._lifted_count - first]
            with np.errstate(over="ignore", invalid="ignore"):
                power = rows @ lifted.T
            place, ball = np.divmod(np.flatnonzero(~(power >= 0)), len(lifted))
            many = np.flatnonzero(np.bincount(place, minlength=len(points)) > _MANY * len(lifted))
            if len(many):
                facts = self._facts[first : first + len(lifted)]
                centres = self._centres[block][: len(lifted)]
                power[many] = full_power(points[many], radii[many], centres, facts["square"], facts["radius"])
                place, ball = np.divmod(np.flatnonzero(~(power >= 0)), len(lifted))
            found.append((place, first + ball, power[place, ball].astype(np.float64)))
        place, ball, power = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(place, kind="stable")
        cuts = np.searchsorted(place[order], np.arange(1, len(points)))
        columns = zip(points, radii.tolist(), np.split(ball[order], cuts), np.split(power[order], cuts), strict=True)
        return [Near(self, *each) for each in columns]

    def _lift(self) -> None:
        """Make the rows of the matrix products for new balls, or for all after a new sketch."""
        if self._count >= max(_FEWEST, _RESKETCHED * self._sketched):
            self._sketch, self._sketched = Sketch.of(self._at(sample(self._count, self.dim))), self._count
            self._lifted, self._lifted_count = [], 0
        while self._lifted_count < self._count:
            block, start = divmod(self._lifted_count, self._block)
            if block == len(self._lifted):
                self._lifted.append(np.empty((self._block, self._sketch.width + 3), np.float32))
            stop = min(self._block, start + self._count - self._lifted_count)
            centres, facts = self._centres[block][start:stop], self._facts[self._lifted_count :][: stop - start]
            facts["square"] = squares(centres)
            self._lifted[block][start:stop] = ball_rows(self._sketch(centres), facts["radius"])
            self._lifted_count += stop - start

    def _at(self, rows: np.ndarray) -> np.ndarray:
        """The centres of some balls, ``(len(rows), dim)``."""
        centres = [self._centres[row // self._block][row % self._block] for row in rows.tolist()]
        return np.concatenate([np.empty(0, np.float32), *centres]).reshape(len(rows), self.dim)
