"""Runs beside a baseline: each figure with its interval, and its difference to the baseline's with an interval.

Differences are paired where both runs were measured on the same images: then what is hard for both cancels, and the
interval is narrower. All intervals hold at 95 % and describe the choice of test images only, not that of the members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from certssb_core.certify.metrics import wilson_interval
from certssb_core.config.schema import DataConfig
from certssb_core.data.poisoning import attacked_label
from certssb_core.results.comparison import Series
from certssb_core.runs import data_record
from certssb_core.runs.run import Run

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measure:
    """A figure of a run: its name in words, the images that it is taken over, whether it is a share of them."""

    title: str
    images: str
    share: bool = True


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("clean accuracy", "clean"),
    "certified": Measure("certified accuracy at r", "clean"),
    "radius": Measure("mean certified radius", "clean", share=False),
    "attack_success": Measure("attack success rate (ASR)", "triggered"),
    "robust": Measure("certified robust accuracy (CRA) at r", "triggered"),
}


@dataclass(frozen=True)
class Difference:
    """A difference to the baseline, with its interval ``low`` to ``high``."""

    value: float
    low: float
    high: float


def same_images(first: Run, second: Run) -> frozenset[str]:
    """The test sets, ``clean`` and ``triggered``, whose images are the same in both runs, as far as is recorded."""
    ours, theirs = data_record.recorded(first), data_record.recorded(second)
    if ours and theirs:
        same = ours["test"] == theirs["test"] and ours["classes"] == theirs["classes"]
    else:
        same = _tested(first.config.data) == _tested(second.config.data)
        same = same and (first.config.data.max_test is None or first.config.seed == second.config.seed)
    if not same:
        return frozenset()
    attacked_alike = first.config.attack == second.config.attack and first.config.seed == second.config.seed
    return frozenset({"clean", "triggered"} if attacked_alike else {"clean"})


def against(series: Sequence[Series], *, baseline: int, radius: float, same: Sequence[frozenset[str]]) -> pd.DataFrame:
    """Every measure of every run, and its difference to the baseline's.

    Args:
        series: one per run, all of one unit.
        baseline: the position of the baseline in ``series``.
        radius: at which certified shares are read.
        same: for each of ``series``, the test sets that it shares with the baseline, of :func:`same_images`.

    Returns:
        Columns ``series, measure, value, low, high, n, difference, difference_low, difference_high, paired``; one row
        per run and measure. The baseline's own differences are NaN.
    """
    rows = []
    for measure, about in MEASURES.items():
        base = _values(series[baseline], measure, radius)
        for position, entry in enumerate(series):
            own = _values(entry, measure, radius)
            low, high = _interval(own, share=about.share)
            value = float(own.mean()) if len(own) else float("nan")
            row = {"series": entry.name, "measure": measure, "value": value, "low": low, "high": high, "n": len(own)}
            paired = about.images in same[position] and _labels(entry, about) == _labels(series[baseline], about)
            found = Difference(np.nan, np.nan, np.nan)
            if position != baseline and len(own) and len(base):
                found = (share_difference if about.share else mean_difference)(base, own, paired=paired)
            rows.append(
                row
                | {"difference": found.value, "difference_low": found.low, "difference_high": found.high}
                | {"paired": paired}
            )
    return pd.DataFrame(rows)


def share_difference(first: np.ndarray, second: np.ndarray, *, paired: bool) -> Difference:
    """Share of ``second`` less that of ``first``, with Newcombe's 95 % score interval.

    Statistics in Medicine 17 (1998), 873 to 890 for independent groups, 2635 to 2650 for pairs (method 10 of both).

    Args:
        first: ``(n,)`` booleans; second: ``(m,)`` booleans, m = n where they are pairs.
        paired: whether entry i of both is about the same image.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    p, q = float(first.mean()), float(second.mean())
    p_low, p_high = wilson_interval(int(first.sum()), len(first), CONFIDENCE)
    q_low, q_high = wilson_interval(int(second.sum()), len(second), CONFIDENCE)
    correlation = _correlation(first, second) if paired else 0.0

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2)))

    return Difference(q - p, q - p - reach(q - q_low, p_high - p), q - p + reach(q_high - q, p - p_low))


def mean_difference(first: np.ndarray, second: np.ndarray, *, paired: bool) -> Difference:
    """Mean of ``second`` less that of ``first``, with a 95 % t interval: of the pairs, or Welch's.

    Args:
        first: ``(n,)``; second: ``(m,)``, m = n where they are pairs.
        paired: whether entry i of both is about the same image.
    """
    value = float(np.mean(second) - np.mean(first))
    if min(len(first), len(second)) < 2:
        return Difference(value, -np.inf, np.inf)
    if paired:
        variance, freedom = np.var(second - first, ddof=1) / len(first), len(first) - 1.0
    else:
        parts = np.array([np.var(group, ddof=1) / len(group) for group in (first, second)])
        variance, sizes = parts.sum(), np.array([len(first), len(second)])
        freedom = float(variance**2 / np.sum(parts**2 / (sizes - 1))) if variance else 1.0
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(variance))
    return Difference(value, value - reach, value + reach)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Newcombe's φ of a fourfold table: corrected for continuity where it is positive, 0 where a margin is empty."""
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only, other = int((first & ~second).sum()), int((~first & second).sum())
    margins = float((both + only) * (other + neither) * (both + other) * (only + neither))
    if margins == 0:
        return 0.0
    excess = both * neither - only * other
    return (max(excess - len(first) / 2, 0.0) if excess > 0 else excess) / margins**0.5


def _values(series: Series, measure: str, radius: float) -> np.ndarray:
    rows = series.measured(MEASURES[measure].images)
    right = (rows["prediction"] == rows["label"]).to_numpy()
    if measure in ("certified", "robust"):
        return right & (rows["radius"] > radius).to_numpy()
    if measure == "radius":
        return np.where(right, rows["radius"], 0.0)
    if measure == "attack_success":
        attack, labels = series.attack, rows["label"].to_numpy()
        wanted = attacked_label(labels, label_mode=attack.label_mode, target=attack.target, classes=series.classes)
        return (rows["prediction"] == wanted).to_numpy()
    return right


def _labels(series: Series, about: Measure) -> list[tuple[int, int]]:
    """Index and label of every image that counts: images that differ in these are not the same."""
    rows = series.measured(about.images)
    return list(zip(rows["index"], rows["label"], strict=True))


def _interval(values: np.ndarray, *, share: bool) -> tuple[float, float]:
    if share:
        return wilson_interval(int(values.sum()), len(values), CONFIDENCE)
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2) * values.std(ddof=1) / len(values) ** 0.5)
    return float(values.mean()) - reach, float(values.mean()) + reach


def _tested(data: DataConfig) -> DataConfig:
    return data.model_copy(update={"root": None, "max_train": None})
