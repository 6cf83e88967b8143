"""Checks of the fixed ensemble: its votes counted, bounded and measured again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from certssb_core.errors import NotPossible
from certssb_core.runs.inputs import SETS
from certssb_core.verification import recompute
from certssb_core.verification.bounds import BOUNDS, Ballots
from certssb_core.verification.evidence import Evidence, flat, same


def draws(evidence: Evidence) -> str:
    """Compare fixed.json with the votes of every draw, at the levels that the run's own certificates have."""
    path = evidence.run.path / "fixed.json"
    told, arrays, config = json.loads(path.read_text(encoding="utf-8")), evidence.run.arrays("fixed"), evidence.config
    if told["bound"] not in BOUNDS:
        raise NotPossible(f"the bound {told['bound']} has no independent re-verification")
    same(
        "seed and jury", [arrays["seed"].item(), arrays["jury"].item()], [told["seed"], told["jury"]], ["seed", "jury"]
    )
    tables = []
    for test_set in SETS:
        rows = evidence.table[evidence.table["set"] == test_set].reset_index(drop=True)
        votes, names = arrays[f"votes/{test_set}"], evidence.rows[(evidence.table["set"] == test_set).to_numpy()]
        same("draws", [len(votes)], [told["draws"]], ["fixed.safetensors"])
        same("sigma", arrays[f"sigma/{test_set}"], rows["sigma"], names)
        drawn = evidence.votes.get(f"draws/{test_set}")
        ballots = Ballots(votes, arrays[f"softmax/{test_set}"], len(evidence.vote_columns), drawn)
        found = BOUNDS[told["bound"]](ballots, told["alpha"])
        counts = pd.DataFrame(ballots.counts, columns=evidence.vote_columns)
        table = pd.concat([rows[["set", "index", "label", "sigma"]], counts, found], axis=1)
        margin = recompute.margins(*(found[name].to_numpy() for name in ("prediction", "p_a_lower", "p_b_upper")))
        tables.append(table.assign(radius=margin * table["sigma"].to_numpy()))
    again = recompute.metrics(pd.concat(tables), **config.attack.aim, radii=config.certification.radii)
    recorded, recomputed = flat(told), flat(again)
    for name, value in recomputed.items():
        same(name, [recorded.get(name, np.nan)], [value], ["fixed.json"])
    return f"{told['draws']:,} draws per input give the {len(recomputed)} figures of fixed.json"
