"""Confidence bounds on one probability, and on the leading class against all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv


@dataclass(frozen=True)
class ClassBounds:
    """Bounds on the class probabilities of ``n`` inputs; for each, both hold with probability >= 1 - alpha.

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

    @classmethod
    def decide(cls, top: np.ndarray, p_a_lower: np.ndarray, p_b_upper: np.ndarray) -> ClassBounds:
        """Predict ``top`` where it is bounded above every other class; abstain elsewhere. Arrays ``(n,)``."""
        return cls(np.where(p_a_lower > p_b_upper, top, -1), top, p_a_lower, p_b_upper)


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


def class_rows(values: ArrayLike, *, total: float, tolerance: float = 0.0) -> np.ndarray:
    """Votes or shares per class ``(n, C)``, checked: C >= 2, every row adding up to ``total``."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"class values must have shape (n, C) with C >= 2, got {values.shape}")
    wrong = ~(np.abs(values.sum(axis=1) - total) <= tolerance)
    if wrong.any():
        raise ValueError(f"every row must sum to {total}, got {values[wrong][0].tolist()}")
    return values


def two_leaders(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leading class of every row ``(n, C)`` (the lowest on a tie), its value, and the largest other value."""
    rows, top, others = np.arange(len(values)), values.argmax(axis=1).astype(np.int64), values.copy()
    others[rows, top] = 0
    return top, values[rows, top], others.max(axis=1)


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
