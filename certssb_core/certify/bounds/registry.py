"""Confidence bounds on class probabilities, from the votes of the ensemble's members.

The leading class is chosen from the very votes that bound it, so a bound must survive that choice. Clopper–Pearson
and Hoeffding here pay for it in advance: the failure probability ``alpha`` is split over the classes and over the two
bounds used (Bonferroni). The other entries of the registry pay less for the same votes, each with its own proof:
:mod:`joint`, :mod:`selection_split` and :mod:`time_uniform`.

Notes:
    The published code bounds the mean softmax with a count of 1000 whatever the ensemble's size, and
    makes no correction for selection. Here the count is always the number of members that voted.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import (
    ClassBounds,
    class_rows,
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_lower,
    hoeffding_upper,
)
from certssb_core.certify.bounds.joint import joint_bounds
from certssb_core.certify.bounds.selection_split import selection_split_bounds
from certssb_core.certify.bounds.time_uniform import time_uniform_bounds


@dataclass(frozen=True)
class Bound:
    """A way to bound class probabilities: the kind of vote it reads and the function that reads it.

    Attributes:
        title: for people.
        vote: ``hard``: ``class_bounds`` takes votes per class ``(n, C)``, their number M and alpha;
            ``softmax``: mean softmax ``(n, C)``, M and alpha;
            ``sequence``: hard votes ``(M, n)`` in the order of the members, the number of classes C and alpha.
        class_bounds: the function.
        randomised: whether ``class_bounds`` also takes one uniform draw per input, ``(n,)``, stored with the votes.
        selection: how it pays for choosing the leading class, in words; ``{parts}`` is the number of parts of α.
    """

    title: str
    vote: Literal["hard", "softmax", "sequence"]
    class_bounds: Callable[..., ClassBounds]
    selection: str = ""
    randomised: bool = False

    def from_votes(
        self,
        votes: np.ndarray,
        *,
        classes: int,
        alpha: float,
        softmax: np.ndarray | None = None,
        count: int | None = None,
        draws: np.ndarray | None = None,
    ) -> ClassBounds:
        """Bound the class probabilities behind hard votes ``(M, n)``, in the order of the members.

        Args:
            classes: number of classes C >= 2.
            alpha: failure probability per input, in (0, 1).
            softmax: ``(n, C)`` mean softmax of the same members; needed where :attr:`vote` is ``softmax``.
            count: number of votes that a bound on softmax is told, M by default.
            draws: ``(n,)`` uniform draws, for a randomised bound; without them it is the bound that needs none.

        Raises:
            ValueError: the bound reads softmax and there is none.
        """
        if self.vote == "sequence":
            return self.class_bounds(votes, classes, alpha)
        if self.vote == "hard":
            given = (count_votes(votes, classes), len(votes), alpha)
            return self.class_bounds(*given, draws) if self.randomised else self.class_bounds(*given)
        if softmax is None:
            raise ValueError(f"{self.title} needs the mean softmax of exactly the members that certify")
        return self.class_bounds(softmax, count or len(votes), alpha)


def count_votes(votes: np.ndarray, classes: int) -> np.ndarray:
    """Votes ``(M, n)`` → counts per class ``(n, C)`` int64."""
    return np.stack([(votes == label).sum(axis=0) for label in range(classes)], axis=1)


def clopper_pearson_bounds(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Class bounds from hard votes.

    Args:
        values: ``(n, C)`` votes per class, each row summing to ``count``.
        count: number of members that voted.
        alpha: failure probability per input, in (0, 1).
    """
    values = class_rows(values, total=count)
    return _class_bounds(values, count, alpha, clopper_pearson_lower, clopper_pearson_upper)


def hoeffding_bounds(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Class bounds from softmax outputs averaged over members (arXiv 2504.21730, 2003.08904).

    Args:
        values: ``(n, C)`` mean softmax, each row summing to 1 (up to single precision).
        count: number of members averaged.
        alpha: failure probability per input, in (0, 1).
    """
    values = class_rows(values, total=1.0, tolerance=1e-3)
    return _class_bounds(np.clip(values, 0.0, 1.0), count, alpha, hoeffding_lower, hoeffding_upper)


_SPLIT = "Chosen from the same votes, and paid for: α is split into {parts} parts, over the classes and both bounds."
_ONCE = "Chosen from the same votes, and paid for once: the bounds allow for a wrong winner within α."

BOUNDS: dict[str, Bound] = {
    "clopper-pearson": Bound("Clopper–Pearson on hard votes", "hard", clopper_pearson_bounds, _SPLIT),
    "joint": Bound(
        "Joint: selection paid once, not per class",
        "hard",
        joint_bounds,
        _ONCE,
    ),
    "randomised": Bound(
        "Randomised: the joint bound with one uniform draw per input",
        "hard",
        joint_bounds,
        f"{_ONCE} One uniform draw per input, stored with the votes, spends the rest of α. Votes without draws get the "
        "joint bound.",
        randomised=True,
    ),
    "selection-split": Bound(
        "Selection split: the first votes choose, the rest bound",
        "sequence",
        selection_split_bounds,
        "Chosen by the first ⌈√M⌉ votes, which bound nothing; α is spent on the others alone.",
    ),
    "time-uniform": Bound(
        "Time-uniform: valid whenever voting stops",
        "hard",
        time_uniform_bounds,
        "Chosen from the same votes, and paid for: a share of α is for a wrong winner, at any count.",
    ),
    "hoeffding": Bound("Hoeffding on mean softmax", "softmax", hoeffding_bounds, _SPLIT),
}


def largest_probability(bound: str, *, members: int, classes: int, alpha: float) -> float:
    """The largest class probability that ``members`` votes can certify under a bound: their p_A when all agree.

    Args:
        bound: a key of ``BOUNDS``.
        classes: number of classes C, at least 2.
        alpha: failure probability per input, in (0, 1).
    """
    votes, softmax = np.zeros((members, 1), np.uint8), np.eye(1, classes)
    return float(BOUNDS[bound].from_votes(votes, classes=classes, alpha=alpha, softmax=softmax).p_a_lower[0])


def fewest_members(bound: Bound, *, classes: int, alpha: float) -> int:
    """The smallest M at which M votes that all agree establish their class; fewer can only abstain.

    Clopper-Pearson needs (alpha / 2C)^(1/M) > 1/2 at C > 2 classes: 13 members at three classes and alpha 0.001.

    Args:
        classes: number of classes C >= 2.
        alpha: failure probability per input, in (0, 1).
    """

    def enough(members: int) -> bool:
        votes, softmax = np.zeros((members, 1), np.uint8), np.eye(1, classes)
        try:
            return bound.from_votes(votes, classes=classes, alpha=alpha, softmax=softmax).prediction[0] == 0
        except ValueError:  # the bound reads no so few votes
            return False

    most = 1
    while not enough(most):
        most *= 2
    return 1 + bisect_left(range(1, most), True, key=enough)


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
    return ClassBounds.decide(top, p_a_lower, p_b_upper)
