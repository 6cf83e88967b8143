"""Answer at a point: a stored ball answers first, else the members.

A radius is only worth stating if nothing inside it is answered otherwise. A ball of another label that begins nearer
than the members' own radius would answer its points differently, so every radius ends there at the latest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from certssb_core.store.ball_index import BallIndex

_UNITS = 2**149
_TIES = 1e-9  # relative: balls whose rounded gaps are closer than this are all compared exactly


@dataclass(frozen=True)
class Answer:
    """The answer at a point.

    Attributes:
        label: the class, -1 for ABSTAIN.
        radius: L2 pixel units. Where a ball answers, it contains the whole ball of this radius; where the members do,
            no stored ball of another label comes closer. Both hold in exact arithmetic on the stored numbers.
        ball: id of the ball that answers, None where the members do.
    """

    label: int
    radius: float
    ball: int | None


def answer(index: BallIndex, point: np.ndarray, *, prediction: int = -1, radius: float = 0.0) -> Answer:
    """Answer by the ball in which ``point`` lies deepest, else by the members.

    Args:
        index: the stored balls.
        point: ``(d,)`` float32.
        prediction: the members' class, -1 for ABSTAIN; radius: how far they certify it, L2 pixel units.
    """
    near = index.near(point, radius)
    nearest = near.nearest()
    if nearest is not None and nearest.gap < 0:
        row = int(np.searchsorted(index.ids, nearest.ball))
        room = Fraction(float(index.radii[row])) - _distance(index, point, row)[1]
        return Answer(nearest.label, _rounded_down(room), nearest.ball)
    if prediction < 0:
        return Answer(-1, 0.0, None)
    for row in near.tied(near.labels != prediction, _TIES):
        room = _distance(index, point, row)[0] - Fraction(float(index.radii[row]))
        radius = min(radius, _rounded_down(room))
    return Answer(prediction, radius, None)


def _distance(index: BallIndex, point: np.ndarray, row: int) -> tuple[Fraction, Fraction]:
    """Bracket the distance to a ball's centre by two multiples of 2^-149; every float32 is such a multiple."""
    differences = _whole(index.centre(row)) - _whole(point)
    square = int((differences * differences).sum())
    down = math.isqrt(square)
    return Fraction(down, _UNITS), Fraction(down + (down * down < square), _UNITS)


def _whole(values: np.ndarray) -> np.ndarray:
    """Convert to Python integers, in multiples of 2^-149; scaling by a power of two is exact."""
    return np.array([int(value) for value in (values.astype(np.float64) * float(_UNITS)).tolist()], dtype=object)


def _rounded_down(value: Fraction) -> float:
    rounded = float(value)
    return max(0.0, rounded if Fraction(rounded) <= value else float(np.nextafter(rounded, -np.inf)))
