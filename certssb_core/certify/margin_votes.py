"""Votes that are counted only where the test input could not change them: subset certificates without test noise.

A member answers a class and keeps that answer under every change of the input below its *margin*, the distance to its
nearest decision boundary (L2, pixel units). A member with linear logits knows its margin exactly. Write p(τ) for the
probability, over the images that a member sees, that it answers class A with a margin above τ. A member that sees no
replaced image is the member of the clean data, and a share of 1 - w0 at most sees one (:mod:`subset`). So with n images
replaced by anything and the input moved by at most τ, class A keeps a probability of at least p(τ) - (1 - w0), and no
other class has more than 1 - p(τ) + (1 - w0). The first is above the second while

    p(τ) > 1/2 + (1 - w0).

Nothing is lost to noise, as in PECAN (arXiv 2301.11824), whose members are the parts of a partition.

**The bound on p(τ).** At any τ a vote is for A with a margin above τ, or it is not: two classes of votes, and M - X
votes for the second. L is the two-class bound of :mod:`bounds.joint` on these counts, and a claim needs L > 1/2, hence
X > M/2: A is the class with most votes. At one (n, τ) let A be the class with the largest p(τ), and p' = P(X >= t) at
probability p, where t is the fewest votes that certify. P(X >= t) is convex in p below 1/2 and 0 at 0, so the other
classes together are certified no more often than one class of probability 1 - p(τ) would be: the case of two classes.

**Every τ at once.** X(τ) falls with τ, so an input that is certified at τ is certified at every smaller one. A radius
is wrong only if the claim at the least τ that is not true is made: choosing τ afterwards costs nothing, for an n chosen
beforehand. In the same way choosing n afterwards costs nothing, for a τ chosen beforehand.

Notes:
    Margins are kept in whole steps, rounded down, up to :data:`MOST`. All rounding goes against the claim.
"""

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import ClassBounds, class_rows, two_leaders
from certssb_core.certify.bounds.joint import joint_bounds
from certssb_core.certify.bounds.registry import Bound
from certssb_core.certify.subset import Drawing, replaced_certified

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


def _one_against_all(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    top, leader, _ = two_leaders(class_rows(values, total=count))
    lower = kept_lower(leader, count, alpha)
    return ClassBounds.decide(top, lower, 1.0 - lower)


ONE_AGAINST_ALL = Bound(
    "Joint: the leading class against all others together",
    "hard",
    _one_against_all,
    "Chosen from the same votes, and paid for once: the bound allows for a wrong winner within α.",
)


def kept_bounds(votes: np.ndarray, margins: np.ndarray, top: np.ndarray, alpha: float) -> np.ndarray:
    """Lower bounds on the probability that a member answers class ``top`` with a margin above each number of steps.

    Args:
        votes: ``(M, n)`` uint8, the members' answers.
        margins: ``(M, n)`` uint8, their margins in steps.
        top: ``(n,)`` the leading class.
        alpha: failure probability per input, for every number of steps at once.

    Returns:
        ``(n, MOST + 1)``, never rising; column 0 bounds the votes as they are.
    """
    kept = np.empty((votes.shape[1], MOST + 1), np.int64)
    for row, label in enumerate(top):
        steps = np.bincount(margins[votes[:, row] == label, row], minlength=MOST + 1)
        kept[row] = steps[::-1].cumsum()[::-1]
    return kept_lower(kept, len(votes), alpha)


def votes_needed(members: int, alpha: float, drawing: Drawing) -> int:
    """The fewest of ``members`` votes that certify their class while ``drawing.replaced`` images are replaced; one more
    than there are where all of them would not do."""
    lower = kept_lower(np.arange(members + 1), members, alpha)
    return int(np.sum(lower - (1.0 - lower) <= 2 * (1 - drawing.unseen) + _ROUNDING))


def margin_certified(kept: np.ndarray, drawing: Drawing) -> np.ndarray:
    """The test movement certified while ``drawing.replaced`` training images are replaced by anything.

    Args:
        kept: ``(n, MOST + 1)`` as :func:`kept_bounds` gives it.

    Returns:
        ``(n,)`` L2 pixel units, whole steps; -1 where not even the test input as given is certified.
    """
    stands = kept - (1.0 - kept) > 2 * (1 - drawing.unseen) + _ROUNDING
    steps = stands.sum(axis=1) - 1  # bounds never rise, so the certified columns are the first ones
    return np.where(steps >= 0, steps * STEP, -1.0)


def replaced_at(kept: np.ndarray, drawing: Drawing, norm: float) -> np.ndarray:
    """The most training images that may be replaced by anything while the test input moves by at most ``norm``.

    Args:
        kept: ``(n, MOST + 1)`` as :func:`kept_bounds` gives it.
        norm: L2 pixel units, >= 0; beyond the largest margin that is kept nothing is certified.

    Returns:
        ``(n,)`` int64 in [-1, N]; -1 where moving the test input alone is not certified.
    """
    if not norm >= 0:
        raise ValueError(f"norm must not be negative, got {norm}")
    steps = np.ceil(norm / STEP)
    if steps > MOST:
        return np.full(len(kept), -1)
    lower = kept[:, int(steps)]
    return replaced_certified(lower, 1 - lower, 1.0, images=drawing.images, seen=drawing.seen, norm=0.0)
