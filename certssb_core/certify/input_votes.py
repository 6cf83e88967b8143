"""The members' votes on some inputs, and the bounds on class probabilities that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certssb_core.certify.bounds.intervals import ClassBounds
from certssb_core.certify.bounds.registry import Bound, count_votes
from certssb_core.certify.margin_votes import leads


@dataclass(frozen=True, eq=False)
class InputVotes:
    """Votes of M members on n inputs: a run's test set, or one image of a query.

    Attributes:
        votes: ``{noise map: (M, n) uint8}``, hard votes in the order of the members.
        softmax: ``{noise map: (n, C) float64}``, mean softmax over the members.
        sigma: ``{noise map: (n,) float64}``, the level of the noise law at each input.
        margins: ``(M, n)`` uint8, margins of the hard votes in steps of ``margin_votes.STEP``; None where not kept.
        ranks: ``(M, n, C)`` uint8, the rank that each member gives each class, 0 the best; None where not kept.
        candidates: the K test σ to choose from, rising, pixel units; empty where σ is not chosen by votes.
        candidate_votes: ``(M, K, n)`` uint8, votes at every candidate.
        candidate_softmax: ``(K, n, C)`` float64.
        draws: ``(n,)`` float64, one uniform draw per input for a randomised bound; None where none was stored.
    """

    votes: dict[str, np.ndarray]
    softmax: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]
    margins: np.ndarray | None = None
    ranks: np.ndarray | None = None
    candidates: tuple[float, ...] = ()
    candidate_votes: np.ndarray | None = None
    candidate_softmax: np.ndarray | None = None
    draws: np.ndarray | None = None

    @property
    def classes(self) -> int:
        return next(iter(self.softmax.values())).shape[1]

    @property
    def members(self) -> int:
        return len(next(iter(self.votes.values())))


@dataclass(frozen=True, eq=False)
class VoteBounds:
    """Everything that certifies n inputs.

    Attributes:
        bounds: on the class probabilities.
        counts: votes per class ``(n, C)`` int64.
        sigma: ``(n,)`` float64, the noise level at which these votes were cast.
        members: number of members that were counted.
        test_map: how ``sigma`` was chosen.
        lead: ``(n, MOST + 1)`` how far the leading class is ahead while the input moves by each number of steps, see
            :func:`margin_votes.leads`; None where votes have no margin.
        changes: ``(n,)`` int64, the insertions and removals of training images that cannot change the answer, where
            each reaches several members or members vote twice; of partitions with margins ``(n, MOST + 1)``, while the
            input moves by each number of steps; None elsewhere.
    """

    bounds: ClassBounds
    counts: np.ndarray
    sigma: np.ndarray
    members: int
    test_map: str
    lead: np.ndarray | None = None
    changes: np.ndarray | None = None


def bound_at(
    votes: np.ndarray,
    sigma: np.ndarray,
    *,
    bound: Bound,
    classes: int,
    alpha: float,
    test_map: str,
    softmax: np.ndarray | None = None,
    count: int | None = None,
    draws: np.ndarray | None = None,
    margins: np.ndarray | None = None,
) -> VoteBounds:
    """Bound the class probabilities behind votes that were cast at one noise level per input.

    Args:
        votes: ``(M, n)`` hard votes in the order of the members.
        sigma: ``(n,)`` noise levels.
        bound: an entry of ``BOUNDS``.
        classes: number of classes C.
        alpha: failure probability per input, in (0, 1).
        test_map: how ``sigma`` was chosen, one of ``TEST_MAPS``.
        softmax: ``(n, C)`` mean softmax of the same members; needed by a bound on softmax.
        count: number of votes that a bound on softmax is told, M by default. Any other number is unsound.
        draws: ``(n,)`` uniform draws, for a randomised bound.
        margins: ``(M, n)`` of the votes, where they have some.

    Raises:
        ValueError: the bound needs softmax and there is none.
    """
    bounds = bound.from_votes(votes, classes=classes, alpha=alpha, softmax=softmax, count=count, draws=draws)
    lead = None if margins is None else leads(votes, margins, bounds.top, classes, alpha)
    return VoteBounds(bounds, count_votes(votes, classes), sigma, len(votes), test_map, lead)
