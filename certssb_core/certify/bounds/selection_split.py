"""Selection split: the first votes choose the leading class, the others bound it (1902.02918, CERTIFY)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import ClassBounds, clopper_pearson_lower, clopper_pearson_upper


def selection_split_bounds(votes: ArrayLike, classes: int, alpha: float) -> ClassBounds:
    """Class bounds from hard votes in the order of the members; the first ``ceil(sqrt(M))`` only choose the class.

    The class A is a function of the first votes and independent of the others, so bounds on it need no correction
    for the choice. Two classes: p_A >= L at alpha, p_B = 1 - p_A. More: L at 2 alpha/3, and with probability
    >= 1 - alpha/3 also max_{c != A} U_c >= p_B: given A, the class B with the largest p_c, c != A, is fixed, and
    the maximum fails only if U_B does, so its one-sided bound needs no share per class.

    Args:
        votes: ``(M, n)`` integer classes; M >= 2.
        classes: number of classes C >= 2.
        alpha: failure probability per input, in (0, 1).

    Returns:
        bounds; ``top`` is the class that the first votes chose, the lowest on a tie. It abstains where the other
        votes do not establish that class.

    Raises:
        ValueError: fewer than two votes, or votes outside the classes.
    """
    votes = np.asarray(votes)
    if votes.ndim != 2 or len(votes) < 2:
        raise ValueError(f"votes must have shape (M, n) with M >= 2, got {votes.shape}")
    if votes.size and not (votes.min() >= 0 and votes.max() < classes):
        raise ValueError(f"votes must lie in [0, {classes - 1}], got {votes.max()}")
    first = math.ceil(math.sqrt(len(votes)))
    chosen, rest = (
        np.stack([(part == c).sum(0) for c in range(classes)], 1) for part in (votes[:first], votes[first:])
    )
    rows, top, count = np.arange(votes.shape[1]), chosen.argmax(axis=1).astype(np.int64), len(votes) - first
    p_a_lower = clopper_pearson_lower(rest[rows, top], count, alpha if classes == 2 else 2 * alpha / 3)
    p_b_upper = 1.0 - p_a_lower
    if classes > 2:
        rest[rows, top] = 0
        p_b_upper = np.minimum(p_b_upper, clopper_pearson_upper(rest.max(axis=1), count, alpha / 3))
    return ClassBounds.decide(top, p_a_lower, p_b_upper)
