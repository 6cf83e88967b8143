"""Overlaps: where certified balls conflict, and how the store resolves it."""

import streamlit as st

from certssb_core.figures import pairs
from certssb_core.runs.run import Run
from ui.kit import charts, controls, run_files, tables, text, view_as_code
from ui.overlaps import ball_charts, meeting_balls, nearest_ball, one_pair, sandbox

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
VIEWS = {"store": "the store of a run", "sandbox": sandbox.TITLE}
LEDGER_ROWS = 1000  # on screen at once
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
        moment = controls.choose("Radii and labels", ball_charts.STATES, "before", key="moment")
        kind = controls.choose("Pairs", ball_charts.KINDS, "different", key="pairs")
    ball_charts.all_pairs(run, moment, kind)
    if click := charts.clicked("overlap-pairs"):
        ledger = tables.ledger(run)
        one_pair.show(*(int(ledger.loc[ledger["input"] == name, "position"].iloc[0]) for name in click[2:]))
    view_as_code.show(view_as_code.all_pairs(run, moment, kind))


def the_ledger(run: Run) -> None:
    st.subheader("The ledger: one row per input, in order of arrival", anchor=False)
    ball_charts.cases(tables.ledger(run))
    ledger = tables.ledger(run)
    case = st.pills(
        "Show only",
        [case for case in pairs.CASES if case in set(ledger["case"])],
        format_func=pairs.CASES.get,
        selection_mode="multi",
        key="case",
        bind="query-params",
    )
    shown = ledger[ledger["case"].isin(case)] if case else ledger
    st.caption(f"{len(shown):,} rows; tick one to open it below.")
    shown = controls.page(shown, LEDGER_ROWS, key="ledger-page")
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
    if (row := charts.ticked("ledger")) is not None and row < len(shown):
        one_pair.show(int(shown["position"].iloc[row]))


text.page_header(
    "overlaps",
    FORMULAS,
    ["2504.21730", "2012.04351"],
)
first, second, third = st.columns([9, 5, 8], vertical_alignment="bottom")
with first:
    view = controls.choose("Look at", VIEWS, "store", key="view")
if view == "sandbox":
    sandbox.section()
else:
    with second:
        run = run_files.pick_run(balls=True, title=third)
    if run:
        if some_balls := len(run_files.balls_and_ledger(run)[0].ids) > 0:
            meeting_balls.section(run)
            if run_files.fixed(run):
                st.caption("Balls are those of the members' own certificates; the fixed ensemble stores nothing.")
            all_pairs(run)
        else:
            text.no_balls(run)
        the_ledger(run)
        if some_balls:
            one_pair.section(run)
        nearest_ball.section(run)
