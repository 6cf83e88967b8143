"""A study's trials: what they trade against each other, which setting matters, and how the good ones are set."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

_TITLE_WIDTH = 14
FRONT, OTHERS = "on the Pareto front", "beaten by another trial"
_LOOK = {
    OTHERS: {"symbol": "circle", "color": theme.GREY, "size": 11, "opacity": 0.7},
    FRONT: {"symbol": "diamond", "color": theme.ORANGE, "size": 16},
}


def pareto(table: pd.DataFrame, *, x: str, y: str, x_title: str, y_title: str, x_maximised: bool) -> go.Figure:
    """Every finished trial as a point, and the front as a staircase: what lies on its worse side is beaten.

    Args:
        table: columns ``run``, ``front`` (bool), ``about`` (what the trial was set to) and those of the two
            objectives; no NaN.
        x: column of the horizontal axis.
        y: column of the vertical axis.
        x_title: with its unit.
        y_title: with its unit.
        x_maximised: whether more is better along x; decides on which side of a point its stair begins.
    """
    figure = go.Figure()
    front = table[table["front"]].sort_values([x, y])
    figure.add_scatter(
        x=front[x],
        y=front[y],
        mode="lines",
        line={"shape": "vh" if x_maximised else "hv", "color": theme.ORANGE, "width": 2, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, look in _LOOK.items():
        rows = table[table["front"] == (name == FRONT)]
        figure.add_scatter(
            x=rows[x],
            y=rows[y],
            customdata=rows[["run", "about"]],
            name=name,
            mode="markers",
            marker=look | {"line": {"color": theme.INK, "width": 1}},
            hovertemplate="<b>%{customdata[0]}</b>: %{x:.4g}, %{y:.4g}<br>%{customdata[1]}<extra></extra>",
        )
    return theme.styled(figure, x=x_title, y=y_title, height=440)


def importance(table: pd.DataFrame, *, titles: dict[str, str]) -> go.Figure:
    """Share of each objective's variance that a setting explains.

    Args:
        table: columns ``objective, setting, share`` (in [0, 1]).
        titles: of the objectives, in the order of their bars.
    """
    figure = go.Figure()
    settings = table.groupby("setting")["share"].mean().sort_values().index
    for place, (objective, title) in enumerate(titles.items()):
        rows = table[table["objective"] == objective].set_index("setting")["share"].reindex(settings)
        if rows.notna().any():
            figure.add_bar(
                x=100 * rows,
                y=list(settings),
                name=title,
                orientation="h",
                marker_color=theme.class_colour(place),
                hovertemplate="%{y}: %{x:.0f} %",
            )
    theme.styled(figure, x="share of the variance explained (%)", height=120 + 56 * len(settings))
    figure.update_xaxes(range=[0, 102])
    return figure


def parallel(table: pd.DataFrame, *, axes: Sequence[str], titles: dict[str, str], log: Sequence[str] = ()) -> go.Figure:
    """Each trial as a line through its settings and its values, the front on top.

    Lines of ordinary scatter traces, not Plotly's own parallel coordinates: those need WebGL, and put a white
    shadow around their text.

    Args:
        table: columns ``run``, ``front`` (bool), ``about`` and all ``axes``; numbers, or words where a column is
            of objects; no NaN.
        axes: columns from left to right.
        titles: what stands above an axis.
        log: the axes with a logarithmic scale.
    """
    figure = go.Figure()
    heights, places = np.empty((len(table), len(axes))), list(range(len(axes)))
    for place, axis in enumerate(axes):
        heights[:, place], ticks = _scaled(table[axis], logarithmic=axis in log)
        figure.add_shape(x0=place, x1=place, y0=0, y1=1, line={"color": theme.INK, "width": 1.5})
        title = "<br>".join(textwrap.wrap(titles[axis], _TITLE_WIDTH))
        figure.add_annotation(x=place, y=1.1, yanchor="bottom", text=f"<b>{title}</b>", showarrow=False)
        for height, words in ticks:
            # Above, below and, for words, beside the crossing: lines must not run through text.
            shift = 22 if height == 1 else -22 if height == 0 else 14
            figure.add_annotation(
                x=place, y=height, yshift=shift, text=words, showarrow=False, font_size=theme.FONT_SIZE - 2
            )
    for name, look in _LOOK.items():
        shown = True
        for position in np.flatnonzero(table["front"].to_numpy() == (name == FRONT)):
            row = table.iloc[position]
            figure.add_scatter(
                x=places,
                y=heights[position],
                name=name,
                legendgroup=name,
                showlegend=shown,
                mode="lines+markers",
                line={"color": look["color"], "width": 2.5 if name == FRONT else 1.5},
                marker={"symbol": look["symbol"], "size": 8},
                opacity=1 if name == FRONT else 0.55,
                customdata=[row["run"]] * len(places),
                hovertemplate=f"<b>{row['run']}</b><br>{chart_text(row['about'])}<extra></extra>",
            )
            shown = False
    theme.styled(figure, height=460)
    figure.update_xaxes(visible=False, range=[-0.45, len(axes) - 0.55])
    figure.update_yaxes(visible=False, range=[-0.12, 1.28])
    return figure


def _scaled(values: pd.Series, *, logarithmic: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights in [0, 1] for a column, and its ticks as (height, words)."""
    if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
        words = sorted(values.unique())
        heights = {word: (place + 0.5) / len(words) for place, word in enumerate(words)}
        return values.map(heights).to_numpy(float), [(height, word) for word, height in heights.items()]
    numbers = values.to_numpy(float)
    low, high = numbers.min(), numbers.max()
    if low == high:
        return np.full(len(numbers), 0.5), [(0.5, f"{low:.3g}")]
    scale = np.log if logarithmic else np.asarray
    heights = (scale(numbers) - scale(low)) / (scale(high) - scale(low))
    return heights, [(0, f"{low:.3g}"), (1, f"{high:.3g}")]
