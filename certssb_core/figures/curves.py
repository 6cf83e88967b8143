"""Certified accuracy against the radius, and certified inputs against the number of poisoned images."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from certssb_core.figures import theme

_PANELS = {"clean": "Clean test images", "triggered": "Triggered test images"}
_DASHES = ("solid", "dash", "dot", "dashdot")
_MUTED = {
    "mode": "lines",
    "line": {"color": theme.translucent(theme.GREY, 0.5), "width": 1},
    "hoverinfo": "skip",
    "showlegend": False,
}


def colours(names: list[str]) -> dict[str, str]:
    """A colour per series: a mode standing alone keeps the colour it has on every page."""
    known = all(name in theme.COLOURS for name in names)
    return {name: theme.COLOURS[name] if known else theme.class_colour(place) for place, name in enumerate(names)}


def certified_accuracy(
    table: pd.DataFrame,
    *,
    colours: dict[str, str],
    published: pd.DataFrame | None = None,
    at: float | None = None,
    unit: str = "L2 pixel units",
    muted: Collection[str] = (),
) -> go.Figure:
    """Share of images with the true class and a radius above r, clean and triggered side by side.

    Args:
        table: columns ``series, set, radius, share, low, high, count, n`` (shares in [0, 1], ``low`` to
            ``high`` the 95 % interval), sorted by radius.
        colours: a colour per series; series also differ by dash.
        published: columns ``radius, share`` of the public release, drawn beside the clean curves.
        at: the radius under discussion, a dotted line.
        unit: of the radius.
        muted: series drawn thin and grey, without interval, legend or hover.
    """
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=list(_PANELS.values())
    )
    counts = (table["radius"] % 1 == 0).all()  # things are counted: markers show where the curve stands
    for position, series in enumerate(table["series"].unique()):
        for column, name in enumerate(_PANELS, start=1):
            rows = table[(table["series"] == series) & (table["set"] == name)]
            if series in muted:
                figure.add_scatter(x=rows["radius"], y=100 * rows["share"], row=1, col=column, **_MUTED)
                continue
            figure.add_scatter(
                x=np.concatenate([rows["radius"], rows["radius"][::-1]]),
                y=100 * np.concatenate([rows["high"], rows["low"][::-1]]),
                fill="toself",
                fillcolor=theme.translucent(colours[series], 0.12),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=series,
                row=1,
                col=column,
            )
            figure.add_scatter(
                x=rows["radius"],
                y=100 * rows["share"],
                customdata=rows[["count", "n"]],
                name=series,
                legendgroup=series,
                showlegend=column == 1,
                mode="lines+markers" if counts else "lines",
                marker={"size": 9},
                line={"color": colours[series], "width": 3, "dash": _DASHES[position % len(_DASHES)]},
                hovertemplate="r = %{x:.2f}: %{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
                row=1,
                col=column,
            )
    if published is not None:
        figure.add_scatter(
            x=published["radius"],
            y=100 * published["share"],
            name="original paper's code (not a certificate)",
            mode="markers",
            marker={
                "symbol": "diamond-open",
                "size": 13,
                "color": theme.COLOURS["published"],
                "line": {"width": 3},
            },
            hovertemplate="r = %{x:.2f}: %{y:.2f} %",
            row=1,
            col=1,
        )
    theme.styled(figure, x=f"radius r ({unit})", height=470)
    if at is not None:
        theme.vertical(figure, at, panels=len(_PANELS))
    figure.update_annotations(font_size=theme.FONT_SIZE)
    if counts:
        figure.update_xaxes(tickformat=",d", dtick=1 if table["radius"].max() <= 12 else None)
    figure.update_yaxes(range=[-2, 102])
    figure.update_yaxes(title_text="right and radius > r (%)", col=1)
    figure.update_layout(hovermode="x unified", margin_t=96, legend_y=1.12)
    return figure


def budget(table: pd.DataFrame, *, colours: dict[str, str], images: int, muted: Collection[str] = ()) -> go.Figure:
    """Share of test inputs certified up to n poisoned training images.

    Args:
        table: columns ``series, images, share, count, n``; sorted by images.
        colours: a colour per series.
        images: the n under discussion, a dotted line.
        muted: series drawn thin and grey, without legend or hover.
    """
    figure = go.Figure()
    for position, series in enumerate(table["series"].unique()):
        rows = table[table["series"] == series]
        if series in muted:
            figure.add_scatter(x=rows["images"], y=100 * rows["share"], **_MUTED)
            continue
        figure.add_scatter(
            x=rows["images"],
            y=100 * rows["share"],
            customdata=rows[["count", "n"]],
            name=series,
            mode="lines",
            line={
                "shape": "hv",
                "color": colours[series],
                "width": 3,
                "dash": _DASHES[position % len(_DASHES)],
            },
            hovertemplate="%{x} images: %{y:.1f} % (%{customdata[0]} of %{customdata[1]})",
        )
    theme.vertical(figure, images)
    theme.styled(figure, x="poisoned training images n", y="test inputs certified (%)", height=360)
    figure.update_xaxes(rangemode="tozero", tickformat=",d", dtick=1 if table["images"].max() <= 12 else None)
    figure.update_yaxes(range=[-2, 102])
    figure.update_layout(hovermode="x unified")
    return figure
