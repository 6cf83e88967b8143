"""Effect of the order of arrival: one point per order, area answered against wrong answers."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme

_MARKS = {"as they came": ("diamond", theme.GREEN), "attacker first": ("star", theme.ORANGE)}


def spread(table: pd.DataFrame) -> go.Figure:
    """Every order's outcome; shuffles with the same outcome are one larger point.

    Args:
        table: columns ``order, shuffle, answered, wrong`` at least, of
            :func:`certssb_core.sandbox.scene.over_orders`.
    """
    figure = go.Figure()
    # The single orders last: they are drawn over the shuffles.
    for order, rows in sorted(table.groupby("order", sort=False), key=lambda group: -len(group[1])):
        outcomes = rows.groupby([rows["answered"].round(3), "wrong"]).size().reset_index(name="orders")
        symbol, colour = _MARKS.get(order, ("circle", theme.SKY))
        figure.add_scatter(
            x=outcomes["answered"],
            y=outcomes["wrong"],
            customdata=outcomes["orders"],
            name=order if len(rows) == 1 else f"{order}, {len(rows)} times",
            mode="markers",
            marker={
                "symbol": symbol,
                "color": colour,
                "opacity": 0.75,
                "size": 9 + 3 * outcomes["orders"] ** 0.5 if len(rows) > 1 else 17,
                "line": {"color": theme.INK, "width": 1},
            },
            hovertemplate="area answered %{x:.3f}, wrong answers %{y}: %{customdata} orders",
        )
    theme.styled(figure, x="area answered (squared units of the plane)", y="honest inputs answered wrong", height=340)
    figure.update_yaxes(rangemode="tozero", tickformat=",d", dtick=1 if table["wrong"].max() <= 10 else None)
    return figure
