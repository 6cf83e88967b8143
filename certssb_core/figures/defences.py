"""Certified accuracy of several systems, each over what it certifies: budgets of different kinds share no axis."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from certssb_core.figures import theme

MARKED = 40
"""Steps of a curve up to which each has a marker."""
_DASHES = {"clean": "solid", "triggered": "dot"}


def budgets(table: pd.DataFrame, *, colours: dict[str, str]) -> go.Figure:
    """A panel per budget with an axis of its own.

    Args:
        table: columns ``series, budget, set, radius, count, n, share``, a falling staircase per series and set.
        colours: a colour per series.
    """
    panels = list(table["budget"].unique())
    rows = -(-len(panels) // 2)
    titles = [panel.replace(", ", ",<br>") for panel in panels]
    figure = make_subplots(
        rows=rows, cols=2, shared_yaxes=True, horizontal_spacing=0.06, vertical_spacing=0.24, subplot_titles=titles
    )
    for (series, budget, which), part in table.groupby(["series", "budget", "set"], sort=False):
        place = panels.index(budget)
        whole = (part["radius"] % 1 == 0).all()
        marked = whole and len(part) <= MARKED  # a count: markers show where it stands
        figure.add_scatter(
            x=part["radius"],
            y=100 * part["share"],
            customdata=part[["count", "n"]],
            name=f"{series}, {which}",
            legendgroup=series,
            mode="lines+markers" if marked else "lines",
            marker={"size": 8},
            line={"shape": "hv", "color": colours[series], "width": 3, "dash": _DASHES[which]},
            hovertemplate="%{x:.3g}: %{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
            row=1 + place // 2,
            col=1 + place % 2,
        )
        if whole:
            few = part["radius"].max() <= 12
            figure.update_xaxes(tickformat=",d", dtick=1 if few else None, row=1 + place // 2, col=1 + place % 2)
    theme.styled(figure, height=110 + 300 * rows)
    figure.update_annotations(font_size=theme.FONT_SIZE - 1)
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(range=[-2, 102])
    figure.update_yaxes(title_text="right and certified (%)", col=1)
    figure.update_layout(margin_t=150, legend_y=1.2 if rows == 1 else 1.13)
    return figure


def features(table: pd.DataFrame, *, keep: float) -> go.Figure:
    """Certified number of changed features and labels against the leading class's probability.

    Args:
        table: columns ``p_a_lower, features``, rising.
        keep: β.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=table["p_a_lower"],
        y=table["features"],
        name=f"β = {keep:.2f}",
        mode="lines+markers",
        marker={"size": 6},
        line={"shape": "hv", "color": theme.PURPLE, "width": 3},
        hovertemplate="p ≥ %{x:.3f}: %{y} certified",
    )
    theme.styled(
        figure, x="lower bound on the leading class's probability", y="features and labels", height=360, legend=False
    )
    few = table["features"].max() <= 12
    return figure.update_yaxes(rangemode="tozero", tickformat=",d", dtick=1 if few else None)
