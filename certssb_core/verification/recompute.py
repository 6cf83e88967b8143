"""Radii, store, budgets and metrics a second time, for verification only: it shares no code with the first.

The storage-update comes from every distance computed in float64, budgets from sums written out, metrics from pandas.
It is slow and plain on purpose; the fast code of :mod:`certssb_core.certify` is compared with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from scipy.stats import binom, hypergeom, norm

from certssb_core.config.schema import RunConfig
from certssb_core.verification.bounds import Ballots, joint
from certssb_core.verification.bounds import _least as lower_limit

TIE = 1e-9
"""Differences that rounding alone explains: relative for sums, absolute in pixel units for distances."""


def margins(prediction: np.ndarray, p_a_lower: np.ndarray, p_b_upper: np.ndarray) -> np.ndarray:
    """½ (Φ⁻¹(p_A) − Φ⁻¹(p_B)), and 0 where it abstains: ``(n,)``."""
    return np.where(prediction < 0, 0.0, 0.5 * (norm.ppf(p_a_lower) - norm.ppf(p_b_upper)))


def l2(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and radii σ_x · margin."""
    margin = margins(*(table[name].to_numpy() for name in ("prediction", "p_a_lower", "p_b_upper")))
    return margin, table["margin"].to_numpy() * table["sigma"].to_numpy()


def l0(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """The probability's lead, and one more than the features and labels that may change, counted up from none."""
    columns = [table[name].to_numpy() for name in ("p_a_lower", "p_b_upper", "sigma")]
    leading = table["prediction"].to_numpy() >= 0
    known = {row: _first_to_fall(*row) for row in {*zip(*(column[leading] for column in columns), strict=True)}}
    return _lead(table), np.array([known.get(row, 0) for row in zip(*columns, strict=True)], float) * leading


def _first_to_fall(p_a: float, p_b: float, keep: float) -> int:
    """The fewest changes that may make the leader lose: A holds the outcomes of few flips up to mass p_A, B those of
    many up to p_B."""
    changes = 0
    while True:
        flips, attacked = binom(changes, 1 - keep), binom(changes, keep)
        low, high = int(flips.ppf(p_a)), int(flips.isf(p_b))
        least = attacked.cdf(low - 1) + (p_a - flips.cdf(low - 1)) / flips.pmf(low) * attacked.pmf(low)
        most = attacked.sf(high) + (p_b - flips.sf(high)) / flips.pmf(high) * attacked.pmf(high)
        if least <= most * (1 + TIE):
            return changes
        changes += 1


def partition(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """The share's lead, and the fewest members that must go over to another class for it to win, ties and all."""
    if config.training.spread > 1:
        return _lead(table), _spread(table, config)
    radius = []
    for *votes, top in table.filter(regex=r"^votes_\d+$|^prediction$").to_numpy().tolist():
        others = [(count, -label) for label, count in enumerate(votes) if label != top]
        changes = 0
        while all((votes[top] - changes, -top) > (count + changes, label) for count, label in others):
            changes += 1
        radius.append(changes)
    return _lead(table), np.array(radius, float)


def _spread(table: pd.DataFrame, config: RunConfig) -> np.ndarray:
    """The fewest buckets whose members together may take the lead over some class, added up bucket by bucket."""
    members, found = config.training.members, []
    for cast, top in zip(table["cast"], table["prediction"], strict=True):
        if len(cast) != members:  # some are left out, and it is not said which buckets they saw
            found.append(1)
            continue
        rivals = set(range(sum(name.startswith("votes_") for name in table))) - {top}
        swings = [(cast == top).astype(int) - (cast == rival) for rival in rivals]
        found.append(
            min(_buckets(swing, int(top < rival), config) for swing, rival in zip(swings, rivals, strict=True))
        )
    return np.array(found, float)


def run_off(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Round two's lead, and the fewest buckets by which the answer misses the final or loses it."""
    return _lead(table), np.array(
        [_buckets_to_fall(ranks, top, config) for ranks, top in zip(table["ranks"], table["prediction"], strict=True)],
        float,
    )


def _buckets_to_fall(ranks: np.ndarray, top: int, config: RunConfig) -> int:
    missing, classes = config.training.members - len(ranks), ranks.shape[1]
    if missing and config.training.spread > 1:
        return 1
    place = np.vstack([ranks.astype(int), np.full((missing, classes), classes)])
    ballots = (place == 0).astype(int)
    rivals = [label for label in range(classes) if label != top]

    def overtaken(leader: int, rival: int) -> int:
        return _buckets(ballots[:, leader] - ballots[:, rival], int(leader < rival), config)

    lost_duels = [_buckets(np.sign(place[:, rival] - place[:, top]), int(top < rival), config) for rival in rivals]
    finals = [max([overtaken(third, rival) for third in rivals if third != rival], default=0) for rival in rivals]
    ways = [max(pair) for pair in zip(lost_duels, finals, strict=True)]
    for b, c in combinations(rivals, 2):
        both = 2 * ballots[:, top] - ballots[:, b] - ballots[:, c]
        ties = int(top < b) + int(top < c)
        ways.append(max(overtaken(top, b), overtaken(top, c), _buckets(both, ties, config)))
    return min(ways)


def _buckets(swing: np.ndarray, ties: int, config: RunConfig) -> int:
    """The fewest buckets whose members, each gone over from its ``swing`` ``(M,)`` to -1, bring the sum to ``-ties``;
    one more than there are where none do."""
    distances = _distances(config.training.members, config.training.spread)
    buckets = np.sort(np.sum([np.roll(swing + 1, -distance) for distance in distances], axis=0))[::-1]
    taken = np.concatenate([[0], np.cumsum(buckets)])
    return int(np.sum(swing.sum() - taken > -ties))


def partition_margin(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """The share's lead, and the largest change of the input under which the attacked answer leads."""
    return _lead(table), np.maximum(_last_margin_of_parts(table, config, config.certification.attacked or 0), 0)


def _last_margin_of_parts(table: pd.DataFrame, config: RunConfig, spoilt: int) -> np.ndarray:
    """The largest change of the input at which each answer leads, where two votes per replaced image, and every vote of
    smaller margin, go over to a rival; -1 where there is none."""
    classes = table.filter(regex=r"^votes_\d+$").shape[1]

    def falls(answer: int, cast: np.ndarray, margins: np.ndarray, step: int) -> bool:
        votes = np.bincount(cast[margins >= step], minlength=classes)
        gained = 2 * spoilt + int((margins < step).sum())
        own = (votes[answer] - 2 * spoilt, -answer)
        return any((votes[rival] + gained, -rival) > own for rival in range(classes) if rival != answer)

    rows = zip(table["prediction"], table["cast"], table["margins"], strict=True)
    last = [bisect_left(range(256), True, key=partial(falls, *row)) - 1 for row in rows]
    return np.array([step / 64 if step >= 0 else -1.0 for step in last])


@cache
def _distances(members: int, spread: int) -> list[int]:
    """Distances to the members that see a bucket: golden steps around their circle."""
    golden, found = (np.sqrt(5) - 1) / 2, []
    for step in range(spread):
        free = [(int(step * members * golden) + more) % members for more in range(members)]
        found.append(next(place for place in free if place not in found))
    return found


def subset(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Roots of what the attacked leader keeps less what another class can get, and σ_x times them."""
    drawn, spoilt = config.training, config.certification.attacked
    clean = float(hypergeom(drawn.drawn_from, spoilt, drawn.subset).pmf(0))
    margin = [
        _lost_lead(row.p_a_lower, row.p_b_upper, clean) if row.prediction >= 0 else 0.0
        for row in table[["prediction", "p_a_lower", "p_b_upper"]].itertuples()
    ]
    return np.array(margin), table["margin"].to_numpy() * table["sigma"].to_numpy()


def subset_margin(table: pd.DataFrame, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """The probability's lead at the input as given, and the largest change under which the answer leads."""
    return _lead(table), np.maximum(_last_margin(table, config, config.certification.attacked), 0)


def _last_margin(table: pd.DataFrame, config: RunConfig, spoilt: int | None) -> np.ndarray:
    """The largest change of the input, in pixel units, under which each row's answer leads; -1 where under none."""
    (members,) = set(table["members"])
    drawn, alpha = config.training, config.certification.alpha
    seen = float(hypergeom(drawn.drawn_from, spoilt, drawn.subset).sf(0))
    classes = table.filter(regex=r"^votes_\d+$").shape[1]
    rows = list(zip(table["prediction"], table["cast"], table["margins"], strict=True))
    if classes > 2:
        low = cache(partial(lower_limit, members=members, tail=alpha / (2 * classes)))
        return np.array([_last_step(*row, classes, low, seen) / 64 if row[0] >= 0 else -1.0 for row in rows])

    def enough(votes: int) -> bool:
        ballots = Ballots((np.arange(members) >= votes).astype(np.uint8)[:, None], None, 2)
        (found,) = joint(ballots, alpha).itertuples()
        return found.prediction == 0 and found.p_a_lower - seen > 1 - found.p_a_lower + seen

    needed = bisect_left(range(1, members + 1), True, key=enough)  # one less than the votes that are needed
    backing = [np.sort(margins[cast == answer])[::-1] for answer, cast, margins in rows]
    return np.array([steps[needed] / 64 if len(steps) > needed else -1.0 for steps in backing])


def _last_step(
    answer: int, cast: np.ndarray, margins: np.ndarray, classes: int, low: Callable[[int], float], seen: float
) -> int:
    """The last step at which the answer leads every class that votes of smaller margin could go to; -64 for none."""

    def falls(step: int) -> bool:
        firm = margins >= step
        p_a = low(int((firm & (cast == answer)).sum()))
        most = max(int(((cast == rival) | ~firm).sum()) for rival in range(classes) if rival != answer)
        p_b = min(1 - low(len(cast) - most), 1 - p_a)
        return not p_a - seen > p_b + seen

    last = bisect_left(range(256), True, key=falls) - 1
    return last if last >= 0 else -64


def _reach_of_noise(table: pd.DataFrame, config: RunConfig, images: int) -> np.ndarray:
    drawn = config.training
    clean = float(hypergeom(drawn.drawn_from, images, drawn.subset).pmf(0))
    margin = [_lost_lead(a, b, clean) for a, b in zip(table["p_a_lower"], table["p_b_upper"], strict=True)]
    reach = np.array(margin) * table["sigma"].to_numpy()
    return np.where(reach > 0, reach, -1.0)


PLANTED = {"subset": _reach_of_noise, "subset-margin": _last_margin, "partition-margin": _last_margin_of_parts}
"""By the certificate's name: from table, config and replaced images to the change certified, -1 where none is."""


def planted(table: pd.DataFrame, config: RunConfig, images: int, norms: float) -> pd.Series:
    """True where the right class leads although so many images are replaced and the input moves by ``norms``."""
    reach = PLANTED[config.certification.certificate](table, config, images)
    return (table["prediction"] == table["label"]) & (reach >= norms)


def _lost_lead(p_a: float, p_b: float, clean: float) -> float:
    def lead(change: float) -> float:
        kept = clean * norm.sf(change, loc=norm.ppf(max(p_a - 1 + clean, 0.0) / clean))
        rival = clean * norm.cdf(change, loc=-norm.ppf(min(p_b / clean, 1.0))) + 1 - clean
        return kept - rival

    if clean == 0 or not lead(0.0) > 0:
        return 0.0
    return float(brentq(lead, 0.0, 40.0, xtol=1e-13))


RADII: dict[str, Callable[[pd.DataFrame, RunConfig], tuple[np.ndarray, np.ndarray]]] = {
    "weighted-l2": l2,
    "training-l2": l2,
    "l0": l0,
    "partition": partition,
    "run-off": run_off,
    "partition-margin": partition_margin,
    "subset": subset,
    "subset-margin": subset_margin,
}
"""By the certificate's name in the config: margins and radii ``(n,)`` of the rows of certificates.csv."""


def _lead(table: pd.DataFrame) -> np.ndarray:
    return ((table["p_a_lower"] - table["p_b_upper"]) * (table["prediction"] >= 0)).to_numpy()


@dataclass(frozen=True)
class Update:
    """The store's decision on an input; ``edge`` is the signed distance to the edge of the ball that decided."""

    case: str
    label: int
    radius: float
    edge: float | None


def storage_updates(
    point: np.ndarray, prediction: int, radius: float, centres: np.ndarray, labels: np.ndarray, radii: np.ndarray
) -> list[Update]:
    """Storage-update certification (docs/method.md §6) of one input against all balls before it, by brute force.

    Args:
        point: ``(d,)`` float64; prediction: its class, -1 for ABSTAIN; radius: its test radius.
        centres, labels, radii: the ``n`` balls before it, ``(n, d)``, ``(n,)``, ``(n,)``.

    Returns:
        The update, and, where distances tie within :data:`TIE`, what it is on either side of the tie.
    """
    edges = cdist(point[None], centres)[0] - radii if len(radii) else np.empty(0)
    return [_update(prediction, radius, edges + nudge, labels) for nudge in (0.0, TIE, -TIE)]


def _update(prediction: int, radius: float, edges: np.ndarray, labels: np.ndarray) -> Update:
    rivals = np.where(labels != prediction, edges, np.inf)  # to an abstaining input every ball is one
    rival, edge = (int(rivals.argmin()), float(rivals.min())) if len(rivals) else (-1, np.inf)
    if prediction == -1:
        return Update("none", int(labels[rival]), -edge, edge) if edge < 0 else Update("none", -1, 0.0, None)
    if edge < 0:
        return Update("aligned", int(labels[rival]), -edge, edge)
    if edge < radius:
        return Update("trimmed", prediction, edge, edge)
    friend = float(edges[labels == prediction].min(initial=np.inf))
    touches = friend < radius
    return Update("same_label" if touches else "disjoint", prediction, radius, friend if touches else None)


def images_certified(margin: np.ndarray, sigma_test: np.ndarray, sigma_train: np.ndarray, tau: float) -> np.ndarray:
    """Most training images that may move by ``tau`` beside the input (docs/method.md §5); -1 if it alone may not."""
    worst = np.cumsum([0.0, *sorted((tau**2 / sigma_train**2).tolist(), reverse=True)])
    allowed = margin**2 * (1 - TIE)  # of a tie, what rounding cannot turn into a claim
    return np.array(
        [np.sum(tau**2 / s**2 + worst < most) - 1 for s, most in zip(sigma_test, allowed, strict=True)], int
    )


def share_certified(
    rows: pd.DataFrame, sigma_test: np.ndarray, sigma_train: np.ndarray, seen: int, tau: float, tau_test: float
) -> np.ndarray:
    """Most training images that may move by ``tau`` beside the input by ``tau_test``, where a member sees ``seen`` of
    them (docs/method.md §9.3); -1 if the input alone may not: n is halved until it fits."""
    costs = np.cumsum([0.0, *sorted((tau**2 / sigma_train**2).tolist(), reverse=True)])
    known: dict[tuple[float, ...], int] = {}
    draws: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    found = []
    for *row, prediction in zip(rows["p_a_lower"], rows["p_b_upper"], sigma_test, rows["prediction"], strict=True):
        key = tuple(float(value) for value in row)
        if prediction >= 0 and key not in known:
            p_a, p_b, sigma = key
            least, most = -1, len(sigma_train) + 1
            while most - least > 1:
                n = (least + most) // 2
                if n not in draws:
                    mean, reach = seen * n / len(sigma_train), 9 * np.sqrt(min(n, seen)) + 40
                    worlds = np.arange(max(0, int(mean - reach)), min(n, int(mean + reach)) + 1)
                    draws[n] = costs[worlds], hypergeom(len(sigma_train), n, seen).pmf(worlds)
                cost, weights = draws[n]
                apart = np.sqrt(cost + (tau_test / sigma) ** 2)
                stands = _least(p_a, weights, apart) > 1 - _least(1 - p_b, weights, apart) + TIE
                least, most = (n, most) if stands else (least, n)
            known[key] = least
        found.append(known[key] if prediction >= 0 else -1)
    return np.array(found, int)


def _least(mass: float, weights: np.ndarray, apart: np.ndarray) -> float:
    """The least attacked probability of anything as probable as ``mass`` before, in worlds ``apart`` with their
    weights: a root of Neyman and Pearson's level, and of worlds that are not apart what is missing."""
    still = apart == 0
    w, d, rest = weights[~still], apart[~still], float(weights[still].sum())

    def before(level: float) -> float:
        return float(w @ ndtr(level / d + d / 2)) + (rest if level > 0 else 0.0)

    if not len(d) or before(0.0) <= mass <= before(0.0) + rest:
        return float(w @ ndtr(-d / 2)) + mass - before(0.0)
    if mass >= before(400.0):
        return float(w @ ndtr(400 / d - d / 2)) + rest
    level = brentq(lambda level: before(level) - mass, -400.0, 400.0, xtol=1e-13)
    return float(w @ ndtr(level / d - d / 2)) + (rest if level > 0 else 0.0)


def attack(
    labels: pd.Series, classes: int, label_mode: str, target: int, victims: int = 0, first_victim: int = 0
) -> tuple[pd.Series, pd.Series]:
    """The class that the attacker wants for each triggered image, and the images that count (docs/method.md §1)."""
    if label_mode == "all-to-all":
        return (labels + 1) % classes, labels >= 0
    counts = labels != target
    if victims:
        others = labels.index[counts]
        places = [n * (len(others) - 1) // max(victims - 1, 1) for n in range(victims)]
        counts &= labels.index.isin([others[(place + first_victim) % len(others)] for place in places])
    return labels * 0 + target, counts


def metrics(
    table: pd.DataFrame,
    *,
    label_mode: str,
    target: int,
    radii: Iterable[float],
    victims: int = 0,
    first_victim: int = 0,
) -> dict[str, Any]:
    """The ``clean`` and ``triggered`` parts of metrics.json from the rows of certificates.csv."""
    table = table.assign(right=table["prediction"] == table["label"])
    clean, triggered = table[table["set"] == "clean"], table[table["set"] == "triggered"]
    classes = sum(name.startswith("votes_") for name in table)
    wanted, counts = attack(triggered["label"], classes, label_mode, target, victims, first_victim)
    triggered = triggered.assign(hit=triggered["prediction"] == wanted)[counts]

    def curve(rows: pd.DataFrame) -> dict[str, float]:
        return {str(float(r)): float((rows["right"] & (rows["radius"] > r)).mean()) for r in radii}

    return {
        "clean": {
            "n": len(clean),
            "accuracy": float(clean["right"].mean()),
            "abstained": float((clean["prediction"] == -1).mean()),
            "average_certified_radius": float((clean["radius"] * clean["right"]).mean()),
            "certified_accuracy": curve(clean),
        },
        "triggered": {
            "n": len(triggered),
            "attack_success_rate": float(triggered["hit"].mean()),
            "empirical_robust_accuracy": float(triggered["right"].mean()),
            "certified_robust_accuracy": curve(triggered),
        },
    }
