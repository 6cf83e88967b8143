"""Two balls drawn exactly: their section by a plane through both centres is two discs of the same radii.

Any plane through a ball's centre cuts it in a disc of the ball's own radius, so distance, overlap and gap
are true to scale whatever the dimension of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from certssb_core.figures import theme

_TURN = np.linspace(0.0, 2 * np.pi, 181)


@dataclass(frozen=True)
class Disc:
    """A ball before and after the storage-update.

    Attributes:
        name: shown in the legend and beside the centre.
        colour: ``"#RRGGBB"``.
        before: radius at its certification, L2 pixel units.
        after: radius in the store; 0 where it was not stored.
    """

    name: str
    colour: str
    before: float
    after: float


def pair(first: Disc, second: Disc, distance: float) -> go.Figure:
    """Draw two discs whose centres lie ``distance`` apart: dashed before, solid after, or one ring."""
    figure = go.Figure()
    for disc, centre in ((first, 0.0), (second, distance)):
        changed = disc.before != disc.after
        rings = {", before": disc.before, ", after": disc.after} if changed else {"": disc.after}
        for words, radius in rings.items():
            if radius > 0:
                dashed = words == ", before"
                figure.add_scatter(
                    x=centre + radius * np.cos(_TURN),
                    y=radius * np.sin(_TURN),
                    name=f"{disc.name}{words}: r = {radius:.3f}",
                    mode="lines",
                    line={"color": disc.colour, "width": 2.5, "dash": "dash" if dashed else "solid"},
                    fill="none" if dashed else "toself",
                    fillcolor=theme.translucent(disc.colour, 0.18),
                    hoverinfo="name",
                )
        figure.add_scatter(
            x=[centre],
            y=[0.0],
            name=disc.name,
            text=[disc.name],
            mode="markers+text",
            textposition="top center",
            marker={"size": 11, "color": disc.colour},
            showlegend=False,
            hoverinfo="name",
        )
    figure.add_scatter(
        x=[0.0, distance],
        y=[0.0, 0.0],
        name=f"distance d = {distance:.3f}",
        mode="lines",
        line={"color": theme.INK, "width": 1.5},
        hoverinfo="name",
    )
    theme.styled(figure, x="L2 pixel units", height=460)
    figure.update_layout(margin_t=84)
    figure.update_yaxes(scaleanchor="x", scaleratio=1, showticklabels=False, zeroline=False)
    figure.update_xaxes(zeroline=False)
    return figure
