"""A run's metrics: on the clean and the triggered test set, and of the store.

Shares are in [0, 1] and taken over the images that count; an abstention is never right. Without images they are NaN.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from certssb_core.store.storage_update import Entry


def certified_accuracy(
    prediction: ArrayLike, radius: ArrayLike, labels: ArrayLike, *, radii: Iterable[float]
) -> dict[str, float]:
    """Share of images with the right class and a radius strictly above r, keyed "0.0", "0.25", ...

    Args:
        prediction: ``(n,)`` predicted class, -1 for ABSTAIN.
        radius: ``(n,)`` certified radius in L2 pixel units.
        labels: ``(n,)`` true class.
        radii: where the curve is read, L2 pixel units.
    """
    right, radius = np.asarray(prediction) == np.asarray(labels), np.asarray(radius)
    return {str(float(r)): _share(right & (radius > r)) for r in radii}


def clean_metrics(
    prediction: ArrayLike, radius: ArrayLike, labels: ArrayLike, radii: Iterable[float]
) -> dict[str, float | dict[str, float]]:
    """Accuracy, abstentions, and certified accuracy on a clean test set; arguments as in certified_accuracy.

    The average certified radius counts a wrong or abstaining image as 0 (arXiv 2001.02378).
    """
    prediction, radius, labels = np.asarray(prediction), np.asarray(radius), np.asarray(labels)
    right = prediction == labels
    return {
        "n": len(labels),
        "accuracy": _share(right),
        "abstained": _share(prediction == -1),
        "average_certified_radius": _share(np.where(right, radius, 0.0)),
        "certified_accuracy": certified_accuracy(prediction, radius, labels, radii=radii),
    }


def collapsed(prediction: ArrayLike, labels: ArrayLike) -> bool:
    """True if all answers ``(n,)`` but ABSTAIN are one class although the images are of several."""
    prediction = np.asarray(prediction)
    return len(np.unique(prediction[prediction >= 0])) == 1 and len(np.unique(labels)) > 1


def triggered_metrics(
    prediction: ArrayLike,
    radius: ArrayLike,
    labels: ArrayLike,
    attacked: ArrayLike,
    counts: ArrayLike,
    radii: Iterable[float],
) -> dict[str, float | dict[str, float]]:
    """Attack success and robustness on a triggered test set.

    Args:
        prediction: ``(n,)`` predicted class of the triggered images, -1 for ABSTAIN.
        radius: ``(n,)`` certified radius in L2 pixel units.
        labels: ``(n,)`` true class.
        attacked: ``(n,)`` the class the attacker wants.
        counts: ``(n,)`` bool, which images count (those of the target class say nothing about the attack).
        radii: where the curve is read, L2 pixel units.
    """
    rows = np.asarray(counts, dtype=bool)
    answers, certified, true, wanted = (np.asarray(a)[rows] for a in (prediction, radius, labels, attacked))
    return {
        "n": len(true),
        "attack_success_rate": _share(answers == wanted),
        "empirical_robust_accuracy": _share(answers == true),
        "certified_robust_accuracy": certified_accuracy(answers, certified, true, radii=radii),
    }


def store_metrics(entries: Iterable[Entry]) -> dict[str, int]:
    """Count the inputs that became balls, and those of each case of storage-update certification."""
    entries = list(entries)
    cases = Counter(entry.case for entry in entries)
    return {
        "stored": sum(entry.stored for entry in entries),
        **{case: cases[case] for case in ("disjoint", "same_label", "trimmed", "aligned")},
    }


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval ``(low, high)`` for a share of ``n`` images, for display beside it."""
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in [0, {n}], got {successes}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if n == 0:
        return 0.0, 1.0
    z, share = float(ndtri((1 + confidence) / 2)), successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _share(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
