"""The section of the Overlaps page that draws any two balls in the plane through their centres."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from certssb_core.figures import ball_pair, pairs, theme
from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.results import store_ledger as core
from certssb_core.runs.run import Run
from certssb_core.store.store import Balls
from ui.kit import charts, controls, run_files, tables, text

PALETTE = (theme.SKY, theme.ORANGE, theme.PURPLE, theme.GREEN)  # the labels of two balls before and after
SIDE = 100  # pixels of a picture
PLACE = "two-balls"


def show(ball: int, other: int | None = None) -> None:
    """Make :func:`section` open this pair and come into view; to be called before it."""
    st.session_state["ball"], st.session_state["other"] = ball, other
    text.bring_into_view(PLACE)


def section(run: Run) -> None:
    """The ball in the URL's ``ball`` beside that in ``other``, or the one that decided its case."""
    with st.container(key=PLACE):
        _section(run)
    text.came_into_view(PLACE)


def _section(run: Run) -> None:
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
    drawn(run, balls, found, key="overlap-plane", summary=core.verdict(found))


def drawn(run: Run, balls: Balls, found: core.Pair, *, key: str, summary: str, certified: bool = True) -> None:
    """The plane through the two centres, before and after the storage-update, and both images beside it.

    Args:
        balls: hold both; key: of the chart.
        summary: Markdown, above the chart.
        certified: False where the radii are claims that nobody certified.
    """
    first, second = rows = found.first, found.second
    labels = (first["prediction"], second["prediction"], second["label"], first["label"])
    colours = dict(zip(dict.fromkeys(map(int, labels)), PALETTE, strict=False))
    left, right = st.columns([5, 2])
    with left:
        charts.show(
            ball_pair.pair(
                *(
                    ball_pair.Disc(
                        names=(
                            f"ball {row['position']}: {row['predicted']}",
                            f"ball {row['position']}: {row['answered']}",
                        ),
                        before=row["radius_before"],
                        after=row["radius_after"],
                        colours=(colours[int(row["prediction"])], colours[int(row["label"])]),
                        decides=_decides(row, other),
                    )
                    for row, other in (rows, rows[::-1])
                ),
                found.distance,
            ),
            key=key,
            summary=summary,
            summary_first=True,
            table=core.pair_table(found),
        )
    shape = tables.image_shape(run)
    for row in rows:
        with right:
            _image(run, balls, row, shape, certified=certified)


def _decides(one: pd.Series, other: pd.Series) -> bool:
    """True if the storage-update changed ``other``'s ball because of that of ``one``."""
    return bool(other["case"] in ("trimmed", "aligned") and other["partner"] == one["position"])


def _image(run: Run, balls: Balls, row: pd.Series, shape: tuple[int, ...] | None, *, certified: bool) -> None:
    """The centre of a ball as a picture, and beside it what is known about it."""
    changed = "" if row["label"] == row["prediction"] else f" → **{markdown_text(row['answered'])}**"
    lines = [
        f"**Ball {row['position']}**: {markdown_text(row['predicted'])}{changed}",
        row["input"],
        f"{pairs.CASES[row['case']]}, r {row['radius_before']:.3f} → **{row['radius_after']:.3f}**",
        tables.judged(run, row["set"], row["index"], int(row["label"]), certified=certified),
    ]
    beside, words = st.columns([SIDE, 2 * SIDE])
    if shape:
        centre = balls.centres[np.searchsorted(balls.ids, row["position"])]
        with beside:
            charts.pictures(
                [charts.Picture(picture(centre.reshape(shape), side=SIDE), "", alt=row["input"])], side=SIDE
            )
    with words:
        charts.words("  \n".join(filter(None, lines)))
