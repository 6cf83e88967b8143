"""Choosing a test input's σ among finitely many candidates, on the smoothed classifier itself (METHOD §3).

At every candidate σ_k the members vote, and each candidate has a smoothed classifier of its own. Two ways to
choose one of them per input, and still to hold with probability >= 1 - α:

* the votes that certify choose: bounds at α/K for each of the K candidates hold together with probability
  >= 1 - α (Bonferroni; the candidates share members and noise, so nothing about independence is used), hence
  so does the chosen one, by whatever rule it was chosen;
* members set aside choose: the other members' votes are independent of the choice, and need no correction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from certssb_core.certify.bounds import ClassBounds


def largest_radius(at: Sequence[ClassBounds], sigmas: Sequence[float], anchor: np.ndarray) -> np.ndarray:
    """The candidate with the largest certified radius for the anchored class, per input.

    Args:
        at: bounds on ``n`` inputs at each of K candidates.
        sigmas: the K noise levels, pixel units.
        anchor: ``(n,)`` the class that is to be certified. Under very large noise every input gets one and the
            same answer, at an unbounded radius; the anchor keeps the choice from rewarding that.

    Returns:
        ``(n,)`` positions in ``sigmas``; the first where no candidate certifies the anchored class.
    """
    margins = np.stack([ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper) for bounds in at])  # (K, n)
    anchored = np.stack([bounds.prediction == anchor for bounds in at])
    return np.where(anchored, np.asarray(sigmas)[:, None] * margins, 0.0).argmax(axis=0)


def take(at: Sequence[ClassBounds], chosen: np.ndarray) -> ClassBounds:
    """The bounds of the chosen candidate ``(n,)`` of every input."""
    return ClassBounds(
        *(
            np.stack([getattr(bounds, name) for bounds in at])[chosen, np.arange(len(chosen))]
            for name in ("prediction", "top", "p_a_lower", "p_b_upper")
        )
    )


def forecast(counts: np.ndarray, members: int) -> np.ndarray:
    """What ``members`` further votes are expected to be, as whole counts.

    Args:
        counts: ``(n, C)`` votes of the members set aside.
        members: number of members that will certify.

    Returns:
        ``(n, C)`` int64 summing to ``members``: the Krichevsky–Trofimov shares, (votes + 1/2) over the total,
        the rounding charged to the leading class. A forecast, not a bound: it chooses, and certifies nothing.
    """
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    expected = np.floor(shares * members).astype(np.int64)
    rows, top = np.arange(len(counts)), counts.argmax(axis=1)
    others = expected.sum(axis=1) - expected[rows, top]
    expected[rows, top] = members - others
    return expected
