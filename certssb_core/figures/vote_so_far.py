"""A run at work: how the vote of its members develops."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme


def vote_so_far(table: pd.DataFrame, *, members: int) -> go.Figure:
    """Share of right votes against the number of members.

    Args:
        table: columns ``members, set, share``.
        members: number that the run will have.
    """
    figure = go.Figure()
    for name, rows in table.groupby("set", sort=False):
        figure.add_scatter(
            x=rows["members"],
            y=100 * rows["share"],
            name=f"{name} test images",
            mode="lines+markers",
            line={"color": theme.COLOURS[name], "width": 3},
            hovertemplate="%{x} members: %{y:.1f} %",
        )
    theme.styled(figure, x="members", y="right (%)", height=280)
    figure.update_xaxes(range=[0, members * 1.02])
    figure.update_yaxes(range=[-2, 102])
    return figure
