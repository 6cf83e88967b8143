"""The public release's arithmetic (arXiv 2504.21730), kept so that it can be shown beside the sound one.

Notes:
    It is NOT A CERTIFICATE: votes are drawn at one σ and the radius is scaled by another; the count in the bound
    is 1000 whatever the ensemble's size; and the class is chosen from the votes that bound it, unpaid for.
"""

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import ClassBounds, hoeffding_lower, hoeffding_upper, two_leaders
from certssb_core.certify.bounds.registry import Bound

MODE = "release"
LABEL = "original paper's code (not a certificate)"
"""The mode's name wherever its numbers are shown."""

COUNT = 1000
"""The count in the release's bound."""

PROMISE = "NOT A CERTIFICATE. The public release's arithmetic; its radius promises nothing."
CONDITION = (
    "None under which it holds: the votes were cast at the global σ and the radius is scaled by σ*_x. The bound "
    f"counts {COUNT:,} votes whatever the number of members."
)


def uncorrected_bounds(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Hoeffding bounds on mean softmax, each at the full ``alpha``: the choice of the top class is not paid for.

    Args:
        values: ``(n, C)`` mean softmax, each row summing to 1 (up to single precision).
        count: number of votes the bound is told.
        alpha: failure probability of each bound, in (0, 1).
    """
    values = np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)
    top, leader, runner_up = two_leaders(values)
    p_a_lower, p_b_upper = hoeffding_lower(leader, count, alpha), hoeffding_upper(runner_up, count, alpha)
    return ClassBounds.decide(top, p_a_lower, p_b_upper)


BOUND = Bound("Hoeffding on mean softmax, choice of the class not paid for", "softmax", uncorrected_bounds)
"""Not an entry of ``BOUNDS``: no certificate may use it."""
