"""One look for all figures: colours that survive colour-blindness, large type, no background of their own.

Text and background colours are left open on purpose: the page that shows a figure fills them in, so one
figure serves a light and a dark page, and a projector.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

# Okabe and Ito's palette; black and yellow are left out of the sequence (each vanishes on one background).
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY, YELLOW, GREY = "#E69F00", "#CC79A7", "#56B4E9", "#F0E442", "#8A8F98"
NAVY, CREAM = "#0d2c54", "#fff3c4"  # the ends of a scale of colours
SEQUENCE = (SKY, VERMILION, GREEN, ORANGE, PURPLE, BLUE, GREY, YELLOW)

# What a colour means is the same on every page.
COLOURS: dict[str, str] = {
    "clean": SKY,
    "train": GREEN,
    "poisoned": VERMILION,
    "triggered": VERMILION,
    "sample-specific": SKY,
    "uniform": ORANGE,
    "original paper's code (not a certificate)": GREY,
    "published": PURPLE,
    "undefended": GREY,
    "disjoint": SKY,
    "same_label": GREEN,
    "trimmed": ORANGE,
    "aligned": PURPLE,
    "none": GREY,
}
GRID = "rgba(128, 134, 145, 0.22)"
INK = "rgba(128, 134, 145, 0.9)"  # lines and marks readable on white and on near-black
FONT_SIZE = 16


def class_colour(position: int) -> str:
    """Colour of the class at ``position``; repeats after eight classes."""
    return SEQUENCE[position % len(SEQUENCE)]


def translucent(colour: str, opacity: float) -> str:
    """``"#RRGGBB"`` as ``"rgba(…)"`` with ``opacity`` in [0, 1]."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def vertical(figure: go.Figure, x: float, *, panels: int = 1, dash: str = "dot") -> None:
    """Mark ``x`` by a line from top to bottom of every panel.

    Plain shapes, for plotly's own ``add_vline`` takes as long as all curves of a figure together.
    """
    for axis in ("", *range(2, panels + 1)):
        figure.add_shape(
            type="line",
            x0=x,
            x1=x,
            y0=0,
            y1=1,
            xref=f"x{axis}",
            yref=f"y{axis} domain",
            line={"color": INK, "width": 2, "dash": dash},
        )


def styled(
    figure: go.Figure, *, x: str | None = None, y: str | None = None, height: int = 420, legend: bool = True
) -> go.Figure:
    """Give ``figure`` the common look, in place, and return it.

    Args:
        figure: any figure; subplots get the same axes throughout.
        x: title of the horizontal axes, with its unit.
        y: title of the vertical axes, with its unit.
        height: in CSS pixels.
        legend: a horizontal legend above the plot, or none.
    """
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": INK,
        "tickfont": {"size": FONT_SIZE - 2},
        "title": {"font": {"size": FONT_SIZE}},
        "automargin": True,
    }
    look = {
        "colorway": SEQUENCE,
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"size": FONT_SIZE},
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 48 if legend else 16, "b": 10},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": FONT_SIZE - 1}},
        "hoverlabel": {"font": {"size": FONT_SIZE - 1}},
    }
    layout = figure.layout.to_plotly_json()
    for name in {"xaxis", "yaxis"} | {name for name in layout if name[1:5] == "axis"}:
        title = x if name[0] == "x" else y
        look[name] = axis if title is None else _merged(axis, {"title": {"text": title}})
    # At once: plotly's own updates take six times as long.
    figure.layout = _merged(layout, look) | {"template": go.layout.Template()}
    return figure


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both nested dicts in one; where they differ, ``second`` wins."""
    nested = {name for name in first.keys() & second.keys() if isinstance(first[name], dict)}
    return first | second | {name: _merged(first[name], second[name]) for name in nested}
