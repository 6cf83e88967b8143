"""Votes that are counted only where the test input could not change them: subset certificates without test noise.

A member answers a class and keeps that answer under every change of the input below its *margin*, the distance to its
nearest decision boundary (L2, pixel units). A member with linear logits knows its margin exactly. For a class A write
p(τ) for the probability, over the images that a member sees, that it answers A with a margin of more than τ; and for
another class c write q_c(τ) for the probability that it answers c, or any class with a margin of τ or less. While the
input moves by at most τ no other member can answer c. A member that sees no replaced image is the member of the clean
data, and a share of 1 - w0 at most sees one (:mod:`subset`). So with n images replaced by anything, class A keeps a
probability of at least p(τ) - (1 - w0), and class c has at most q_c(τ) + (1 - w0). A stands while its *lead* is large:

    p(τ) - max_c q_c(τ) > 2 (1 - w0).

Nothing is lost to noise, as in PECAN (arXiv 2301.11824), whose members are the parts of a partition.

**Two classes.** q_c(τ) = 1 - p(τ), and A stands while p(τ) > 1/2 + (1 - w0). At any τ a vote is for A with a margin
above τ, or it is not: two classes of votes. L is the two-class bound of :mod:`bounds.joint` on their counts X and
M - X. A claim needs L > 1/2, hence X > M/2: A is the class with most votes. At one (n, τ) let A be the class with the
larger p(τ). P(X >= t) rises with the probability, so the other class is certified no more often than with all of
1 - p(τ): the case that the joint bound pays for.

**More classes.** p(τ) is bounded from below and every q_c(τ) from above by Clopper-Pearson at α / 2C, for all C
classes that A may be. The largest q_c is that of one class, so its bound fails with that probability, too.

**Every τ at once.** Votes for A with a margin above τ become fewer with τ, and those that c can win more, so an input
that is certified at τ is certified at every smaller one. A radius is wrong only if a claim at the least τ that is not
true is made, and that τ is fixed for each class A: choosing τ afterwards costs nothing, for an n chosen beforehand. In
the same way choosing n afterwards costs nothing, for a τ chosen beforehand.

Notes:
    Margins are kept in whole steps, rounded down, up to :data:`MOST`. All rounding goes against the claim.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import (
    ClassBounds,
    class_rows,
    clopper_pearson_lower,
    clopper_pearson_upper,
    two_leaders,
)
from certssb_core.certify.bounds.joint import joint_bounds
from certssb_core.certify.bounds.registry import Bound, clopper_pearson_bounds
from certssb_core.certify.subset import Drawing, unseen_probability

STEP = 1 / 64
"""L2 pixel units per step of a margin."""
MOST = 255
"""Steps at which margins are cut off, so that one fits into a byte."""

# Allowance for rounding, always against the claim.
_ROUNDING = 1e-12


def in_steps(margins: np.ndarray) -> np.ndarray:
    """Margins in L2 pixel units, >= 0, as whole steps, uint8: rounded down, cut off at :data:`MOST`."""
    return np.minimum(margins / STEP, MOST).astype(np.uint8)


def kept_lower(kept: np.ndarray, members: int, alpha: float) -> np.ndarray:
    """Lower bounds on a vote's probability from ``kept`` votes of ``members``, any shape; 0 where half or less."""
    counts, back = np.unique(kept, return_inverse=True)
    bounds = joint_bounds(np.stack([counts, members - counts], axis=1), members, alpha)
    return np.where(bounds.prediction == 0, bounds.p_a_lower, 0.0)[back].reshape(kept.shape)


def _at_any_margin(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    values = class_rows(values, total=count)
    if values.shape[1] > 2:
        return clopper_pearson_bounds(values, count, alpha)
    top, leader, _ = two_leaders(values)
    lower = kept_lower(leader, count, alpha)
    return ClassBounds.decide(top, lower, 1.0 - lower)


AT_ANY_MARGIN = Bound(
    "Exact, at every margin: joint for two classes, else Clopper–Pearson",
    "hard",
    _at_any_margin,
    "Chosen from the same votes, and paid for: two classes allow for a wrong winner within α, more split α over all.",
)


def leads(votes: np.ndarray, margins: np.ndarray, top: np.ndarray, classes: int, alpha: float) -> np.ndarray:
    """Lower bounds on how far class ``top`` is ahead of any other while the input moves by each number of steps.

    Args:
        votes: ``(M, n)`` uint8, the members' answers.
        margins: ``(M, n)`` uint8, their margins in steps.
        top: ``(n,)`` the leading class.
        classes: number of classes C.
        alpha: failure probability per input, for every number of steps at once.

    Returns:
        ``(n, MOST + 1)``, never rising; column 0 is about the input as given.
    """
    members = len(votes)
    kept, won = np.empty((2, votes.shape[1], MOST + 1), np.int64)
    for row, (label, firm) in enumerate(zip(top, firm_votes(votes, margins, classes), strict=True)):
        kept[row] = firm[label]
        won[row] = members - firm.sum(axis=0) + np.delete(firm, label, axis=0).max(axis=0)
    if classes == 2:
        return 2 * kept_lower(kept, members, alpha) - 1
    share = alpha / (2 * classes)
    every = np.arange(members + 1)
    lower = clopper_pearson_lower(every, members, share)[kept]
    return lower - np.minimum(clopper_pearson_upper(every, members, share)[won], 1.0 - lower)


def firm_votes(votes: np.ndarray, margins: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    """Count, input by input, the votes for each class with a margin of at least each number of steps.

    Args:
        votes, margins: ``(M, n)`` uint8, answers and their margins in steps.

    Yields:
        ``(C, MOST + 1)`` int64, of each of the n inputs.
    """
    for cast, own in zip(votes.T, margins.T, strict=True):
        places = cast.astype(np.int64) * (MOST + 1) + own
        steps = np.bincount(places, minlength=classes * (MOST + 1)).reshape(classes, -1)
        yield steps[:, ::-1].cumsum(axis=1)[:, ::-1]


def votes_needed(members: int, alpha: float, drawing: Drawing) -> int:
    """The fewest of ``members`` votes that certify one of two classes while ``drawing.replaced`` images are replaced.

    One more than there are where all of them would not do.
    """
    lead = 2 * kept_lower(np.arange(members + 1), members, alpha) - 1
    return int(np.sum(lead <= _at_stake(drawing)))


def margin_certified(lead: np.ndarray, drawing: Drawing) -> np.ndarray:
    """The test movement certified while ``drawing.replaced`` training images are replaced by anything.

    Args:
        lead: ``(n, MOST + 1)`` as :func:`leads` gives it.

    Returns:
        ``(n,)`` L2 pixel units, whole steps; -1 where not even the test input as given is certified.
    """
    return norm_of(lead > _at_stake(drawing))


def replaced_at(lead: np.ndarray, drawing: Drawing, norm: float) -> np.ndarray:
    """The most training images that may be replaced by anything while the test input moves by at most ``norm``.

    Args:
        lead: ``(n, MOST + 1)`` as :func:`leads` gives it.
        norm: L2 pixel units, >= 0; beyond the largest margin that is kept nothing is certified.

    Returns:
        ``(n,)`` int64 in [-1, N]; -1 where moving the test input alone is not certified.
    """
    if (steps := steps_of(norm)) > MOST:
        return np.full(len(lead), -1)
    unseen = unseen_probability(drawing.images, drawing.seen, np.arange(drawing.images + 1))
    return np.searchsorted(2 * (1 - unseen) + _ROUNDING, lead[:, steps], side="left") - 1


def steps_of(norm: float) -> int:
    """The fewest steps of a margin that cover a change of ``norm``, L2 pixel units, >= 0.

    Raises:
        ValueError: the norm is negative or no number.
    """
    if not norm >= 0:
        raise ValueError(f"norm must not be negative, got {norm}")
    return int(min(np.ceil(norm / STEP), MOST + 1))


def norm_of(stands: np.ndarray) -> np.ndarray:
    """The largest change that stands, L2 pixel units ``(n,)``, -1 for none; the first steps of ``stands`` are true."""
    steps = stands.sum(axis=1) - 1
    return np.where(steps >= 0, steps * STEP, -1.0)


def _at_stake(drawing: Drawing) -> float:
    """The lead that members with a replaced image can undo: each may take a vote away and give it to another class."""
    return 2 * (1 - drawing.unseen) + _ROUNDING
