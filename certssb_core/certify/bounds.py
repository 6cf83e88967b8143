"""Confidence bounds on class probabilities, from the votes of the ensemble's members.

The leading class is chosen from the very votes that bound it, so every bound here is paid for in
advance for whichever class may lead: the failure probability ``alpha`` is split over the classes
and over the two bounds used (Bonferroni), and a statement about the chosen class survives the choice.

Notes:
    The published code bounds the mean softmax with a count of 1000 whatever the ensemble's size, and
    makes no correction for selection. Here the count is always the number of members that voted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv


@dataclass(frozen=True)
class ClassBounds:
    """What the votes say about ``n`` inputs; for each, both bounds hold with probability >= 1 - alpha.

    Attributes:
        prediction: ``(n,)`` int64, the leading class, or -1 where the answer is ABSTAIN.
        top: ``(n,)`` int64, the leading class even where it abstains (the lowest one on a tie).
        p_a_lower: ``(n,)`` lower bound on the leading class's probability.
        p_b_upper: ``(n,)`` upper bound on the probability of every other class.
    """

    prediction: np.ndarray
    top: np.ndarray
    p_a_lower: np.ndarray
    p_b_upper: np.ndarray


@dataclass(frozen=True)
class Bound:
    """A way to bound class probabilities: the kind of vote it reads and the function that reads it."""

    title: str
    vote: Literal["hard", "softmax"]
    class_bounds: Callable[[ArrayLike, int, float], ClassBounds]


def clopper_pearson_lower(successes: ArrayLike, trials: int, alpha: float) -> np.ndarray:
    """Exact one-sided lower bound on a binomial probability, below it with probability >= 1 - ``alpha``.

    Args:
        successes: counts in [0, ``trials``], any shape.
        trials: number of independent votes, at least 1.
        alpha: failure probability in (0, 1).
    """
    successes = _counts(successes, trials, alpha)
    bound = betaincinv(np.maximum(successes, 1), trials - successes + 1, alpha)
    return np.where(successes == 0, 0.0, bound)


def clopper_pearson_upper(successes: ArrayLike, trials: int, alpha: float) -> np.ndarray:
    """Exact one-sided upper bound; arguments as in :func:`clopper_pearson_lower`."""
    return 1.0 - clopper_pearson_lower(trials - _counts(successes, trials, alpha), trials, alpha)


def hoeffding_lower(mean: ArrayLike, count: int, alpha: float) -> np.ndarray:
    """One-sided lower bound ``mean - sqrt(ln(1/alpha) / (2 count))`` on an expectation in [0, 1].

    Args:
        mean: mean of ``count`` independent values in [0, 1], any shape.
        count: number of values averaged, at least 1.
        alpha: failure probability in (0, 1).
    """
    return np.maximum(_means(mean, count, alpha) - np.sqrt(-np.log(alpha) / (2 * count)), 0.0)


def hoeffding_upper(mean: ArrayLike, count: int, alpha: float) -> np.ndarray:
    """One-sided upper bound; arguments as in :func:`hoeffding_lower`."""
    return np.minimum(_means(mean, count, alpha) + np.sqrt(-np.log(alpha) / (2 * count)), 1.0)


def clopper_pearson_bounds(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Class bounds from hard votes.

    Args:
        values: ``(n, C)`` votes per class, each row summing to ``count``.
        count: number of members that voted.
        alpha: failure probability per input, in (0, 1).
    """
    values = _rows(values, total=count)
    return _class_bounds(values, count, alpha, clopper_pearson_lower, clopper_pearson_upper)


def hoeffding_bounds(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Class bounds from softmax outputs averaged over members (arXiv 2504.21730, 2003.08904).

    Args:
        values: ``(n, C)`` mean softmax, each row summing to 1 (up to single precision).
        count: number of members averaged.
        alpha: failure probability per input, in (0, 1).
    """
    values = _rows(values, total=1.0, tolerance=1e-3)
    return _class_bounds(np.clip(values, 0.0, 1.0), count, alpha, hoeffding_lower, hoeffding_upper)


BOUNDS: dict[str, Bound] = {
    "clopper-pearson": Bound("Clopper–Pearson on hard votes", "hard", clopper_pearson_bounds),
    "hoeffding": Bound("Hoeffding on mean softmax", "softmax", hoeffding_bounds),
}


def _class_bounds(values: np.ndarray, count: int, alpha: float, lower: Callable, upper: Callable) -> ClassBounds:
    rows, classes = np.arange(len(values)), values.shape[1]
    top = values.argmax(axis=1).astype(np.int64)
    if classes == 2:  # the other class has what is left, so only the two lower bounds share alpha
        p_a_lower = lower(values[rows, top], count, alpha / 2)
        p_b_upper = 1.0 - p_a_lower
    else:
        share = alpha / (2 * classes)
        p_a_lower = lower(values[rows, top], count, share)
        uppers = upper(values, count, share)
        uppers[rows, top] = 0.0
        p_b_upper = np.minimum(uppers.max(axis=1), 1.0 - p_a_lower)
    return ClassBounds(np.where(p_a_lower > p_b_upper, top, -1), top, p_a_lower, p_b_upper)


def _rows(values: ArrayLike, *, total: float, tolerance: float = 0.0) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"class values must have shape (n, C) with C >= 2, got {values.shape}")
    wrong = ~(np.abs(values.sum(axis=1) - total) <= tolerance)
    if wrong.any():
        raise ValueError(f"every row must sum to {total}, got {values[wrong][0].tolist()}")
    return values


def _counts(successes: ArrayLike, trials: int, alpha: float) -> np.ndarray:
    return _checked("successes", successes, trials, trials, alpha)


def _means(mean: ArrayLike, count: int, alpha: float) -> np.ndarray:
    return _checked("mean", mean, 1.0, count, alpha)


def _checked(name: str, values: ArrayLike, largest: float, count: int, alpha: float) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    if count < 1:
        raise ValueError(f"at least one vote is needed, got {count}")
    wrong = ~((values >= 0) & (values <= largest))
    if wrong.any():
        raise ValueError(f"{name} must lie in [0, {largest}], got {values[wrong].flat[0]}")
    return values
