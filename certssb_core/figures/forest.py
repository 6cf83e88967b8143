"""Differences to a baseline, one line per run: the estimate and its interval."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

ROW_PIXELS, FRAME_PIXELS = 26, 90


def differences(table: pd.DataFrame, *, x: str) -> go.Figure:
    """Draw a dot per run, with its interval, to the right or left of a line at 0.

    Args:
        table: columns ``series, difference, difference_low, difference_high``, the first row on top.
        x: what differs, with its unit.
    """
    shown = table.iloc[::-1]
    figure = go.Figure()
    figure.add_scatter(
        x=shown["difference"],
        y=[chart_text(name) for name in shown["series"]],
        mode="markers",
        marker={"size": 10, "color": theme.SKY},
        error_x={
            "type": "data",
            "array": shown["difference_high"] - shown["difference"],
            "arrayminus": shown["difference"] - shown["difference_low"],
            "color": theme.SKY,
            "thickness": 3,
            "width": 0,
        },
        customdata=shown[["difference_low", "difference_high"]],
        hovertemplate="%{y}: %{x:+.3g} (%{customdata[0]:+.3g} to %{customdata[1]:+.3g})<extra></extra>",
    )
    theme.vertical(figure, 0.0)
    theme.styled(figure, x=x, height=FRAME_PIXELS + ROW_PIXELS * len(table), legend=False)
    figure.update_yaxes(type="category", tickmode="linear", dtick=1)
    return figure
