"""The L0 certificate: the number of binary features and labels that may change (arXiv 2002.11750, 1906.04948).

The noise keeps each binary feature and each label with probability β and flips it otherwise. If an attacker changes k
of them, wherever they are in the training set and the test input, only those k tell the two worlds apart: t of them
come out other than they were with probability C(k,t) (1-β)^t β^(k-t) at the original and C(k,t) β^t (1-β)^(k-t) at the
attacked data. By Neyman and Pearson the leading class loses most if it holds the outcomes of small t, and another gains
most if it holds those of large t.
"""

import numpy as np
from numpy.typing import ArrayLike

# Allowance for rounding in sums of probabilities, always against the claim.
_ROUNDING = 1e-9


def features_certified(p_a_lower: ArrayLike, p_b_upper: ArrayLike, *, keep: float) -> np.ndarray:
    """The most features and labels that may change while the leading class still leads.

    Args:
        p_a_lower: ``(n,)`` lower bound on the leading class's probability.
        p_b_upper: ``(n,)`` upper bound on every other class's.
        keep: β in (1/2, 1).

    Returns:
        ``(n,)`` int64, at least 0; -1 where the class does not lead to begin with.

    Raises:
        ValueError: β out of its range, or a probability outside [0, 1].
    """
    if not 0.5 < keep < 1:
        raise ValueError(f"keep must lie between 1/2 and 1, got {keep}")
    pairs = np.stack([np.asarray(p_a_lower, np.float64), np.asarray(p_b_upper, np.float64)], axis=-1)
    if not ((pairs >= 0) & (pairs <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    different, place = np.unique(pairs, axis=0, return_inverse=True)
    return np.array([_most(p_a, p_b, keep) for p_a, p_b in different], np.int64)[place.ravel()]


def _most(p_a: float, p_b: float, keep: float) -> int:
    """The largest k that stands, by bisection: the claim about k + 1 features contains the one about k."""
    if not p_a > p_b:
        return -1
    low, high = 0, 1
    while _stands(high, p_a, p_b, keep):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _stands(middle, p_a, p_b, keep) else (low, middle)
    return low


def _stands(k: int, p_a: float, p_b: float, keep: float) -> bool:
    """True if the leading class still leads in the worst world with k changes."""
    flips = np.arange(k + 1)
    from scipy.stats import binom  # a third of a second, which most commands do without

    original, attacked = binom.pmf(flips, k, 1 - keep), binom.pmf(flips, k, keep)
    least = attacked @ _filled(original, p_a, free=0.0)
    most = attacked[::-1] @ _filled(original[::-1], p_b, free=1.0)
    return bool(least > most * (1 + _ROUNDING))


def _filled(masses: np.ndarray, total: float, *, free: float) -> np.ndarray:
    """Fill ``total`` from the first mass on: the share taken of each mass, ``free`` of a zero mass."""
    before = np.cumsum(masses) - masses
    return np.divide(np.clip(total - before, 0, masses), masses, out=np.full_like(masses, free), where=masses > 0)
