"""Pairs of balls in one picture: distance of the centres against the sum of the radii."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme
from certssb_core.store.overlaps import Survey

_NEAR_MISSES = 30

CASES: dict[str, str] = {
    "disjoint": "1 · disjoint",
    "same_label": "2 · same label",
    "trimmed": "3a · trim",
    "aligned": "3b · align",
    "none": "not stored",
}


def distance_against_radii(
    survey: Survey, *, pairs: str = "different", names: Sequence[str] | None = None
) -> go.Figure:
    """All pairs, binned, and the line d = r₁ + r₂ below which two balls intersect.

    Conflicts, and the nearest misses of different label, are single points.

    Args:
        survey: of one state of the store.
        pairs: which pairs are binned: ``"different"`` labels, the ``"same"`` label, or ``"all"``.
        names: a name per ball, shown on hover; a point's ``customdata`` is
            ``[first, second, name of first, name of second]``.
    """
    counts = {"different": survey.different, "same": survey.same, "all": survey.different + survey.same}[pairs]
    shown = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
    decades = np.arange(1 + int(np.ceil(np.nanmax(shown, initial=0.0)))) if counts.any() else np.arange(1)
    figure = go.Figure()
    figure.add_heatmap(
        x=survey.radius_edges,
        y=survey.distance_edges,
        z=shown.T,
        customdata=counts.T,
        colorscale=[[0, theme.translucent(theme.BLUE, 0.18)], [1, theme.BLUE]],
        zmin=0,
        zmax=max(float(decades[-1]), 1.0),
        colorbar={
            "title": "pairs",
            "tickvals": decades,
            "ticktext": [f"{10**d:,}" for d in decades],
            "thickness": 14,
        },
        hoverongaps=False,
        hovertemplate="r₁ + r₂ ≈ %{x:.2f}, d ≈ %{y:.2f}: %{customdata:,} pairs<extra></extra>",
    )
    end = float(min(survey.radius_edges[-1], survey.distance_edges[-1]))
    figure.add_scatter(
        x=[0, end],
        y=[0, end],
        name="d = r₁ + r₂: the balls touch",
        mode="lines",
        line={"color": theme.INK, "width": 2.5},
        hoverinfo="skip",
    )
    conflict = survey.distance < survey.radius_sum
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        f"conflict ({survey.conflicts:,})": (
            np.flatnonzero(conflict),
            {"color": theme.VERMILION, "opacity": 0.8},
        ),
        "nearest misses": (
            np.flatnonzero(~conflict)[:_NEAR_MISSES],
            {"color": theme.ORANGE, "symbol": "circle-open", "line": {"width": 2}},
        ),
    }
    for name, (rows, marker) in kinds.items():
        if len(rows):
            figure.add_scatter(
                x=survey.radius_sum[rows],
                y=survey.distance[rows],
                customdata=[
                    [int(a), int(b), *((names[a], names[b]) if names else (str(a), str(b)))]
                    for a, b in zip(survey.first[rows], survey.second[rows], strict=True)
                ],
                name=name,
                mode="markers",
                marker={"size": 9} | marker,
                hovertemplate="%{customdata[2]} and %{customdata[3]}<br>d = %{y:.3f}, r₁ + r₂ = %{x:.3f}",
            )
    theme.styled(figure, x="r₁ + r₂ (L2 pixel units)", y="distance d of the centres (L2 pixel units)", height=500)
    figure.update_xaxes(range=[0, survey.radius_edges[-1]])
    figure.update_yaxes(range=[0, survey.distance_edges[-1]])
    return figure


def cases(counts: pd.Series) -> go.Figure:
    """Count of each case of the storage-update: one bar per case, its count written on it."""
    order = [case for case in CASES if case in counts.index][::-1]
    figure = go.Figure()
    figure.add_bar(
        x=counts[order],
        y=[CASES[case] for case in order],
        orientation="h",
        marker={"color": [theme.COLOURS[case] for case in order]},
        text=[f"{counts[case]:,}" for case in order],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,} inputs<extra></extra>",
    )
    theme.styled(figure, x="inputs", height=280, legend=False)
    figure.update_layout(margin_r=60)
    figure.update_yaxes(showgrid=False)
    return figure
