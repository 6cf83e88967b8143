"""Certificates of several runs and modes as tables: curves, rates with their intervals, joint budgets.

Everything here reads rows of certificates; nothing is trained or voted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.metrics import wilson_interval
from certssb_core.config.schema import AttackConfig, RunConfig
from certssb_core.data.poisoning import attacked_label, counts_for_attack

# Accuracy at these radii as the public release of arXiv 2504.21730 computes it: votes at one σ, radius scaled
# by another, the count in the bound fixed. Not a certificate; for comparison only.
PUBLISHED_MNIST_ONE_PIXEL = pd.DataFrame({"radius": [0.0, 0.25, 0.5], "share": [0.99953, 0.99433, 0.0]})


@dataclass(frozen=True)
class Series:
    """Certificates of one run and mode, to compare with others.

    Attributes:
        name: shown in the legend.
        certificates: columns ``set, label, prediction, radius`` at least.
        attack: chooses the triggered images that count, and the class that the attacker wants.
        classes: number of classes.
    """

    name: str
    certificates: pd.DataFrame
    attack: AttackConfig
    classes: int

    def measured(self, set_name: str) -> pd.DataFrame:
        """The rows of a set that count: all clean images, triggered ones whose class is not the target."""
        rows = self.certificates[self.certificates["set"] == set_name]
        if set_name == "triggered":
            rows = rows[counts_for_attack(rows["label"].to_numpy(), **self.attack.aim)]
        return rows


def published(config: RunConfig) -> pd.DataFrame | None:
    """The release's points if ``config`` is its setting (MNIST 0/1, one-pixel trigger), else None.

    They are radii of L2 balls, and stand on no axis of another unit.
    """
    if not CERTIFICATES[config.certification.certificate].balls:
        return None
    setting = (config.data.name, config.data.classes, config.attack.trigger)
    return PUBLISHED_MNIST_ONE_PIXEL if setting == ("mnist", ("0", "1"), "one-pixel") else None


def curves(series: list[Series], *, points: int = 121, whole: bool = False) -> pd.DataFrame:
    """Certified accuracy at ``points`` radii from 0 to a little beyond the largest certified one; all of one unit.

    Args:
        whole: the unit counts things: radii are 0, 1, 2, … instead.

    Returns:
        Columns ``series, set, radius, share, low, high, count, n``; ``low`` to ``high`` is Wilson's 95 %
        interval of the share.
    """
    largest = max((entry.certificates["radius"].max() for entry in series if len(entry.certificates)), default=0.0)
    radii = np.arange(largest + 1) if whole else np.linspace(0, 1.05 * largest or 1.0, points)
    rows = []
    for entry in series:
        for set_name in ("clean", "triggered"):
            images = entry.measured(set_name)
            right = np.sort(images.loc[images["prediction"] == images["label"], "radius"])
            above = len(right) - np.searchsorted(right, radii, side="right")
            rows += [
                {"series": entry.name, "set": set_name, "radius": radius} | _estimate(int(count), len(images))
                for radius, count in zip(radii, above, strict=True)
            ]
    return pd.DataFrame(rows)


def rates(series: list[Series], *, radius: float) -> pd.DataFrame:
    """The main rates of each series, each with its count and interval.

    Returns:
        Columns ``series, measure, share, low, high, count, n``.
    """
    rows = []
    for entry in series:
        clean, triggered = entry.measured("clean"), entry.measured("triggered")
        right_clean = clean["prediction"] == clean["label"]
        right = triggered["prediction"] == triggered["label"]
        wanted = attacked_label(
            triggered["label"].to_numpy(),
            label_mode=entry.attack.label_mode,
            target=entry.attack.target,
            classes=entry.classes,
        )
        for measure, hits in {
            "Clean accuracy": right_clean,
            f"Certified accuracy at r = {radius:g}": right_clean & (clean["radius"] > radius),
            "Clean images abstained": clean["prediction"] == -1,
            "Triggered images abstained": triggered["prediction"] == -1,
            "Attack success rate (ASR)": triggered["prediction"] == wanted,
            "Empirical robust accuracy (ERA)": right,
            f"Certified robust accuracy (CRA) at r = {radius:g}": right & (triggered["radius"] > radius),
        }.items():
            rows.append({"series": entry.name, "measure": measure} | _estimate(int(hits.sum()), len(hits)))
    return pd.DataFrame(rows)


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`rates` for reading: a row per measure, a column per series: share, count, 95 % interval."""
    words = [
        f"{row.share:.1%} ({row.count:,} of {row.n:,}; {row.low:.1%} to {row.high:.1%})"
        for row in table.drop(columns=["series", "measure"]).itertuples(name="Rate")
    ]
    wide = table.assign(words=words).pivot(index="measure", columns="series", values="words")
    return wide.loc[table["measure"].unique(), table["series"].unique()].reset_index()


def sentence(table: pd.DataFrame, radius: float, *, unit: str) -> str:
    """The certified shares of :func:`rates` in words (Markdown); ``unit`` of the radius."""
    certified = table[table["measure"].str.startswith("Certified")]
    parts = []
    for name, rows in certified.groupby("series", sort=False):
        clean, robust = rows["share"]
        parts.append(f"{name} **{clean:.1%}** / **{robust:.1%}**")
    return f"Certified at r = {radius:g} {unit}, of the clean / the triggered images: " + "; ".join(parts) + "."


def with_envelope(table: pd.DataFrame, names: list[str], *, name: str) -> pd.DataFrame:
    """:func:`curves` with one series more, the best of ``names`` at each radius.

    Choosing a σ for each radius after the fact is a yardstick for comparison, not a certificate.
    """
    rows = table[table["series"].isin(names)]
    best = rows.loc[rows.groupby(["set", "radius"], sort=False)["share"].idxmax()]
    return pd.concat([table, best.assign(series=name)], ignore_index=True)


def budgets(series: list[Series], images: list[np.ndarray]) -> pd.DataFrame:
    """Count the clean test images whose right answer is certified, whichever n training images are poisoned.

    Args:
        series: m of them.
        images: m arrays, one entry per row of the series' certificates: largest n certified, -1 for none.

    Returns:
        Columns ``series, images, share, count, n``: n from 0 to one more than the largest certified, or of many only
        those at which a count falls, so that a count holds until the next row.
    """
    kept = [_standing(entry, certified) for entry, certified in zip(series, images, strict=True)]
    largest = max((int(values.max(initial=0)) for values in kept), default=0)
    every = np.arange(largest + 2)
    steps = every if len(every) <= 400 else np.unique(np.concatenate([[0], *(values + 1 for values in kept)]))
    return pd.concat(
        [
            pd.DataFrame({"series": entry.name, "images": steps})
            .assign(count=[int((values >= step).sum()) for step in steps], n=len(values))
            .assign(share=lambda table: table["count"] / table["n"].clip(lower=1))
            for entry, values in zip(series, kept, strict=True)
        ],
        ignore_index=True,
    )


def budget_grid(series: Series, by_norm: Mapping[float, np.ndarray], images: Sequence[int]) -> pd.DataFrame:
    """Count the clean test images whose right answer is certified, over numbers of images and norms.

    Args:
        series: its certificates.
        by_norm: for each norm τ, one entry per certificate: largest n certified, -1 for none.
        images: numbers of training images n.

    Returns:
        Columns ``series, images, norm, count, n, share``, a row for every pair, as ``figures.budget_map`` draws them.
    """
    rows = []
    for norm, certified in by_norm.items():
        standing = _standing(series, certified)
        rows += [
            {"series": series.name, "images": n, "norm": norm, "count": int((standing >= n).sum()), "n": len(standing)}
            for n in images
        ]
    return pd.DataFrame(rows).assign(share=lambda table: table["count"] / table["n"].clip(lower=1))


def image_steps(most: int, *also: int) -> list[int]:
    """Numbers of training images for a grid: none, 1, 2, 5, 10, 20, 50, … up to ``most``, and those asked for."""
    steps = {digit * 10**power for power in range(len(str(max(most, 1)))) for digit in (1, 2, 5)}
    return sorted({0, *also} | {step for step in steps if step <= most})


def budget_sentence(series: list[Series], images: list[np.ndarray], *, count: int, norm: float) -> str:
    """Say for how many clean test images the right answer is certified with ``count`` images poisoned."""
    parts = []
    for entry, certified in zip(series, images, strict=True):
        standing = _standing(entry, certified)
        parts.append(f"{entry.name} **{int((standing >= count).sum()):,} of {len(standing):,}**")
    return (
        f"Up to n = {count:,} training images, whichever they are, and the test input with them (unless it is taken as "
        f"given) change by at most τ = {norm:g} each. No other class can then take the place of the right answer for "
        + "; ".join(parts)
        + " clean test images."
    )


def _standing(series: Series, images: np.ndarray) -> np.ndarray:
    """``images`` at the clean test images; -1 where the answer is wrong."""
    rows = series.certificates.assign(images=images)
    rows = rows[rows["set"] == "clean"]
    return np.where(rows["prediction"] == rows["label"], rows["images"], -1)


def _estimate(count: int, n: int) -> dict[str, float]:
    low, high = wilson_interval(count, n)
    return {"share": count / n if n else float("nan"), "low": low, "high": high, "count": count, "n": n}
