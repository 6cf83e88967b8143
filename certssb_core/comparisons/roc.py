"""ROC curve of one number that tells two groups apart, its area, and an interval for the area.

The area (AUC) is the probability that a random member of the first group has the larger value, ties counting half.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

_TINY = 1e-9  # θ = value = 0 or 1 solves the equation too, and is no end of the interval


@dataclass(frozen=True)
class Area:
    """An AUC with its confidence interval, ``low`` to ``high``."""

    value: float
    low: float
    high: float


def area(positive: ArrayLike, negative: ArrayLike, *, confidence: float = 0.95) -> Area:
    """The AUC of two groups of independent values, with Newcombe's interval (2006, method 5).

    The interval holds every θ that the estimate is not too far from under the variance that θ itself would have, so
    that it does not shrink to a point where the groups do not overlap, as the usual ones do.

    Args:
        positive: ``(m,)``; negative: ``(n,)``; larger values speak for the first group.
    """
    positive, negative = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    m, n = len(positive), len(negative)
    if not m or not n:
        raise ValueError(f"two groups are needed, got {m} and {n} values")
    from scipy.stats import rankdata  # a third of a second, which most commands do without

    ranks = rankdata(np.concatenate([positive, negative]))
    value = float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))
    z = ndtri((1 + confidence) / 2)

    def too_far(theta: float) -> float:
        return (value - theta) ** 2 - z**2 * _variance(theta, m, n)

    low = brentq(too_far, 0.0, min(value, 1 - _TINY)) if value > 0 else 0.0
    high = brentq(too_far, max(value, _TINY), 1.0) if value < 1 else 1.0
    return Area(value, low, high)


def _variance(theta: float, m: int, n: int) -> float:
    """Variance of an AUC of θ, for groups of exponential shape, both of their mean size."""
    mean = (m + n) / 2 - 1
    return theta * (1 - theta) / (m * n) * (1 + mean * ((1 - theta) / (2 - theta) + theta / (1 + theta)))


def hits(positive: ArrayLike, negative: ArrayLike, alarms: ArrayLike) -> np.ndarray:
    """The ROC curve: the share of ``positive`` above the threshold at which a share ``alarms`` of ``negative`` is.

    Between thresholds the curve is a straight line, under which the area is the AUC of :func:`area`.
    """
    positive, negative = np.sort(positive), np.sort(negative)
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    hits, false = (
        np.concatenate([[0.0], (len(group) - np.searchsorted(group, thresholds, side="left")) / len(group)])
        for group in (positive, negative)
    )
    return np.interp(np.asarray(alarms), false, hits)  # where the curve rises straight up, its upper end
