"""Certified insertions and removals of training images that each reach one member (DPA, arXiv 2006.14768)."""

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import ClassBounds, class_rows, two_leaders
from certssb_core.certify.bounds.registry import Bound


def changes_certified(counts: ArrayLike) -> np.ndarray:
    """The most insertions and removals of training images that cannot change the leading class.

    Each of them changes one vote at most; a tie goes to the lower class: the least over the other classes c of
    ``(n_A - n_c - [c < A]) // 2``.

    Args:
        counts: ``(n, C)`` votes per class, C >= 2.

    Returns:
        ``(n,)`` int64, at least 0.
    """
    counts = np.asarray(counts, dtype=np.int64)
    rows, top = np.arange(len(counts)), counts.argmax(axis=1)
    lead = counts[rows, top, None] - counts - (np.arange(counts.shape[1]) < top[:, None])
    lead[rows, top] = np.iinfo(np.int64).max
    return lead.min(axis=1) // 2


def _shares(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Shares of the votes of fixed members. They estimate nothing, so ``alpha`` is not used."""
    values = class_rows(values, total=count)
    top, leader, runner_up = two_leaders(values)
    return ClassBounds(top, top, leader / count, runner_up / count)


COUNTED = Bound(
    "Counted: the members are fixed, so there is nothing to estimate",
    "hard",
    _shares,
    "Members are fixed and deterministic: the leading class is no estimate.",
)
