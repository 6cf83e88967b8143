"""Show a chart: the figure, one sentence that says what it shows, the table behind it, downloads."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

TOOLS_LEFT_OUT = ["lasso2d", "select2d", "autoScale2d", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d"]
"""A drag zooms and a double click goes back, so that the toolbar can be short and cover nothing."""
UNSELECTED = 0.6
"""Opacity of the points that a click did not select."""
LISTED = 1000
"""Rows of the table behind a chart that are shown; the download has all of them."""


_PREFIX: ContextVar[str] = ContextVar("prefix of the keys of charts", default="")


@dataclass(frozen=True)
class Piece:
    """A part of a view, kept instead of drawn: a figure or HTML of pictures, and words in Markdown."""

    figure: go.Figure | None = None
    html: str = ""
    words: str = ""


_RECORD: ContextVar[list[Piece] | None] = ContextVar("pieces kept instead of drawn", default=None)


@contextmanager
def recorded() -> Iterator[list[Piece]]:
    """Keep the charts, pictures and words of one block instead of drawing them."""
    pieces: list[Piece] = []
    token = _RECORD.set(pieces)
    try:
        yield pieces
    finally:
        _RECORD.reset(token)


def recording() -> bool:
    """Tell whether views are kept instead of drawn."""
    return _RECORD.get() is not None


@contextmanager
def keys_begin_with(prefix: str) -> Iterator[None]:
    """Give the charts of one block keys of their own, so that a page may show one kind of chart twice."""
    token = _PREFIX.set(prefix)
    try:
        yield
    finally:
        _PREFIX.reset(token)


def show(
    figure: go.Figure,
    *,
    key: str,
    summary: str,
    table: pd.DataFrame,
    selection: bool = False,
    summary_first: bool = False,
) -> dict[str, Any] | None:
    """Show ``figure`` with its summary, table and downloads.

    Args:
        figure: a figure of :mod:`certssb_core.figures`.
        key: unique on the page; also the stem of the downloaded files.
        summary: one sentence with the numbers that matter; read aloud by a screen reader.
        table: the data behind the figure.
        selection: whether a click on a point reruns the page.
        summary_first: write the sentence above the figure, where it must not fall below the fold.

    Returns:
        Streamlit's selection (``{"points": [...], "point_indices": [...], ...}``) when ``selection`` is
        on and something is selected, else None.
    """
    if (record := _RECORD.get()) is not None:
        record.append(Piece(figure=figure, words=summary))
        return None
    key = _PREFIX.get() + key
    if selection:
        _keep_the_rest_visible(figure)
    if summary_first:
        st.markdown(summary)
    event = st.plotly_chart(
        figure,
        key=key,
        on_select="rerun" if selection else "ignore",
        selection_mode="points",
        config={"displaylogo": False, "modeBarButtonsToRemove": TOOLS_LEFT_OUT},
        alt=summary,
    )
    if not summary_first:
        st.markdown(summary)
    picked = selection and event.selection.points
    if picked:
        st.caption("Double-click the chart to clear the selection.")
    with st.expander("Data and downloads", icon=":material/table_rows:"):
        st.dataframe(table.head(LISTED), hide_index=True, height=min(36 * (len(table) + 1), 280))
        if len(table) > LISTED:
            st.caption(f"The first {LISTED:,} of {len(table):,} rows; the CSV file has all of them.")
        with st.container(horizontal=True):
            download("Data (CSV)", lambda: table.to_csv(index=False), f"{key}.csv", "text/csv")
            download("Figure (HTML)", lambda: figure.to_html(include_plotlyjs=True), f"{key}.html", "text/html")
    return event.selection if picked else None


def still(figure: go.Figure, *, key: str, summary: str) -> None:
    """Show a figure that follows what happens: nothing to click, no downloads; ``summary`` is read aloud."""
    st.plotly_chart(figure, key=key, config={"displayModeBar": False, "staticPlot": True}, alt=summary)


def _keep_the_rest_visible(figure: go.Figure) -> None:
    """Points that are not selected fade a little only: plotly would nearly hide them."""
    for trace in figure.data:
        if trace.type in ("scatter", "scattergl", "bar") and trace.unselected.marker.opacity is None:
            trace.unselected = {"marker": {"opacity": UNSELECTED}}


@dataclass(frozen=True)
class Picture:
    """One image of a sheet.

    Attributes:
        source: a data URI.
        caption: plain text, also read aloud.
        alt: read aloud in its place, where what is said stands elsewhere.
        marked: framed.
    """

    source: str
    caption: str
    marked: bool = False
    alt: str = ""


def pictures(sheet: Sequence[Picture], *, side: int) -> None:
    """Show images beside each other, each with its caption.

    Args:
        side: in CSS pixels; few large ones shrink to stay in one row.
    """
    written = picture_sheet(sheet, side=side)
    if (record := _RECORD.get()) is not None:
        record.append(Piece(html=written))
    else:
        st.html(written)


def picture_sheet(sheet: Sequence[Picture], *, side: int) -> str:
    """The HTML of :func:`pictures`; captions are text, never markup."""
    figures = (
        f'<figure{" class=marked" if one.marked else ""} style="width: {side}px"><img src="{html.escape(one.source)}" '
        f'alt="{html.escape(one.alt or one.caption)}"><figcaption>{html.escape(one.caption)}</figcaption></figure>'
        for one in sheet
    )
    return f'<div class="picture-sheet{" in-a-row" if len(sheet) < 4 else ""}">{"".join(figures)}</div>'


def words(markdown: str) -> None:
    """Show a sentence that belongs to a chart or to pictures."""
    if (record := _RECORD.get()) is not None:
        record.append(Piece(words=markdown))
    else:
        st.markdown(markdown)


def clicked(key: str) -> Any:
    """``customdata`` of a point of the chart ``key`` that was clicked since the last run of the page, else None.

    Asked before the controls that a click sets: their state may not change once they are drawn. A click
    counts once; afterwards the controls go their own way.
    """
    selection = st.session_state.get(key, {}).get("selection", {})
    points = selection.get("points", [])
    fresh = bool(points) and points != st.session_state.get(f"{key}-seen")
    st.session_state[f"{key}-seen"] = points
    return points[0].get("customdata") if fresh else None


def ticked(key: str) -> int | None:
    """Row of the table ``key`` that was ticked since the last run of the page; as :func:`clicked`."""
    rows = st.session_state.get(key, {}).get("selection", {}).get("rows", [])
    fresh = bool(rows) and rows != st.session_state.get(f"{key}-seen")
    st.session_state[f"{key}-seen"] = rows
    return rows[0] if fresh else None


def download(label: str, make: Any, file_name: str, mime: str) -> None:
    """A download whose content is made when it is asked for: a figure with its script weighs megabytes."""
    st.download_button(
        label, make, file_name, mime, key=f"download-{file_name}", on_click="ignore", icon=":material/download:"
    )
