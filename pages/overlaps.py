"""Overlaps: where certified balls conflict, and what the storage-update makes of it."""

import streamlit as st

from certssb_core.experiment import ledger as core
from certssb_core.experiment.run import Run
from certssb_core.figures import pairs
from ui import charts, controls, derived, one_pair, sandbox, state, text

FORMULAS = r"""
A certified input is an open ball: centre x, radius r, label. Two balls intersect when d < r₁ + r₂; with
different labels that is a **conflict**, for a point in both would have two answers. The storage-update lets
none in. A new input with prediction c and radius r, at distances $d_j$ from the balls of radius $r_j$
already stored:

- **1, disjoint**: no ball intersects: stored as it is.
- **2, same label**: only balls of label c intersect: stored as it is.
- **3a, trim**: a ball of another label intersects, x lies in none: $r \leftarrow \min_j (d_j - r_j)$.
- **3b, align**: x lies inside a ball of another label: it takes that label, $r \leftarrow r_j - d_j$.
"""
STATES = {"before": "before the storage-update", "after": "after it"}
KINDS = {"different": "of different label", "same": "of one label", "all": "all"}
COLUMNS = {
    "position": "arrival",
    "input": "input",
    "case": "case",
    "predicted": "predicted",
    "answered": "answered",
    "radius_before": st.column_config.NumberColumn("r before", format="%.3f"),
    "radius_after": st.column_config.NumberColumn("r after", format="%.3f"),
    "partner": "decided by ball",
    "distance": st.column_config.NumberColumn("at distance", format="%.3f"),
}


def all_pairs(run: Run) -> None:
    st.subheader("Every pair of balls", anchor=False)
    with st.container(horizontal=True):
        moment = controls.choose("Radii and labels", STATES, "before", key="moment")
        kind = controls.choose("Pairs", KINDS, "different", key="pairs")
    before, after = derived.survey(run, after=False), derived.survey(run, after=True)
    ledger = derived.ledger(run)
    found = before if moment == "before" else after
    names = list(ledger.loc[ledger["stored"], "input"])
    charts.show(
        pairs.distance_against_radii(found, pairs=kind, names=names),
        key="overlap-pairs",
        summary=f"All **{found.pairs:,}** pairs of {len(names):,} stored balls, binned; conflicts are points"
        + (f" (the deepest {len(found.first):,} are drawn)" if found.conflicts > len(found.first) else "")
        + f". Conflicts before the storage-update: **{before.conflicts:,}**, after it: "
        f"**{after.conflicts:,}**. {found.touching:,} pairs of one label intersect, which does no harm."
        " Click a point to open the pair.",
        table=core.closest(found, ledger),
        selection=True,
    )
    if click := charts.clicked("overlap-pairs"):
        one_pair.show(*(int(ledger.loc[ledger["input"] == name, "position"].iloc[0]) for name in click[2:]))


def the_ledger(run: Run) -> None:
    st.subheader("The ledger: one row per input, in order of arrival", anchor=False)
    ledger = derived.ledger(run)
    counts = ledger["case"].value_counts()
    charts.show(
        pairs.cases(counts),
        key="overlap-cases",
        summary=f"**{ledger['stored'].sum():,}** of {len(ledger):,} inputs became balls; the storage-update "
        f"changed **{ledger['case'].isin(['trimmed', 'aligned']).sum():,}** of them.",
        table=counts.rename_axis("case").reset_index(name="inputs"),
    )
    case = st.pills(
        "Show only",
        [case for case in pairs.CASES if case in counts.index],
        format_func=pairs.CASES.get,
        selection_mode="multi",
        key="case",
        bind="query-params",
    )
    shown = ledger[ledger["case"].isin(case)] if case else ledger
    st.caption(f"{len(shown):,} rows; tick one to open it below.")
    st.dataframe(
        shown.assign(case=shown["case"].map(pairs.CASES)),
        hide_index=True,
        height=300,
        column_order=COLUMNS,
        column_config=COLUMNS,
        key="ledger",
        on_select="rerun",
        selection_mode="single-row",
    )
    if (row := charts.ticked("ledger")) is not None:
        one_pair.show(int(shown["position"].iloc[row]))


text.page_header(
    "Overlaps",
    "Where do certified balls conflict, and what does the storage-update make of it?",
    FORMULAS,
    ["2504.21730", "2012.04351"],
)
if run := state.pick_run():
    all_pairs(run)
    the_ledger(run)
    one_pair.section(run)
sandbox.section()
