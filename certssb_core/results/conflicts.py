"""Claims that meet: the storage-update replayed on stored balls whose radii somebody overstates.

At the radii as certified the balls of real images seldom meet. What the store would make of larger claims is shown by
sending the same centres, in the same order, to an empty store with every radius stretched by a factor. Stretched radii
are claims, and no votes stand behind them. So are radii extrapolated to more members than have voted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import ndtri

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.store.ball_index import BallIndex
from certssb_core.store.overlaps import Survey
from certssb_core.store.storage_update import Entry, Key, update
from certssb_core.store.store import Balls

MOST = 3000
"""Balls that are replayed, the first that came: each slider's move sends all of them again."""


def stretched(balls: Balls, entries: list[Entry], factor: float) -> tuple[Balls, list[Entry]]:
    """Send the first :data:`MOST` balls to an empty store, each claimed radius ``factor`` times as large.

    Args:
        balls: of a store; entries: its whole ledger.
        factor: ≥ 1; at 1 the ledger's own claims come again.

    Returns:
        The balls of the new store and one entry per ball sent. An entry keeps its place in the first order of arrival,
        so that it still names the same ball.
    """
    sent = [entry for entry in entries if entry.stored][:MOST]
    return _replayed(balls, sent, factor * np.array([entry.radius_before for entry in sent], np.float64))


def extrapolated(
    balls: Balls, entries: list[Entry], certificates: pd.DataFrame, *, times: int, bound: str, alpha: float
) -> tuple[Balls, list[Entry]]:
    """Send the first :data:`MOST` balls to an empty store, as if ``times`` as many members had voted in equal shares.

    Args:
        balls: of a store; entries: its whole ledger.
        certificates: the run's certificates.csv, with the votes on each input.
        times: ≥ 1; at 1 the ledger's own claims come again.
        bound: a key of ``BOUNDS``; one that does not read counts of votes is replaced by ``clopper-pearson``.
        alpha: failure probability per input, in (0, 1).

    Returns:
        As :func:`stretched`. A ball of an input that is not in ``certificates`` keeps its claimed radius.
    """
    sent = [entry for entry in entries if entry.stored][:MOST]
    claimed = np.array([entry.radius_before for entry in sent], np.float64)
    if times > 1:
        rows = certificates.set_index(["set", "index"]).index.get_indexer([(e.key.set, e.key.index) for e in sent])
        table = certificates.iloc[rows[rows >= 0]]
        counts = times * table.filter(regex=r"^votes_\d+$").to_numpy(np.int64)
        rule = BOUNDS[bound] if BOUNDS[bound].vote == "hard" else BOUNDS["clopper-pearson"]
        bounds = rule.class_bounds(counts, int(counts[0].sum()), alpha) if len(counts) else None
        if bounds is not None:
            margin = (ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper)) / 2
            claimed[rows >= 0] = np.maximum(claimed[rows >= 0], table["sigma"].to_numpy() * margin)
    return _replayed(balls, sent, claimed)


def _replayed(balls: Balls, sent: list[Entry], claimed: np.ndarray) -> tuple[Balls, list[Entry]]:
    """Send stored balls again in their order, with other claimed radii ``(n,)``."""
    places = np.array([entry.position for entry in sent], np.int64)
    rows = np.searchsorted(balls.ids, places)
    index = BallIndex(balls.centres.shape[1])
    fresh = update(
        index,
        0,
        [Key(*entry.key) for entry in sent],
        np.array([entry.prediction for entry in sent], np.int64),
        claimed,
        balls.centres[rows],
    )
    ledger = [
        replace(entry, position=int(places[k]), partner=None if entry.partner is None else int(places[entry.partner]))
        for k, entry in enumerate(fresh)
    ]
    kept = rows[index.ids]
    return (
        Balls(
            ids=places[index.ids],
            centres=balls.centres[kept],
            radii=index.radii.copy(),
            labels=index.labels.copy(),
            sigmas=balls.sigmas[kept],
            sets=tuple(balls.sets[row] for row in kept),
            indices=balls.indices[kept],
        ),
        ledger,
    )


def meeting_factor(claims: Survey) -> float | None:
    """The factor by which radii would have to grow until the first two balls of different label touch.

    Args:
        claims: a survey of the balls with the radii and labels that they came with.

    Returns:
        The smallest d / (r₁ + r₂) of the listed pairs; None where there is no pair of different label.
    """
    if not len(claims.distance) or not (claims.radius_sum > 0).any():
        return None
    with np.errstate(divide="ignore"):
        return float((claims.distance / claims.radius_sum).min())


def conflicts(ledger: pd.DataFrame) -> list[int]:
    """Positions of the stored inputs that the storage-update changed, in order of arrival."""
    changed = ledger["case"].isin(("trimmed", "aligned")) & ledger["stored"]
    return ledger.loc[changed, "position"].tolist()


def in_words(row: pd.Series, partner: pd.Series | None) -> str:
    """Say in plain text what the storage-update did with the input of a ledger's row.

    Args:
        row: of the input; partner: of the ball that decided, where there was one.
    """
    claim = f"The members answer {row['predicted']} within {row['radius_before']:.3f}."
    if row["case"] == "none":
        return "The members abstain, so nothing is stored." + (
            f" A stored ball holds the image and answers {row['answered']}." if row["label"] >= 0 else ""
        )
    if partner is None:
        return f"{claim} No stored ball comes so near: stored as it is."
    other = f"ball {partner['position']} ({partner['answered']})"
    if row["case"] == "same_label":
        return f"{claim} It meets only balls of that answer, first {other}: stored as it is."
    if row["case"] == "trimmed":
        return f"{claim} {other.capitalize()} begins at {row['radius_after']:.3f}: the new ball is cut to end there."
    return (
        f"{claim} But the image lies inside {other}, whose promise is older. "
        f"So it is answered {row['answered']}, within {row['radius_after']:.3f}."
    )
