"""Figures of the lessons: noisy copies as two clouds, fates of test images, r(x, σ) side by side, rare failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import binom, norm

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

FATES: dict[str, str] = {
    "true class": theme.GREEN,
    "attacker's class": theme.VERMILION,
    "another class": theme.ORANGE,
    "no answer": theme.GREY,
    "any other answer": theme.PURPLE,
}


def noise_clouds(shift: float) -> go.Figure:
    """Draw the noisy copies of an image and of its changed twin, along the direction of the change.

    Args:
        shift: size of the change in units of σ, ‖δ‖ / σ.
    """
    at = np.linspace(-4, shift + 4, 400)
    first, second = norm.pdf(at), norm.pdf(at, loc=shift)
    figure = go.Figure()
    for name, height, colour in (
        ("without the change", first, theme.SKY),
        ("with the change", second, theme.VERMILION),
    ):
        figure.add_scatter(
            x=at, y=height, name=name, mode="lines", line={"color": colour, "width": 3}, hoverinfo="skip"
        )
    figure.add_scatter(
        x=at,
        y=np.minimum(first, second),
        name="look alike",
        mode="none",
        fill="tozeroy",
        fillcolor=theme.translucent(theme.PURPLE, 0.5),
        hoverinfo="skip",
    )
    theme.styled(figure, x="position along the change, in units of σ", y="share of noisy copies", height=340)
    return figure.update_yaxes(showticklabels=False, rangemode="tozero")


def fates(table: pd.DataFrame) -> go.Figure:
    """Stack the shares of test images by what becomes of them, a bar for each defence.

    Args:
        table: columns ``who``, ``fate`` (of :data:`FATES`), ``share`` in [0, 1], ``count``, ``n``.
    """
    figure = go.Figure()
    for fate, colour in FATES.items():
        rows = table[table["fate"] == fate]
        if len(rows):
            figure.add_bar(
                y=rows["who"].map(chart_text),
                x=rows["share"],
                name=fate,
                orientation="h",
                marker_color=colour,
                text=[f"{share:.1%}" if share > 0.06 else "" for share in rows["share"]],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                customdata=rows[["count", "n"]],
                hovertemplate=f"{fate}: " + "%{customdata[0]:,} of %{customdata[1]:,} (%{x:.1%})<extra></extra>",
            )
    theme.styled(figure, x="share of the test images", height=150 + 85 * table["who"].nunique())
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")


def radius_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], sigma: float) -> go.Figure:
    """Draw r(x, σ) of several images, a star at the best σ of each, and a line at one σ for all.

    Args:
        curves: by name, noise levels and radii, ``(G,)`` each, in L2 pixel units.
        sigma: the noise level to read all curves at.
    """
    figure = go.Figure()
    for (name, (levels, radii)), colour in zip(curves.items(), (theme.SKY, theme.VERMILION, theme.GREEN), strict=False):
        best = int(np.argmax(radii))
        hover = "σ = %{x:.3f}: r = %{y:.3f}"
        figure.add_scatter(
            x=levels,
            y=radii,
            name=chart_text(name),
            mode="lines",
            line={"color": colour, "width": 3},
            hovertemplate=hover,
        )
        star = {"symbol": "star", "size": 18, "color": colour, "line": {"width": 1, "color": theme.INK}}
        figure.add_scatter(
            x=levels[[best]],
            y=radii[[best]],
            mode="markers",
            marker=star,
            showlegend=False,
            hovertemplate="best " + hover,
        )
    theme.vertical(figure, sigma)
    theme.styled(figure, x="σ (pixel units)", y="r(x, σ) (L2 pixel units)", height=340)
    ticks = [0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure.update_yaxes(rangemode="tozero")


def failures(inputs: int, alpha: float) -> go.Figure:
    """Draw how likely each number of wrong certificates is, if every input's fails with probability ``alpha``.

    Args:
        inputs: number of inputs that are certified independently; alpha: in (0, 1).
    """
    most = int(binom.ppf(0.9999, inputs, alpha)) + 1
    number = np.arange(max(most, 4) + 1)
    likely = binom.pmf(number, inputs, alpha)
    figure = go.Figure(
        go.Bar(
            x=number,
            y=likely,
            marker_color=[theme.GREEN] + [theme.VERMILION] * (len(number) - 1),
            text=[f"{share:.1%}" if share >= 0.001 else "" for share in likely] if len(number) < 14 else None,
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x} wrong: %{y:.2%}<extra></extra>",
        )
    )
    theme.styled(figure, x="wrong certificates in a run", y="probability", height=340, legend=False)
    figure.update_xaxes(dtick=1 if len(number) < 20 else None)
    return figure.update_yaxes(tickformat=".0%", rangemode="tozero")


def predictions(choices: Sequence[str], counts: Sequence[int], right: int | None = None) -> go.Figure:
    """Draw how often each answer was predicted.

    Args:
        choices: the answers; counts: as many numbers; right: position of the right answer once it may be seen.
    """
    colours = [
        theme.SKY if right is None else theme.GREEN if number == right else theme.GREY for number in range(len(choices))
    ]
    figure = go.Figure(
        go.Bar(
            y=["<br>".join(map(chart_text, wrap(choice, 26))) for choice in choices],
            x=list(counts),
            orientation="h",
            marker_color=colours,
            text=[f"{count:,}" for count in counts],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    theme.styled(figure, x="predictions", height=90 + 66 * len(choices), legend=False)
    figure.update_yaxes(autorange="reversed", tickfont={"size": theme.FONT_SIZE})
    return figure.update_xaxes(range=[0, max([4, *counts]) * 1.15], tickformat=",d")
