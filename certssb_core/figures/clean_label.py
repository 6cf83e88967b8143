"""Clean-label attacks: success undefended and defended, side by side."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme

COLOURS = {"none": theme.COLOURS["triggered"], "diffusion denoising": theme.COLOURS["clean"]}


def success(table: pd.DataFrame) -> go.Figure:
    """Bars of attack success with Wilson's 95 % interval, a pair per attack.

    Args:
        table: columns ``attack, defence, success, low, high, count, n``.
    """
    figure = go.Figure()
    for defence, rows in table.groupby("defence", sort=False):
        figure.add_bar(
            x=rows["attack"],
            y=100 * rows["success"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": 100 * (rows["high"] - rows["success"]),
                "arrayminus": 100 * (rows["success"] - rows["low"]),
                "thickness": 1.5,
                "color": theme.INK,
            },
            customdata=rows[["count", "n"]],
            name="no defence" if defence == "none" else defence,
            marker={"color": COLOURS[defence], "pattern": {"shape": "" if defence == "none" else "/"}},
            hovertemplate="%{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
        )
    theme.styled(figure, y="attack success rate (%)", height=430)
    figure.update_yaxes(range=[0, 104])
    return figure.update_layout(barmode="group", bargap=0.25)
