"""Checks of the store: its ledger against the table, and every decision taken again."""

from __future__ import annotations

import numpy as np

from certssb_core.errors import Differs, NotPossible
from certssb_core.runs import store_columns
from certssb_core.runs.inputs import SETS
from certssb_core.store.store import CASES
from certssb_core.verification import recompute
from certssb_core.verification.evidence import TOLERANCE, Evidence, same


def as_exported(evidence: Evidence) -> str:
    if store_columns.digest(evidence.ledger) != evidence.capsule["ledger_sha256"]:
        raise Differs("store.sqlite: its ledger is not the one that was exported")
    return "the store's ledger is the one that was exported"


def ledger(evidence: Evidence) -> str:
    found, table, order = evidence.ledger, evidence.table, evidence.config.certification.store_order
    total = len(table)
    arrival = {
        "clean-first": np.arange(total),
        "triggered-first": np.roll(np.arange(total), total // len(SETS)),
        "shuffled": np.random.default_rng(evidence.config.seed).permutation(total),
    }[order]
    place = found["set"].astype(np.int64) * (total // len(SETS)) + found["index"]
    same("row that arrived", place, arrival, evidence.entries)
    same("position", found["position"], np.arange(total), evidence.entries)
    arrived = table.iloc[arrival]
    for name, column in (("prediction", "prediction"), ("radius_before", "radius"), ("sigma", "sigma")):
        same(name, found[name], arrived[column], evidence.entries)
    balls = (found["case"] != CASES.index("none")) & (found["radius_after"] > 0)
    same("stored", found["stored"] == 1, balls, evidence.entries)
    rows = evidence.rows[arrival]
    same("store_case", arrived["store_case"].to_numpy(object), np.array(CASES, object)[found["case"]], rows)
    same("store_prediction", arrived["store_prediction"], found["label"], rows)
    same("store_radius", arrived["store_radius"], found["radius_after"], rows)
    return f"{total} entries in the order {order}, as in the table"


def centres(evidence: Evidence) -> str:
    stored = evidence.ledger["stored"] == 1
    if not stored.any():
        return "no input became a ball"
    same("centre", evidence.ledger["centres"], evidence.images[stored], evidence.entries[stored], tolerance=0.0)
    return f"the centres of {stored.sum()} balls are the dataset's images"


def balls(evidence: Evidence) -> str:
    return f"{_replay(evidence, evidence.ledger['stored'] == 1)} balls decided again from all distances, in float64"


def other_inputs(evidence: Evidence) -> str:
    others = evidence.ledger["stored"] == 0
    if np.isnan(evidence.points[others]).any():
        raise NotPossible(
            f"needs the dataset: {others.sum()} inputs became no balls, so the store has no image of them"
        )
    return f"{_replay(evidence, others)} inputs that became no balls decided again"


def _replay(evidence: Evidence, chosen: np.ndarray) -> int:
    """Decide the chosen entries again, each against all balls recorded before it; returns how many."""
    found, points, ball = evidence.ledger, evidence.points, evidence.ledger["stored"] == 1
    centres, labels, radii = points[ball], found["label"][ball], found["radius_after"][ball]
    before = np.cumsum(ball) - ball
    for entry in np.flatnonzero(chosen):
        seen = before[entry]
        prediction, radius = int(found["prediction"][entry]), float(found["radius_before"][entry])
        updates = recompute.storage_updates(
            points[entry], prediction, radius, centres[:seen], labels[:seen], radii[:seen]
        )
        recorded = (CASES[found["case"][entry]], int(found["label"][entry]))
        update = next((update for update in updates if (update.case, update.label) == recorded), updates[0])
        name = [evidence.entries[entry]]
        same("case", [recorded[0]], [update.case], name)
        same("label", [recorded[1]], [update.label], name)
        same("radius_after", [found["radius_after"][entry]], [update.radius], name, tolerance=3 * TOLERANCE)
        _decider(evidence, int(entry), update.edge)
    return int(chosen.sum())


def _decider(evidence: Evidence, entry: int, edge: float | None) -> None:
    """The ball that decided lies where the ledger says, and its edge is the nearest."""
    found, name = evidence.ledger, evidence.entries[entry]
    partner, distance = int(found["partner"][entry]), found["distance"][entry]
    if edge is None:
        same("partner", [partner], [-1], [name])
        same("distance", [distance], [np.nan], [name])
        return
    if not (0 <= partner < entry and found["stored"][partner]):
        raise Differs(f"{name}: its partner {partner} is no earlier ball")
    between = np.linalg.norm(evidence.points[entry] - evidence.points[partner])
    same("distance", [distance], [between], [name])
    same("gap to its partner", [between - found["radius_after"][partner]], [edge], [name], tolerance=3 * TOLERANCE)
