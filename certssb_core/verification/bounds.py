"""Every bound a second time, for verification only: from the tails in ``scipy.stats`` and root finding.

It shares no code with :mod:`certssb_core.certify`, where the same limits come from the inverse beta function,
bisection on the incomplete beta function, and its logarithms. The promise and proof of each bound stand there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import bdtrc
from scipy.stats import beta, binom, binomtest

PRECISE = {"xtol": 1e-15, "rtol": 1e-14}


@dataclass(frozen=True, eq=False)
class Ballots:
    """Votes on ``n`` inputs: hard ``votes`` ``(M, n)`` in the order of the members, mean ``softmax`` ``(n, C)``
    of them where it was kept, and ``classes`` C. The inputs' uniform ``draws`` ``(n,)``, the votes' ``margins``
    ``(M, n)`` in steps, and the members' ``ranks`` of all classes ``(M, n, C)``, where they were stored."""

    votes: np.ndarray
    softmax: np.ndarray | None
    classes: int
    draws: np.ndarray | None = None
    margins: np.ndarray | None = None
    ranks: np.ndarray | None = None

    @property
    def members(self) -> int:
        return len(self.votes)

    @property
    def counts(self) -> np.ndarray:
        """Votes per class ``(n, C)``."""
        return np.array([np.bincount(column, minlength=self.classes) for column in self.votes.T])


def clopper_pearson(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """α split over both sides and all classes; of two classes only two lower bounds share it (docs/method.md §4)."""
    members = ballots.members

    def low(votes: int, tail: float) -> float:
        return _least(votes, members, tail)

    def high(votes: int, tail: float) -> float:
        return 1 - _least(members - votes, members, tail)

    return _split_over_classes(ballots.counts, low, high, alpha)


def _least(votes: int, members: int, tail: float) -> float:
    """The least p with P(X >= votes) = tail: the root of a sum of binomial terms, exact for tiny tails, too."""
    if votes == 0:
        return 0.0
    return float(brentq(lambda p: bdtrc(votes - 1, members, p) - tail, 0.0, 1.0, xtol=1e-300, rtol=1e-14))


def hoeffding(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """The same split, of limits at a fixed distance from the mean softmax."""

    def width(tail: float) -> float:
        return (math.log(1 / tail) / (2 * ballots.members)) ** 0.5

    return _split_over_classes(
        np.clip(np.asarray(ballots.softmax), 0, 1),
        lambda mean, tail: max(mean - width(tail), 0.0),
        lambda mean, tail: min(mean + width(tail), 1.0),
        alpha,
    )


def joint(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """Two classes: least p with P(X >= k) + P(X <= M - d) = α. More: 0.6 α, 0.3 α, and 0.1 α for the winner's test."""
    members = ballots.members

    def two_classes(leader: int, other: int) -> tuple[float, float]:
        low = _least(leader, members, alpha / 2)
        if binomtest(leader, members, 0.5).pvalue <= alpha:
            fewest = next(d for d in range(members // 2 + 1, leader + 1) if binomtest(d, members, 0.5).pvalue <= alpha)

            def excess(p: float) -> float:
                return binom.sf(leader - 1, members, p) + binom.cdf(members - fewest, members, p) - alpha

            most = _least(leader, members, alpha)
            low = brentq(excess, low, most, **PRECISE) if excess(most) > 0 > excess(low) else most
        return low, 1 - low

    def more_classes(leader: int, runner_up: int) -> tuple[float, float]:
        if binomtest(leader, leader + runner_up, 0.5).pvalue > 0.1 * alpha:
            return 0.0, 1.0
        low = _least(leader, members, 0.6 * alpha)
        high = 1 - _least(members - runner_up, members, 0.3 * alpha)
        return low, min(high, 1 - low)

    return _of_the_two_leaders(ballots, two_classes if ballots.classes == 2 else more_classes)


def randomised(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """Read :func:`joint` with P(X > k) + u P(X = k) in the place of the tail P(X >= k); no u is less than √α."""
    if ballots.draws is None:
        return joint(ballots, alpha)
    members, two = ballots.members, ballots.classes == 2
    deciding = [d for d in range(members // 2 + 1, members + 1) if binomtest(d, members, 0.5).pvalue <= alpha]

    def least(votes: int, u: float, tail: float, losing: int = -1) -> float:
        def excess(p: float) -> float:
            law = binom(members, p)
            return law.sf(votes) + u * law.pmf(votes) + law.cdf(losing) - tail

        start = 0.5 if losing >= 0 else 0.0
        return 0.0 if votes == 0 else float(brentq(excess, start, 1.0, **PRECISE))

    limits = []
    for counts, u in zip(ballots.counts.tolist(), np.maximum(ballots.draws, math.sqrt(alpha)).tolist(), strict=True):
        runner_up, leader = sorted(counts)[-2:]
        if two:
            decided = bool(deciding) and leader >= deciding[0]
            low = least(leader, u, alpha, members - deciding[0]) if decided else _least(leader, members, alpha / 2)
            limits.append((low, 1 - low))
        elif binomtest(leader, leader + runner_up, 0.5).pvalue > 0.1 * alpha:
            limits.append((0.0, 1.0))
        else:
            low = least(leader, u, 0.6 * alpha)
            limits.append((low, min(1 - least(members - runner_up, u, 0.3 * alpha), 1 - low)))
    return _frame(pd.DataFrame(ballots.counts).idxmax(axis=1).to_numpy(), np.array(limits))


def uniform_draws(seed: int, test_set: str, count: int) -> np.ndarray:
    """The draws ``(count,)`` of a test set: 53 bits of each word of Philox, its key a hash of seed and purpose."""
    digest = hashlib.blake2b(repr((seed, f"bound draw, {test_set}")).encode(), digest_size=16).digest()
    words = np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(count)
    return (words >> np.uint64(11)) * 2.0**-53


def selection_split(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """The first ⌈√M⌉ votes choose the class; the others bound it, at α, or at 2α/3 and α/3."""
    first = math.ceil(math.sqrt(ballots.members))
    top = Ballots(ballots.votes[:first], None, ballots.classes).counts.argmax(axis=1)
    rest = Ballots(ballots.votes[first:], None, ballots.classes)
    shares = (alpha, None) if ballots.classes == 2 else (2 * alpha / 3, alpha / 3)
    limits = []
    for leading, counts in zip(top, rest.counts.tolist(), strict=True):
        p_a = _least(counts.pop(leading), rest.members, shares[0])
        p_b = 1 - p_a
        if shares[1]:
            p_b = min(p_b, 1 - _least(rest.members - max(counts), rest.members, shares[1]))
        limits.append((p_a, p_b))
    return _frame(top, np.array(limits))


def time_uniform(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """Find where the beta mixture of likelihood ratios reaches 1/α; shares 0.9 and 0.1, or 0.6, 0.3 and 0.1."""
    members, classes = ballots.members, ballots.classes
    for_leader, for_runner_up, for_winner = np.array([0.9, 0.0, 0.1] if classes == 2 else [0.6, 0.3, 0.1]) * alpha

    def lowest(successes: int, tail: float) -> float:
        if successes == 0:
            return 0.0
        most = successes / (members + 1)
        return brentq(lambda p: _log_mixture(successes, members, p) + math.log(tail), 1e-300, most, **PRECISE)

    def limits(leader: int, runner_up: int) -> tuple[float, float]:
        if _log_mixture(leader, leader + runner_up, 0.5) < math.log((classes - 1) / for_winner):
            return 0.0, 1.0
        low = lowest(leader, for_leader)
        return low, 1 - low if classes == 2 else min(1 - low, 1 - lowest(members - runner_up, for_runner_up))

    return _of_the_two_leaders(ballots, limits)


def counted(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """Shares of the votes of fixed members; a tie goes to the lower class, so nothing abstains."""
    ranked = np.sort(ballots.counts, axis=1)
    top = pd.DataFrame(ballots.counts).idxmax(axis=1).to_numpy()
    first, second = ranked[:, -1] / ballots.members, ranked[:, -2] / ballots.members
    return pd.DataFrame({"prediction": top, "p_a_lower": first, "p_b_upper": second})


def run_off(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """Hold both rounds, input by input: the two classes with most votes, then the one that more members rank higher."""
    rows = []
    for counts, ranks in zip(ballots.counts.tolist(), np.moveaxis(np.asarray(ballots.ranks), 1, 0), strict=True):
        pair = sorted(range(ballots.classes), key=lambda label: (-counts[label], label))[:2]
        low, high = ranks[:, pair].T
        better = dict(zip(pair, (int((low < high).sum()), int((high < low).sum())), strict=True))
        first, second = sorted(pair, key=lambda label: (-better[label], label))
        rows.append((first, better[first] / ballots.members, better[second] / ballots.members))
    return pd.DataFrame(rows, columns=["prediction", "p_a_lower", "p_b_upper"])


def at_any_margin(ballots: Ballots, alpha: float) -> pd.DataFrame:
    """Two classes: the joint bound, nothing where it abstains. More: α split over both sides and all classes."""
    if ballots.classes > 2:
        return clopper_pearson(ballots, alpha)
    top = pd.DataFrame(ballots.counts).idxmax(axis=1).to_numpy()
    found = joint(Ballots((ballots.votes != top).astype(np.uint8), None, 2), alpha)
    return _frame(top, np.array([[p, 1 - p] for p in found["p_a_lower"].where(found["prediction"] == 0, 0.0)]))


Recount = Callable[[Ballots, float], pd.DataFrame]
"""From ballots and α to columns ``prediction, p_a_lower, p_b_upper``, one row per input."""

BOUNDS: dict[str, Recount] = {
    "clopper-pearson": clopper_pearson,
    "joint": joint,
    "randomised": randomised,
    "selection-split": selection_split,
    "time-uniform": time_uniform,
    "hoeffding": hoeffding,
}
"""By the bound's name in the config. A bound that is not here has no independent re-verification."""

OWN_BOUNDS: dict[str, Recount] = {
    "partition": counted,
    "partition-margin": counted,
    "run-off": run_off,
    "subset-margin": at_any_margin,
}
"""By the name of a certificate that has a bound of its own."""


def _log_mixture(successes: int, trials: int, null: float) -> float:
    """ln of 1/(1 - p₀) ∫ (q/p₀)^x ((1-q)/(1-p₀))^(t-x) dq over q > p₀: the survival of a beta law over its density."""
    law = beta(successes + 1, trials - successes + 1)
    return law.logsf(null) - law.logpdf(null) - math.log1p(-null)


def _split_over_classes(values: np.ndarray, low: Callable, high: Callable, alpha: float) -> pd.DataFrame:
    classes = values.shape[1]
    tail = alpha / 2 if classes == 2 else alpha / (2 * classes)
    lows, highs = (
        {value: limit(value, tail) for value in np.unique(values).tolist()} if limit is not None else {}
        for limit in (low, high if classes > 2 else None)
    )
    top = pd.DataFrame(values).idxmax(axis=1).to_numpy()
    limits = []
    for leading, row in zip(top, values.tolist(), strict=True):
        p_a = lows[row.pop(leading)]
        limits.append((p_a, min([1 - p_a, *([max(highs[value] for value in row)] if highs else [])])))
    return _frame(top, np.array(limits))


def _of_the_two_leaders(ballots: Ballots, limits: Callable[[int, int], tuple[float, float]]) -> pd.DataFrame:
    """Bounds that depend on the votes of the leading class and of the next one alone."""
    counts = ballots.counts
    pairs = np.sort(counts, axis=1)[:, :-3:-1]
    known = {pair: limits(*pair) for pair in {tuple(pair) for pair in pairs.tolist()}}
    return _frame(pd.DataFrame(counts).idxmax(axis=1).to_numpy(), np.array([known[tuple(p)] for p in pairs.tolist()]))


def _frame(top: np.ndarray, limits: np.ndarray) -> pd.DataFrame:
    p_a, p_b = limits.T
    return pd.DataFrame({"prediction": np.where(p_a > p_b, top, -1), "p_a_lower": p_a, "p_b_upper": p_b})
