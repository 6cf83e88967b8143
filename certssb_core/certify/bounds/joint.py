r"""p_A and p_B bounded jointly: the choice of the leading class is paid for once, not once per class.

Write 0 for the most probable class, 1 for the next one, X_c for the votes, A for the class with most votes. A decided
answer claims p_A >= p_a_lower and max_{c != A} p_c <= p_b_upper. It can only be wrong in three ways:

1. A = 0 and p_a_lower > p_0: a one-sided bound on the *fixed* class 0;
2. A = 0 and p_b_upper < p_1: p_b_upper is at least U(X_1), so this needs U(X_1) < p_1, again a *fixed* class
   (the maximum of all upper bounds cannot fail without the bound of the class that attains the maximum of p);
3. A is not the most probable class (or not alone in being so), and yet the answer is decided.

**More than two classes.** 1 has probability <= alpha_1 and 2 <= alpha_2 by Clopper–Pearson with no correction over the
classes. For 3 an answer is decided only if the winner beats the runner-up in the two-sided binomial test on their
X_A + X_R votes at level alpha_3; by Hung and Fithian (1610.03944, "Rank verification for exponential families",
multinomial case) that unadjusted test of the two leaders bounds the probability of 3 by alpha_3; the proof for this
test stands in docs/method.md §9.6. The shares are 0.6, 0.3 and 0.1 of alpha; p_b_upper is the smaller of max U_c and
1 - p_a_lower, both valid outside 1 and 2.

**Two classes.** p_B = 1 - p_A, so 2 is void, and 1 and 3 are added exactly. Let d be the fewest votes that decide,
2 P_{1/2}(X >= d) <= alpha. With true p = p_0 >= 1/2 the answer k is wrong if class 0 has k >= d votes and L(k) > p, or
if the other class has d or more. So L(k) is the largest q such that for every p in [1/2, q)

    P_p(X >= k) + P_p(X <= M - d)  <=  alpha.

L rises with k, so wrong answers of the first kind are {X >= k_0} for the least k_0 with L(k_0) > p, and the sum at k_0
is at most alpha. (Its derivative in p changes sign once, from - to +, so that the p that satisfy it are an interval
and bisection finds its end.) Since P_p(X <= M - d) <= alpha/2, L is never below Clopper–Pearson at alpha/2, and where
p_A is large it is Clopper–Pearson at alpha: choosing between two classes costs nothing there.

Notes:
    Only decided answers are claims. Where the test finds no winner among more than two classes, nothing is claimed:
    the bounds are 0 and 1.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, bdtrc

from certssb_core.certify.bounds.intervals import (
    ClassBounds,
    class_rows,
    clopper_pearson_lower,
    two_leaders,
)

SHARES = (0.6, 0.3, 0.1)
"""Shares of alpha for C > 2: the leader's lower bound, the runner-up's upper bound, the wrong winner."""


def joint_bounds(values: ArrayLike, count: int, alpha: float, draws: ArrayLike | None = None) -> ClassBounds:
    """Class bounds from hard votes; a decided answer is wrong with probability <= alpha (proof: the module's text).

    Args:
        values: ``(n, C)`` votes per class, each row summing to ``count``.
        count: number of members that voted.
        alpha: failure probability per input, in (0, 1).
        draws: ``(n,)`` uniform draws in [0, 1], one per input and independent of the votes; None counts as 1, the bound
            without randomness.

    Raises:
        ValueError: votes that do not sum to ``count``, or draws outside [0, 1].
    """
    values = class_rows(values, total=count)
    draws = _draws(draws, len(values), alpha)
    top, leader, runner_up = two_leaders(values)
    if values.shape[1] == 2:
        p_a_lower = _two_class_lower(leader, count, alpha, draws)
        p_b_upper = 1.0 - p_a_lower
    else:
        for_leader, for_runner_up, for_winner = (share * alpha for share in SHARES)
        p_a_lower = randomised_lower(leader, count, for_leader, draws)
        p_b_upper = 1.0 - randomised_lower(count - runner_up, count, for_runner_up, draws)
        p_b_upper = np.minimum(p_b_upper, 1.0 - p_a_lower)
        wins = 2 * bdtrc(leader - 1, (leader + runner_up).astype(np.int64), 0.5) <= for_winner
        p_a_lower, p_b_upper = np.where(wins, p_a_lower, 0.0), np.where(wins, p_b_upper, 1.0)
    return ClassBounds.decide(top, p_a_lower, p_b_upper)


def randomised_lower(successes: np.ndarray, trials: int, alpha: float, draws: np.ndarray) -> np.ndarray:
    """The p with P_p(X > k) + u P_p(X = k) = alpha: Clopper–Pearson at u = 1, and above it for smaller draws.

    Args:
        successes: ``(n,)`` counts k in [0, ``trials``].
        trials: number of independent votes, at least 1.
        alpha: failure probability in (0, 1).
        draws: ``(n,)`` u in [0, 1].
    """
    lower = clopper_pearson_lower(successes, trials, alpha)
    lucky = draws < 1
    lower[lucky] = _root(successes[lucky], trials, alpha, draws[lucky], low=lower[lucky])
    return lower


def _two_class_lower(leader: np.ndarray, count: int, alpha: float, draws: np.ndarray) -> np.ndarray:
    """L(k) for the leader's votes ``leader`` ``(n,)``; Clopper–Pearson at alpha/2 where it abstains."""
    lower = clopper_pearson_lower(leader, count, alpha / 2)
    votes = np.arange(count // 2 + 1, count + 1)
    deciding = votes[2 * bdtrc(votes - 1, count, 0.5) <= alpha]
    if len(deciding) == 0:
        return lower
    decided = leader >= deciding[0]
    lower[decided] = _root(
        leader[decided], count, alpha, draws[decided], low=lower[decided], losing=int(count - deciding[0])
    )
    return lower


def _root(
    counts: np.ndarray, trials: int, alpha: float, draws: np.ndarray, *, low: np.ndarray, losing: int | None = None
) -> np.ndarray:
    """The largest p, from ``low`` on, with P_p(X > k) + u P_p(X = k) + P_p(X <= ``losing``) <= alpha; ``(n,)``."""
    pairs, back = np.unique(np.stack([counts, draws, low], axis=1), axis=0, return_inverse=True)
    counts, draws, low = pairs.T
    high = clopper_pearson_lower(counts + (draws < 1) * (counts < trials), trials, alpha)
    high = np.where((draws < 1) & (counts == trials), 1.0, high)
    for _ in range(60):
        middle = (low + high) / 2
        at_least = bdtrc(counts - 1, trials, middle)
        risk = at_least - (1 - draws) * (at_least - bdtrc(counts, trials, middle))
        holds = risk + (0.0 if losing is None else bdtr(losing, trials, middle)) <= alpha
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return low[back.ravel()]


def _draws(draws: ArrayLike | None, count: int, alpha: float) -> np.ndarray:
    draws = np.broadcast_to(np.asarray(1.0 if draws is None else draws, dtype=np.float64), (count,))
    if not ((draws >= 0) & (draws <= 1)).all():
        raise ValueError("draws must lie in [0, 1]")
    return np.maximum(draws, alpha**0.5)
