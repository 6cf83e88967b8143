"""The section of the Overlaps page that draws any two balls in the plane through their centres."""

from __future__ import annotations

import streamlit as st

from certssb_core.figures import ball_pair, pairs, theme
from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.results import store_ledger as core
from certssb_core.runs.run import Run
from ui.kit import charts, controls, run_files, tables, text


def show(ball: int, other: int | None = None) -> None:
    """Make :func:`section` open this pair; to be called before it."""
    st.session_state["ball"], st.session_state["other"] = ball, other


def section(run: Run) -> None:
    """The ball in the URL's ``ball`` beside that in ``other``, or the one that decided its case."""
    st.subheader("Two balls, drawn exactly", anchor=False)
    ledger = tables.ledger(run)
    left, right = st.columns(2)
    with left:
        ball = controls.position(
            "Ball (arrival)",
            len(ledger),
            key="ball",
            start=core.most_telling(ledger, tables.survey(run, after=False)),
        )
    other = right.number_input(
        "Beside ball",
        0,
        len(ledger) - 1,
        None,
        key="other",
        bind="query-params",
        placeholder="the one that decided, else the closest of another label",
    )
    view(run, ball, other)


def view(run: Run, ball: int, other: int | None = None) -> None:
    """Both images and the plane through the two centres; ``other`` is by default the ball that decided."""
    balls, _ = run_files.balls_and_ledger(run)
    ledger = tables.ledger(run)
    found = core.pair(balls, ledger, ball, other)
    if found is None:
        entry = ledger.iloc[ball]
        text.empty(f"{entry['input'].capitalize()} or the other input was not certified, so it has no ball.")
        return
    colours = (
        theme.SKY,
        theme.SKY if found.first["prediction"] == found.second["prediction"] else theme.VERMILION,
    )
    for column, row in zip(st.columns(2), (found.first, found.second), strict=True):
        changed = "" if row["label"] == row["prediction"] else f", answered {markdown_text(row['answered'])}"
        column.markdown(
            f"**{row['input']}**, predicted {markdown_text(row['predicted'])}{changed} · {pairs.CASES[row['case']]} · "
            f"r {row['radius_before']:.3f} → **{row['radius_after']:.3f}**"
        )
        column.markdown(tables.judged(run, row["set"], row["index"], int(row["label"])))
        pixels = tables.picture_of(run, row["set"], row["index"])
        if pixels is not None:
            column.image(picture(pixels, side=240), alt=row["input"], width=240)
    charts.show(
        ball_pair.pair(
            *(
                ball_pair.Disc(row["input"], colour, row["radius_before"], row["radius_after"])
                for row, colour in zip((found.first, found.second), colours, strict=True)
            ),
            found.distance,
        ),
        key="overlap-plane",
        summary=core.verdict(found) + " The plane through both centres cuts each ball in a disc of its own radius.",
        table=core.pair_table(found),
    )
