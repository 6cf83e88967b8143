"""The opening section of the Overlaps page: balls of real images that meet, and what the store makes of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from certssb_core.figures import pairs
from certssb_core.plain_text import markdown_text
from certssb_core.results import conflicts as core
from certssb_core.results import store_ledger
from certssb_core.runs.run import Run
from certssb_core.store.store import Balls
from ui.kit import charts, controls, tables, text
from ui.overlaps import one_pair, stream_maker

SOURCES = {
    "stream": "a stream of queries",
    "stretch": "the run's own balls, stretched",
    "members": "with more members",
}
TIMES = (1, 10, 100, 1_000, 10_000)
"""So many times as many members as have voted."""
FARTHEST = 4.0
"""Largest factor by which radii are stretched."""
Row = st.delta_generator.DeltaGenerator


def section(run: Run) -> None:
    """Pairs of real images whose balls meet: in a stream of queries, or among the run's balls at claimed radii."""
    row, there = st.container(horizontal=True, vertical_alignment="bottom"), run.stream_path.exists()
    with row:
        source = controls.choose("Conflicts in", SOURCES, "stream" if there else "stretch", key="meet")
    if source != "stream":
        _claims(run, row, source)
    elif there:
        _stream(run, row)
    else:
        stream_maker.offer(run)


def _stream(run: Run, row: Row) -> None:
    """One query after the other, as it comes to the store."""
    _, ledger = tables.stream(run)
    found = core.conflicts(ledger)
    with row:
        at = _step("Query", len(ledger), key="arrival", start=1 + (store_ledger.boldest_changed(ledger) or 0))
        if len(found):
            st.button("Next conflict", on_click=_go_on, args=(found, at), icon=":material/skip_next:")
    arrival(run, at)
    counts = ledger["case"].value_counts()
    cases = (f"{counts[case]} × *{words}*" for case, words in pairs.CASES.items() if case in counts)
    st.caption(
        f"The stream: {len(ledger)} images on the way from one answer to another came to an empty store. The votes of "
        f"{run.config.training.members:,} members certified each of them: {', '.join(cases)}."
    )


def _claims(run: Run, row: Row, source: str) -> None:
    """The run's own balls at larger radii: all stretched by one factor, or as more members might have certified."""
    claims = tables.survey(run, after=False)
    factor = core.meeting_factor(claims)
    if factor is None:
        text.empty("No two stored balls have different labels, so none can meet.")
        return
    with row:
        balls, ledger, told = _stretched(run) if source == "stretch" else _extrapolated(run)
    found = core.conflicts(ledger)
    many = int(tables.ledger(run)["stored"].sum() > store_ledger.SURVEYED)
    first = f" among the first {store_ledger.SURVEYED:,}" * many
    apart = f"The nearest two balls of different label{first} are **{factor:.2f} times too far apart** to meet."
    changes = f"The store changes **{len(found):,}** of {len(ledger):,} balls."
    if told:
        st.warning(f"Nobody certified these claims: {told} {apart} {changes}", icon=":material/warning:")
    elif found:
        st.info(f"These radii are as certified. {changes}")
    else:
        st.success(f"These radii are as certified. {apart} Move the slider to see what the store prevents.")
    position = store_ledger.most_telling(ledger, claims)
    if found:
        with row:
            position = found[_step("Conflict", len(found), key="conflict", start=1) - 1]
    _two_balls(run, balls, ledger, position, certified=not told)


Claims = tuple[Balls, pd.DataFrame, str]
"""Balls and ledger of a store that was sent claims, and the reason why nobody certified them; empty if somebody did."""


def _stretched(run: Run) -> Claims:
    """Let the reader stretch every radius by one factor."""
    factor = st.slider("Stretch radii by", 1.0, FARTHEST, 1.0, 0.05, key="stretched", bind="query-params")
    told = f"every radius is overstated **{factor:g} times**." if factor > 1 else ""
    return *tables.stretched(run, factor), told


def _extrapolated(run: Run) -> Claims:
    """Let the reader choose how many members vote, in the shares that the run's own members voted."""
    members = run.config.training.members
    choices = [times * members for times in TIMES]
    chosen = st.select_slider(
        "Members, if they voted in the same shares",
        choices,
        format_func="{:,}".format,
        key="voters",
        bind="query-params",
    )
    told = f"**{chosen:,}** members would have to vote in the shares that {members:,} did." if chosen > members else ""
    return *tables.extrapolated(run, chosen // members), told


def arrival(run: Run, at: int) -> None:
    """Query number ``at`` of the run's stream, from 1, beside the ball that decided its case."""
    balls, ledger = tables.stream(run)
    _two_balls(run, balls.before(at), ledger, at - 1)


def _two_balls(run: Run, balls: Balls, ledger: pd.DataFrame, position: int, *, certified: bool = True) -> None:
    """The input that came at ``position`` beside the ball that decided its case, or the nearest of another label."""
    row = ledger.set_index("position", drop=False).loc[position]
    found = store_ledger.pair(balls, ledger, position)
    partner = found.second if found and pd.notna(row["partner"]) else None
    words = f"**{pairs.CASES[row['case']].capitalize()}.** {markdown_text(core.in_words(row, partner))}"
    if found is None:
        charts.words(words)
        text.empty("There is no ball of another label yet: go on to a later query.")
        return
    one_pair.drawn(run, balls, found, key="conflict-plane", summary=words, certified=certified)


def _step(label: str, count: int, *, key: str, start: int) -> int:
    """A number of a list, from 1 to ``count``."""
    if st.session_state.get(key, start) not in range(1, count + 1):
        st.session_state[key] = start
    return st.slider(label, 1, count, start, key=key, bind="query-params") if count > 1 else 1


def _go_on(found: list[int], at: int) -> None:
    """Open the next conflict after query number ``at``; after the last one the first."""
    st.session_state["arrival"] = 1 + next((position for position in found if position >= at), found[0])
