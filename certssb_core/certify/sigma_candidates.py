"""Choosing a test input's σ among finitely many candidates, on the smoothed classifier itself (docs/method.md §3).

The members vote at every candidate σ_k, and each candidate has a smoothed classifier of its own. There are two ways
to choose one of them per input and still hold with probability >= 1 - α:

* :func:`choose_by_all_votes`: the votes that certify choose. Bounds at α/K for each of the K candidates hold together
  with probability >= 1 - α (Bonferroni; the candidates share members and noise, so nothing about independence is
  used). Hence so does the chosen one, by whatever rule it was chosen.
* :func:`choose_by_members_set_aside`: members set aside choose. The other members' votes are independent of the
  choice, and need no correction. Those set aside may also keep the J most promising of the K candidates and leave the
  last word to the others, with bounds at α/J each: most of what is left to gain lies between near neighbours, and a
  few members suffice to see which neighbours.

Both certify, where they can, the class that leads at the uniform σ₀. Under very large noise every input gets one and
the same answer at an unbounded radius; this anchor keeps the choice from rewarding that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from certssb_core.certify.bounds.intervals import ClassBounds
from certssb_core.certify.bounds.registry import BOUNDS, Bound, count_votes
from certssb_core.certify.input_votes import InputVotes, VoteBounds, bound_at
from certssb_core.errors import RunError


def choose_by_all_votes(votes: InputVotes, *, bound: Bound, alpha: float) -> VoteBounds:
    """Bound all K candidates at alpha/K each and take the one with the largest radius, per input.

    Args:
        votes: with votes at the candidates, and at the uniform σ₀.
        bound: an entry of ``BOUNDS``.
        alpha: failure probability per input, in (0, 1), over all candidates together.
    """
    cast, softmax = _at_candidates(votes)
    at = [
        bound_at(
            cast[:, k],
            _filled(sigma, cast),
            bound=bound,
            classes=votes.classes,
            alpha=alpha / len(votes.candidates),
            test_map="voted",
            softmax=softmax[k],
            draws=votes.draws,
        )
        for k, sigma in enumerate(votes.candidates)
    ]
    return take(at, largest_radius(at, _leading(votes))[0])


def members_aside(members: int, share: float) -> int:
    """The number of ``members`` to set aside: the nearest to ``share``, at least one, and not all."""
    return min(max(1, round(share * members)), members - 1)


def choose_by_members_set_aside(
    votes: InputVotes, *, bound: Bound, alpha: float, aside: float, kept: int
) -> VoteBounds:
    """Let the first members keep the ``kept`` most promising candidates; bound those with the others' votes.

    Args:
        votes: with votes at the candidates, and at the uniform σ₀.
        bound: an entry of ``BOUNDS`` that reads hard votes.
        alpha: failure probability per input, in (0, 1).
        aside: share of the members set aside, in (0, 1); at least one member, and not all of them.
        kept: number of candidates to keep, at least 1.

    Raises:
        RunError: the bound reads softmax, which is kept as a mean over all members, or there is one member only.
    """
    if bound.vote == "softmax":
        raise RunError("set-aside needs a bound on hard votes: softmax is kept as a mean over all members")
    first = members_aside(votes.members, aside)
    if first < 1:
        raise RunError("set-aside needs at least two members")
    cast, _ = _at_candidates(votes)
    choosing, certifying = cast[:first], cast[first:]  # (M', K, n)
    kept, anchor = min(kept, len(votes.candidates)), _leading(votes, first)
    share: dict[str, Any] = {"classes": votes.classes, "alpha": alpha / kept, "test_map": "set-aside"}
    promising = largest_radius(
        [
            _forecast_bounds(choosing[:, k], sigma, members=len(certifying), classes=votes.classes, alpha=alpha / kept)
            for k, sigma in enumerate(votes.candidates)
        ],
        anchor,
        kept=kept,
    )  # (J, n)
    at = [
        bound_at(
            np.take_along_axis(certifying, candidate[None, None], axis=1)[:, 0],  # (M - first, n)
            np.asarray(votes.candidates)[candidate],
            bound=bound,
            draws=votes.draws,
            **share,
        )
        for candidate in promising
    ]
    return take(at, largest_radius(at, anchor)[0])


def largest_radius(at: Sequence[VoteBounds], anchor: np.ndarray, *, kept: int = 1) -> np.ndarray:
    """The candidates with the largest certified radii for the anchored class, per input.

    Args:
        at: bounds on ``n`` inputs at each of K candidates, each with its own σ.
        anchor: ``(n,)`` the class that is to be certified.
        kept: number of candidates to name, in [1, K].

    Returns:
        ``(kept, n)`` positions among the candidates, the best first; the first ones where none certifies the
        anchored class.
    """
    radii = [
        np.where(
            read.bounds.prediction == anchor,
            read.sigma * (ndtri(read.bounds.p_a_lower) - ndtri(read.bounds.p_b_upper)),
            0.0,
        )
        for read in at
    ]
    return np.argsort(-np.stack(radii), axis=0, kind="stable")[:kept]


def take(at: Sequence[VoteBounds], chosen: np.ndarray) -> VoteBounds:
    """The bounds, votes and σ of the chosen candidate ``(n,)`` of every input."""

    def taken(values: list[np.ndarray]) -> np.ndarray:
        return np.stack(values)[chosen, np.arange(len(chosen))]

    names = ("prediction", "top", "p_a_lower", "p_b_upper")
    return VoteBounds(
        ClassBounds(*(taken([getattr(read.bounds, name) for read in at]) for name in names)),
        counts=taken([read.counts for read in at]),
        sigma=taken([read.sigma for read in at]),
        members=at[0].members,
        test_map=at[0].test_map,
    )


def forecast(counts: np.ndarray, members: int) -> np.ndarray:
    """Forecast ``members`` further votes, as whole counts.

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


def _forecast_bounds(votes: np.ndarray, sigma: float, *, members: int, classes: int, alpha: float) -> VoteBounds:
    """Bounds that ``members`` further votes are expected to give, by Clopper–Pearson."""
    counts = forecast(count_votes(votes, classes), members)
    bounds = BOUNDS["clopper-pearson"].class_bounds(counts, members, alpha)
    return VoteBounds(bounds, counts, _filled(sigma, votes), members, "set-aside")


def _filled(sigma: float, votes: np.ndarray) -> np.ndarray:
    """One σ for every input ``(n,)``."""
    return np.full(votes.shape[-1], sigma, dtype=np.float64)


def _leading(votes: InputVotes, members: int | None = None) -> np.ndarray:
    """The class ``(n,)`` that leads at the uniform σ₀ among the first ``members``."""
    return count_votes(votes.votes["uniform"][:members], votes.classes).argmax(axis=1)


def _at_candidates(votes: InputVotes) -> tuple[np.ndarray, np.ndarray]:
    """Votes ``(M, K, n)`` and mean softmax ``(K, n, C)`` at every candidate."""
    if votes.candidate_votes is None or votes.candidate_softmax is None:
        raise RunError("the members did not vote at candidate σ")
    return votes.candidate_votes, votes.candidate_softmax
