r"""Bounds that hold at every moment of the voting at once, so that voting may stop early, input by input.

For a Bernoulli(p) sequence with x successes in t votes, the mixture of likelihood ratios over all q > p_0,

    M_t(p_0) = 1/(1 - p_0) ∫_{p_0}^1 (q/p_0)^x ((1-q)/(1-p_0))^(t-x) dq ,

is a non-negative supermartingale from 1 whenever p <= p_0 (each vote multiplies the integrand by p q/p_0 +
(1-p)(1-q)/(1-p_0) <= 1 on average), so by Ville's inequality M_t(p) ever reaches 1/α with probability <= α, and
L_t = the smallest p_0 with M_t(p_0) < 1/α is a lower bound for all t together: a beta-binomial mixture (Robbins
1970; Howard et al., 1810.08240; the integral is an incomplete beta function).

The leading class may change as votes come in. As in :mod:`.joint`, with 0 the most probable and 1
the next class, a decided answer errs only through the lower bound of class 0 (share α_1), the upper bound of class 1
(α_2), or by deciding for a class c that is not alone the most probable (α_3). For the last, among the votes for c or 0
those for c are Bernoulli(<= 1/2), so M(1/2) on that pair ever reaches (C - 1)/α_3 with probability <= α_3/(C - 1);
an answer is decided only if A reaches it against every other class, that is against the runner-up (a vote more for
the other class multiplies M(1/2) by a mean of 2 (1 - q) with q > 1/2, less than 1). All three hold at every t
together, hence at any stopping time, chosen by the votes themselves or not.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincc, betaln, xlog1py, xlogy

from certssb_core.certify.bounds.intervals import ClassBounds, class_rows, two_leaders

TWO_CLASS_SHARES = (0.9, 0.0, 0.1)
SHARES = (0.6, 0.3, 0.1)
"""Shares of alpha: the leader's lower bound, the runner-up's upper bound (two classes: no share), the wrong winner."""


def time_uniform_bounds(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Class bounds from the votes so far; over all moments together, wrong with probability <= alpha per input.

    Where no winner is established yet, nothing is claimed: the bounds are 0 and 1.

    Args:
        values: ``(n, C)`` votes per class, each row summing to ``count``.
        count: number of members that have voted, fixed in advance or not.
        alpha: failure probability per input, in (0, 1).
    """
    values = class_rows(values, total=count)
    classes = values.shape[1]
    for_leader, for_runner_up, for_winner = (alpha * share for share in (TWO_CLASS_SHARES if classes == 2 else SHARES))
    top, leader, runner_up = two_leaders(values)
    p_a_lower = lower_sequence(leader, count, for_leader)
    p_b_upper = 1.0 - p_a_lower
    if classes > 2:
        p_b_upper = np.minimum(p_b_upper, 1.0 - lower_sequence(count - runner_up, count, for_runner_up))
    evidence = _log_mixture(leader, leader + runner_up, 0.5)  # least against the runner-up
    wins = evidence >= np.log((classes - 1) / for_winner)
    p_a_lower, p_b_upper = np.where(wins, p_a_lower, 0.0), np.where(wins, p_b_upper, 1.0)
    return ClassBounds.decide(top, p_a_lower, p_b_upper)


def lower_sequence(successes: ArrayLike, trials: int, alpha: float) -> np.ndarray:
    """L_t: a lower bound on a Bernoulli probability for all ``trials`` together with probability >= 1 - ``alpha``.

    Args:
        successes: counts in [0, ``trials``], any shape.
        trials: votes so far, at least 1.
        alpha: failure probability in (0, 1).
    """
    counts, back = np.unique(np.asarray(successes, dtype=np.float64), return_inverse=True)
    low, high = np.zeros(len(counts)), counts / (trials + 1)  # M_t falls in p_0 up to x / (t + 1)
    for _ in range(60):
        middle = (low + high) / 2
        excluded = _log_mixture(counts, trials, middle) >= -np.log(alpha)
        low, high = np.where(excluded, middle, low), np.where(excluded, high, middle)
    return np.where(counts > 0, low, 0.0)[back].reshape(np.shape(successes))


def _log_mixture(successes: ArrayLike, trials: ArrayLike, null: ArrayLike) -> np.ndarray:
    """ln M_t(``null``)."""
    successes, null = np.asarray(successes), np.asarray(null)
    failures = np.asarray(trials) - successes
    with np.errstate(divide="ignore", invalid="ignore"):  # a vanishing tail is evidence for nothing: -inf
        tail = np.log(betaincc(successes + 1.0, failures + 1.0, null))
        log_ratio = betaln(successes + 1.0, failures + 1.0) - xlogy(successes, null) - xlog1py(failures, -null)
        return log_ratio + tail - np.log1p(-null)
