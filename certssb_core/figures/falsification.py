"""Rate at which certificates broke under attack, with its upper confidence bound, part by part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from certssb_core.figures import theme


def violation_rates(parts: Sequence[Mapping[str, Any]], *, alpha: float, confidence: float) -> go.Figure:
    """One line per part, from the rate found up to its bound, on a log axis; a rate of 0 starts at the left edge.

    Args:
        parts: of ``falsification.json``; those without a trial are named, and drawn as knowing nothing.
        alpha: the rate that certificates admit to, drawn as a line.
        confidence: of the upper bounds.
    """
    shown = list(parts)[::-1]
    titles = [part["title"].replace(": ", ":<br>", 1) for part in shown]
    least = min([alpha, *(part["rate_upper"] for part in shown)]) / 10
    figure = go.Figure()
    figure.add_scatter(
        x=[x for part in shown for x in (max(part["rate"] or 0.0, least), part["rate_upper"], None)],
        y=[y for title in titles for y in (title, title, None)],
        mode="lines",
        line={"color": theme.INK, "width": 4},
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[part["rate_upper"] for part in shown],
        y=titles,
        name=f"upper bound at {confidence:.0%}",
        mode="markers+text",
        marker={"color": theme.SKY, "size": 14, "symbol": "line-ns", "line": {"width": 4, "color": theme.SKY}},
        text=[_count(part) for part in shown],
        textposition=["top left" if part["rate_upper"] > 0.05 else "top center" for part in shown],  # within the frame
        hovertemplate="%{y}: at most %{x:.2g}<extra></extra>",
    )
    broken = [(part, title) for part, title in zip(shown, titles, strict=True) if part["violations"]]
    if broken:
        figure.add_scatter(
            x=[part["rate"] for part, _ in broken],
            y=[title for _, title in broken],
            name="violations found",
            mode="markers",
            marker={"color": theme.VERMILION, "size": 14, "symbol": "x"},
            hovertemplate="%{y}: %{x:.2g} of the trials<extra></extra>",
        )
    theme.styled(figure, x="share in which a certificate broke", height=110 + 80 * max(1, len(shown)))
    theme.vertical(figure, alpha, dash="dash")
    figure.add_annotation(  # on a log axis an annotation stands at the logarithm
        x=math.log10(alpha), y=0, yref="paper", text=f"α = {alpha:g}", xanchor="left", xshift=6, showarrow=False
    )
    figure.update_xaxes(type="log", dtick=1, exponentformat="power")
    figure.update_yaxes(range=[-0.5, len(shown) - 0.3])
    return figure


def _count(part: Mapping[str, Any]) -> str:
    """Violations and trials, and the independent units that the bound counts; older reports have none."""
    within = f" in {part['units']:,} {part['unit']}" if "units" in part else ""
    return f"{part['violations']:,} of {part['trials']:,}{within}"


def known_noise(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """One line per attacked input: what is true of its probability, and what known and fresh noise claim about it.

    Args:
        rows: of ``known_noise`` in ``falsification.json``.
    """
    names = [f"{row['set']} {row['index']}" for row in rows]
    figure = go.Figure()
    figure.add_scatter(
        x=[x for row in rows for x in (row["true_low"], row["true_high"], None)],
        y=[y for name in names for y in (name, name, None)],
        name="true probability, interval at 99.9%",
        mode="lines",
        line={"color": theme.INK, "width": 10},
        hoverinfo="skip",
    )
    for key, words, colour, symbol in (
        ("claimed_known", "claimed: at least, by the known noise", theme.VERMILION, "x"),
        ("claimed_fresh", "claimed: at least, by fresh noise", theme.SKY, "circle"),
    ):
        figure.add_scatter(
            x=[row[key] for row in rows],
            y=names,
            name=words,
            mode="markers",
            marker={"color": colour, "size": 13, "symbol": symbol},
            hovertemplate="%{y}: at least %{x:.3f}<extra></extra>",
        )
    theme.styled(figure, x="probability of the claimed class", height=150 + 34 * max(1, len(names)))
    figure.update_yaxes(autorange="reversed")
    return figure
