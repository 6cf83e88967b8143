"""The store's ledger as a table, its balls before and after the storage-update, and any two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from certssb_core.store.overlaps import Survey, distances, nearest, survey
from certssb_core.store.store import Balls, Entry

SURVEYED = 6_000
"""Balls whose pairs are all compared, the first that came: the work grows with the square of their number."""


@dataclass(frozen=True)
class Pair:
    """Two balls: their rows of the ledger table, and the distance of their centres (L2 pixel units)."""

    first: pd.Series
    second: pd.Series
    distance: float

    @property
    def conflict_before(self) -> bool:
        """True if they intersected with different labels before the storage-update."""
        differ = self.first["prediction"] != self.second["prediction"]
        return bool(differ and self.distance < self.first["radius_before"] + self.second["radius_before"])


def table(entries: Sequence[Entry], classes: Sequence[str]) -> pd.DataFrame:
    """One row per insertion, in order of arrival.

    Args:
        entries: the ledger.
        classes: names of the labels.

    Returns:
        Columns ``position, input`` (set and index in words), ``set, index, case, prediction, label,
        predicted, answered`` (class names), ``radius_before, radius_after, partner, distance, stored``.
    """

    def name(label: int) -> str:
        return classes[label] if label >= 0 else "–"

    rows = [
        {
            "position": entry.position,
            "input": f"{entry.key.set} {entry.key.index}",
            "set": entry.key.set,
            "index": entry.key.index,
            "case": entry.case,
            "prediction": entry.prediction,
            "label": entry.label,
            "predicted": name(entry.prediction),
            "answered": name(entry.label),
            "radius_before": entry.radius_before,
            "radius_after": entry.radius_after,
            "partner": entry.partner,
            "distance": entry.distance,
            "stored": entry.stored,
        }
        for entry in entries
    ]
    columns: tuple[str, ...] = (
        "position",
        "input",
        "set",
        "index",
        "case",
        "prediction",
        "label",
        "predicted",
        "answered",
    )
    columns += ("radius_before", "radius_after", "partner", "distance", "stored")
    return pd.DataFrame(rows, columns=columns).astype({"partner": "Int64", "distance": "float64"})


def survey_store(balls: Balls, ledger: pd.DataFrame, *, after: bool) -> Survey:
    """Every pair of the first :data:`SURVEYED` balls, with the radii and labels they came with, or those the store
    gave them."""
    first = slice(SURVEYED)
    if after:
        return survey(balls.centres[first], balls.labels[first], balls.radii[first])
    rows = ledger.set_index("position").loc[balls.ids[first]]
    return survey(balls.centres[first], rows["prediction"].to_numpy(), rows["radius_before"].to_numpy())


def pair(balls: Balls, ledger: pd.DataFrame, position: int, partner: int | None = None) -> Pair | None:
    """The ball stored at ``position`` beside ``partner``.

    By default that is the ball that decided its case, else the closest ball of another label.

    Returns:
        None where either of the two is no stored ball, or there is no other.
    """
    place = {int(ball): row for row, ball in enumerate(balls.ids)}
    rows = ledger.set_index("position", drop=False)
    if position not in place:
        return None
    if partner is None and pd.notna(rows.loc[position, "partner"]):
        partner = int(rows.loc[position, "partner"])
    if partner is None:
        others = np.flatnonzero(balls.labels != balls.labels[place[position]])
        closest = nearest(balls.centres, balls.radii, place[position], others)
        partner = None if closest is None else int(balls.ids[closest])
    if partner not in place or partner == position:
        return None
    between = distances(balls.centres, np.array([place[position]]), np.array([place[partner]]))
    return Pair(first=rows.loc[position], second=rows.loc[partner], distance=float(between[0]))


def nearest_balls(balls: Balls, ledger: pd.DataFrame, point: np.ndarray, *, count: int = 5) -> pd.DataFrame:
    """The balls whose edge is nearest to ``point`` ``(d,)``, deepest first; a negative gap is inside: it answers.

    Returns:
        Columns ``position, input, answered, distance, radius, gap``.
    """
    order, distance = balls.nearest(point, count)
    rows = ledger.set_index("position").loc[balls.ids[order]]
    return pd.DataFrame(
        {
            "position": balls.ids[order],
            "input": rows["input"].to_numpy(),
            "answered": rows["answered"].to_numpy(),
            "distance": distance,
            "radius": balls.radii[order],
            "gap": distance - balls.radii[order],
        }
    )


def boldest_changed(ledger: pd.DataFrame) -> int | None:
    """Position of the largest claim that the storage-update aligned, else trimmed; None where it changed none."""
    for case in ("aligned", "trimmed"):
        if len(rows := ledger[(ledger["case"] == case) & ledger["stored"]]):
            return int(rows.loc[rows["radius_before"].idxmax(), "position"])
    return None


def most_telling(ledger: pd.DataFrame, before: Survey) -> int:
    """Position of the ball to show first: an aligned, else a trimmed one, else one of the closest pair."""
    if (changed := boldest_changed(ledger)) is not None:
        return changed
    stored = ledger.loc[ledger["stored"], "position"].to_numpy()
    return int(stored[before.first[0]]) if len(before.first) else 0


def closest(pairs: Survey, ledger: pd.DataFrame) -> pd.DataFrame:
    """The listed pairs of a survey of the stored balls, by name, smallest gap first."""
    names = ledger.loc[ledger["stored"], "input"].to_numpy()
    return pd.DataFrame(
        {
            "first": names[pairs.first],
            "second": names[pairs.second],
            "distance": pairs.distance,
            "radius_sum": pairs.radius_sum,
            "gap": pairs.distance - pairs.radius_sum,
        }
    )


def verdict(two: Pair) -> str:
    """Say in one sentence how far the two balls are apart, before and after the storage-update."""

    def between(radii: float) -> str:
        gap = two.distance - radii
        return f"intersect by {-gap:.3f}" if gap < 0 else f"are {gap:.3f} apart"

    before = between(two.first["radius_before"] + two.second["radius_before"])
    after = between(two.first["radius_after"] + two.second["radius_after"])
    kind = "a conflict" if two.conflict_before else "no conflict"
    rows = (two.first, two.second)
    if all(row["radius_before"] == row["radius_after"] and row["label"] == row["prediction"] for row in rows):
        return f"The balls {before} ({kind}); the storage-update changed neither."
    one_label = " with one label" if two.first["label"] == two.second["label"] else ""
    return f"Before the storage-update the balls {before} ({kind}); after it they {after}{one_label}."


def pair_table(two: Pair) -> pd.DataFrame:
    """Both rows of the ledger, with their distance."""
    table = pd.DataFrame([two.first, two.second])
    columns = ["position", "input", "case", "predicted", "answered", "radius_before", "radius_after"]
    return table[columns].assign(distance=two.distance)
