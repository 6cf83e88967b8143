"""Charts of a run's store: all pairs of its balls, and how often each case of the storage-update occurred."""

from __future__ import annotations

import pandas as pd

from certssb_core.figures import pairs
from certssb_core.results import store_ledger as core
from certssb_core.runs.run import Run
from ui.kit import charts, tables

STATES = {"before": "before the storage-update", "after": "after it"}
KINDS = {"different": "of different label", "same": "of one label", "all": "all"}


def all_pairs(run: Run, moment: str, kind: str, *, clickable: bool = True) -> None:
    """Every pair of balls: distance against the sum of radii."""
    before, after = tables.survey(run, after=False), tables.survey(run, after=True)
    ledger = tables.ledger(run)
    found = before if moment == "before" else after
    names = list(ledger.loc[ledger["stored"], "input"])
    balls = f"the first {core.SURVEYED:,} of " * (len(names) > core.SURVEYED) + f"{len(names):,} stored balls"
    charts.show(
        pairs.distance_against_radii(found, pairs=kind, names=names),
        key="overlap-pairs",
        summary=f"All **{found.pairs:,}** pairs of {balls}, binned; dots are conflicts"
        + (f" (the deepest {len(found.first):,} are drawn)" if found.conflicts > len(found.first) else "")
        + f". Conflicts before the storage-update: **{before.conflicts:,}**, after it: "
        f"**{after.conflicts:,}**. {found.touching:,} pairs of one label intersect, which does no harm."
        + (" Click a point to open the pair." if clickable else ""),
        table=core.closest(found, ledger),
        selection=clickable,
    )


def cases(ledger: pd.DataFrame) -> None:
    """Count the inputs that met each case; ``ledger`` has a row per input."""
    counts = ledger["case"].value_counts()
    charts.show(
        pairs.cases(counts),
        key="overlap-cases",
        summary=f"**{ledger['stored'].sum():,}** of {len(ledger):,} inputs became balls; the storage-update "
        f"changed **{ledger['case'].isin(['trimmed', 'aligned']).sum():,}** of them.",
        table=counts.rename_axis("case").reset_index(name="inputs"),
    )
