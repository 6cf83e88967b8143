"""The arithmetic of certificates a second time, for verification only: it shares no code with the first.

Bounds come from ``scipy.stats`` (root finding on the binomial tail, not the inverse beta function), the
storage-update from every distance computed in float64, budgets from sums written out, metrics from pandas.
Slow and plain on purpose: what is fast in :mod:`certssb_core.certify` is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.stats import binomtest, norm

TIE = 1e-9
"""Differences that rounding alone explains: relative for sums, absolute in pixel units for distances."""


def clopper_pearson(counts: np.ndarray, members: int, alpha: float) -> pd.DataFrame:
    """Columns ``prediction, p_a_lower, p_b_upper`` from votes per class ``(n, C)``, ``members`` a row."""

    def interval(tail: float) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        known = {
            votes: binomtest(votes, members).proportion_ci(1 - 2 * tail, method="exact")
            for votes in np.unique(counts).tolist()
        }
        low, high = ({votes: found[side] for votes, found in known.items()} for side in (0, 1))
        return lambda votes: (np.vectorize(low.get)(votes), np.vectorize(high.get)(votes))

    return _bounds(counts, interval, alpha)


def hoeffding(means: np.ndarray, members: int, alpha: float) -> pd.DataFrame:
    """The same columns from mean softmax ``(n, C)`` over ``members``."""

    def interval(tail: float) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        width = (np.log(1 / tail) / (2 * members)) ** 0.5
        return lambda values: (np.clip(values - width, 0, 1), np.clip(values + width, 0, 1))

    return _bounds(np.clip(means, 0, 1), interval, alpha)


BOUNDS: dict[str, Callable[[np.ndarray, int, float], pd.DataFrame]] = {
    "clopper-pearson": clopper_pearson,
    "hoeffding": hoeffding,
}
"""The bounds that can be recomputed, by their name in the config."""


def _bounds(values: np.ndarray, interval: Callable, alpha: float) -> pd.DataFrame:
    """α split over both bounds and all classes; of two classes only the two lower bounds share it (METHOD §4)."""
    frame = pd.DataFrame(values)
    top, classes = frame.idxmax(axis=1).to_numpy(), frame.shape[1]
    low, high = interval(alpha / 2 if classes == 2 else alpha / (2 * classes))(frame.to_numpy())
    p_a = low[np.arange(len(frame)), top]
    rivals = pd.DataFrame(high).mask(np.eye(classes, dtype=bool)[top]).max(axis=1).to_numpy()
    p_b = 1 - p_a if classes == 2 else np.minimum(rivals, 1 - p_a)
    return pd.DataFrame({"prediction": np.where(p_a > p_b, top, -1), "p_a_lower": p_a, "p_b_upper": p_b})


def margins(prediction: np.ndarray, p_a_lower: np.ndarray, p_b_upper: np.ndarray) -> np.ndarray:
    """½ (Φ⁻¹(p_A) − Φ⁻¹(p_B)), and 0 where it abstains: ``(n,)``."""
    return np.where(prediction < 0, 0.0, 0.5 * (norm.ppf(p_a_lower) - norm.ppf(p_b_upper)))


@dataclass(frozen=True)
class Update:
    """What the store makes of an input; ``edge`` is the signed distance to the edge of the ball that decided."""

    case: str
    label: int
    radius: float
    edge: float | None


def storage_updates(
    point: np.ndarray, prediction: int, radius: float, centres: np.ndarray, labels: np.ndarray, radii: np.ndarray
) -> list[Update]:
    """Storage-update certification (METHOD §6) of one input against all balls before it, by brute force.

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
    case, friend = ("same_label", friend) if friend < radius else ("disjoint", None)
    return Update(case, prediction, radius, friend)


def images_certified(margin: np.ndarray, sigma_test: np.ndarray, sigma_train: np.ndarray, tau: float) -> np.ndarray:
    """Most training images that may move by ``tau`` along with the test input (METHOD §5); -1 for not even that."""
    worst = np.cumsum([0.0, *sorted((tau**2 / sigma_train**2).tolist(), reverse=True)])
    allowed = margin**2 * (1 - TIE)  # of a tie, what rounding cannot turn into a claim
    return np.array(
        [np.sum(tau**2 / s**2 + worst < most) - 1 for s, most in zip(sigma_test, allowed, strict=True)], int
    )


def attack(labels: pd.Series, classes: int, label_mode: str, target: int) -> tuple[pd.Series, pd.Series]:
    """What the attacker wants for triggered images of these classes, and which of them count (METHOD §1)."""
    if label_mode == "all-to-all":
        return (labels + 1) % classes, labels >= 0
    return labels * 0 + target, labels != target


def metrics(table: pd.DataFrame, *, label_mode: str, target: int, radii: Iterable[float]) -> dict[str, Any]:
    """The ``clean`` and ``triggered`` parts of metrics.json from the rows of certificates.csv."""
    wanted, counts = attack(table["label"], sum(name.startswith("votes_") for name in table), label_mode, target)
    table = table.assign(right=table["prediction"] == table["label"], hit=table["prediction"] == wanted)
    clean, triggered = table[table["set"] == "clean"], table[(table["set"] == "triggered") & counts]

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
