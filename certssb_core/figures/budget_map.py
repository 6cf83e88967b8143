"""Certified accuracy over n changed training images and the norm τ of a change: a heat map per system."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

_SCALE = [[0, theme.NAVY], [0.5, theme.BLUE], [0.9, theme.SKY], [1, theme.CREAM]]
_IN_CELLS = 12
"""Values of n up to which a cell holds its share in figures."""


def budget_map(
    table: pd.DataFrame,
    *,
    planted: tuple[int, float] | None = None,
    images: str = "n training images changed",
    norm: str = "norm τ",
) -> go.Figure:
    """A panel per series, all in one scale of colours; cells are equally large whatever their numbers.

    Args:
        table: columns ``series, images, norm, count, n, share``: inputs certified right, for every pair of the grid of
            a series. A missing pair stays empty: the certificate does not speak of it.
        planted: images and norm of the attack as it was planted, a frame around its cell, or between cells where the
            grid lacks it; None: it lies on no panel.
        images, norm: words for the axes and for what is under the pointer.
    """
    names = list(table["series"].unique())
    across = min(len(names), 2 if len(names) < 5 else 3)
    down = -(-len(names) // across)
    figure = make_subplots(
        rows=down,
        cols=across,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=0.3 / down,
        subplot_titles=[chart_text(name) for name in names] if len(names) > 1 else None,
    )
    columns, lines = np.unique(table["images"]), np.unique(table["norm"])
    for place, name in enumerate(names):
        cells = table[table["series"] == name].set_index(["norm", "images"])
        whole = cells.reindex(pd.MultiIndex.from_product([lines, columns]))
        share = 100 * whole["share"].to_numpy(float).reshape(len(lines), len(columns))
        figure.add_heatmap(
            z=share,
            x=np.arange(len(columns)),
            y=np.arange(len(lines)),
            customdata=_described(whole, len(lines), len(columns)),
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
            texttemplate="%{z:.0f}" if len(columns) <= _IN_CELLS else None,
            textfont_size=theme.FONT_SIZE - 2,
            hoverongaps=False,
            hovertemplate=f"{images}: %{{customdata[0]:,}}<br>{norm}: %{{customdata[1]:.3g}}<br>certified right: "
            "%{z:.1f} % (%{customdata[2]:,} of %{customdata[3]:,})<extra></extra>",
            row=1 + place // across,
            col=1 + place % across,
        )
        if planted:
            column, line = (
                np.interp(at, axis, np.arange(len(axis))) for at, axis in zip(planted, (columns, lines), strict=True)
            )
            figure.add_scatter(
                x=column + np.array([-0.5, 0.5, 0.5, -0.5, -0.5]),
                y=line + np.array([-0.5, -0.5, 0.5, 0.5, -0.5]),
                name=f"the planted attack: {planted[0]:,} images, norm {planted[1]:.3g}",
                mode="lines",
                line={"color": theme.VERMILION, "width": 4},
                hovertemplate="%{fullData.name}<extra></extra>",
                showlegend=place == 0,
                row=1 + place // across,
                col=1 + place % across,
            )
    theme.styled(figure, height=130 + 300 * down, legend=planted is not None)
    figure.update_layout(
        coloraxis={"colorscale": _SCALE, "cmin": 0, "cmax": 100, "colorbar": {"title": "%", "thickness": 14}},
        margin_t=90 if len(names) > 1 else 48,
        legend_y=1.02 + (0.42 / (1 + down) if len(names) > 1 else 0),
    )
    figure.update_annotations(font_size=theme.FONT_SIZE)
    figure.update_xaxes(
        tickvals=np.arange(len(columns)), ticktext=[f"{n:,}" for n in columns], showgrid=False, zeroline=False
    )
    figure.update_yaxes(
        tickvals=np.arange(len(lines)), ticktext=[f"{value:.3g}" for value in lines], showgrid=False, zeroline=False
    )
    figure.update_xaxes(title_text=images, row=down)
    figure.update_yaxes(title_text=norm, col=1)
    return figure


def _described(cells: pd.DataFrame, lines: int, columns: int) -> np.ndarray:
    """For each cell ``(lines, columns, 4)``: images, norm, count and n."""
    norms, images = (cells.index.get_level_values(level).to_numpy(float) for level in (0, 1))
    counted = [cells[name].fillna(0).to_numpy(float) for name in ("count", "n")]
    return np.stack([images, norms, *counted], axis=-1).reshape(lines, columns, 4)
