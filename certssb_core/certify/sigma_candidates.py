"""Choosing a test input's σ among finitely many candidates, on the smoothed classifier itself (METHOD §3).

At every candidate σ_k the members vote, and each candidate has a smoothed classifier of its own. Two ways to
choose one of them per input, and still to hold with probability >= 1 - α:

* the votes that certify choose: bounds at α/K for each of the K candidates hold together with probability
  >= 1 - α (Bonferroni; the candidates share members and noise, so nothing about independence is used), hence
  so does the chosen one, by whatever rule it was chosen;
* members set aside choose: the other members' votes are independent of the choice, and need no correction. They may
  also leave the last word to the others and keep the few most promising candidates, J of K, bounded at α/J each: most
  of what is left to gain is between near neighbours, and a few members suffice to see which neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from certssb_core.certify.bounds.registry import ClassBounds


def largest_radius(at: Sequence[ClassBounds], sigmas: ArrayLike, anchor: np.ndarray, *, kept: int = 1) -> np.ndarray:
    """The candidates with the largest certified radii for the anchored class, per input.

    Args:
        at: bounds on ``n`` inputs at each of K candidates.
        sigmas: the K noise levels, pixel units: ``(K,)``, or ``(K, n)`` where every input has its own.
        anchor: ``(n,)`` the class that is to be certified. Under very large noise every input gets one and the
            same answer, at an unbounded radius; the anchor keeps the choice from rewarding that.
        kept: how many to name, in [1, K].

    Returns:
        ``(kept, n)`` positions among the candidates, the best first; the first ones where none certifies the
        anchored class.
    """
    margins = np.stack([ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper) for bounds in at])  # (K, n)
    anchored = np.stack([bounds.prediction == anchor for bounds in at])
    sigmas = np.asarray(sigmas, dtype=np.float64).reshape(len(at), -1)
    radii = np.where(anchored, sigmas * margins, 0.0)
    return np.argsort(-radii, axis=0, kind="stable")[:kept]


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
    counts = np.asarray(counts, dtype=np.int64)
    expected = (2 * counts + 1) * members // (2 * counts + 1).sum(axis=1, keepdims=True)  # whole numbers: no rounding
    rows, top = np.arange(len(counts)), counts.argmax(axis=1)
    others = expected.sum(axis=1) - expected[rows, top]
    expected[rows, top] = members - others
    return expected
