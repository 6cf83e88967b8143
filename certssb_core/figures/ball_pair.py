"""Two balls, drawn exactly: as they were claimed, and as the storage-update left them.

Any plane through a ball's centre cuts it in a disc of the ball's own radius, so in the plane through both centres
distance, overlap and gap are true to scale whatever the dimension of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

PANELS = ("as they came", "in the store")
CONFLICT = "in both balls: two answers"
_TURN = np.linspace(0.0, 2 * np.pi, 181)
_BESIDE = 1.2  # discs are neighbours up to this distance of their centres, in sums of their radii
_WIDTHS = {True: 5.5, False: 2.5}  # CSS pixels of an outline: of the ball that decides, and of others


@dataclass(frozen=True)
class Disc:
    """A ball before and after the storage-update.

    Attributes:
        names: stand beside its centre before and after.
        before, after: radius as claimed, and in the store; 0 where it is not stored. L2 pixel units.
        colours: of its label before and after, ``"#RRGGBB"`` each; discs of one colour have one label.
        decides: the storage-update changed the other ball because of this one.
    """

    names: tuple[str, str]
    before: float
    after: float
    colours: tuple[str, str]
    decides: bool = False


def pair(first: Disc, second: Disc, distance: float, *, height: int = 300) -> go.Figure:
    """Draw two discs whose centres lie ``distance`` apart, before and after; what both claim is red and hatched."""
    discs = ((first, 0.0), (second, distance))
    figure = make_subplots(1, 2, subplot_titles=PANELS, horizontal_spacing=0.08)
    for panel in (0, 1):
        radii = [(disc.before, disc.after)[panel] for disc, _ in discs]
        names_at = [max(radii)] * 2 if distance <= _BESIDE * sum(radii) else radii  # clear of the neighbour
        for (disc, centre), radius, name_at in zip(discs, radii, names_at, strict=True):
            _draw(figure, disc, centre, radius, panel, name_at=name_at, above=disc is first)
        if first.colours[panel] != second.colours[panel] and len(outline := lens(radii[0], radii[1], distance)):
            figure.add_scatter(
                x=outline[:, 0],
                y=outline[:, 1],
                name=CONFLICT,
                mode="lines",
                line={"color": theme.VERMILION, "width": 2},
                fill="toself",
                fillpattern={"shape": "/", "fgcolor": theme.VERMILION, "size": 7, "solidity": 0.35},
                hoverinfo="name",
                row=1,
                col=1 + panel,
            )
        figure.add_scatter(
            x=[0.0, distance],
            y=[0.0, 0.0],
            name=f"distance d = {distance:.3f}",
            mode="lines",
            line={"color": theme.INK, "width": 1.5, "dash": "dot"},
            hoverinfo="name",
            row=1,
            col=1 + panel,
        )
    theme.styled(figure, height=height, legend=False)
    figure.update_layout(margin_t=36)
    figure.update_annotations(font_size=theme.FONT_SIZE)
    largest = [max(disc.before, disc.after) for disc in (first, second)]
    left, right = min(-largest[0], distance - largest[1]), max(largest[0], distance + largest[1])
    pad, top = 0.05 * (right - left), 1.3 * max(*largest, 0.1 * distance)
    figure.update_xaxes(zeroline=False, showgrid=False, range=[left - pad, right + pad], ticksuffix=" px", nticks=5)
    figure.update_yaxes(showticklabels=False, zeroline=False, showgrid=False, showline=False, range=[-top, top])
    figure.update_layout(yaxis_scaleanchor="x", yaxis2_scaleanchor="x2")
    return figure


def lens(first: float, second: float, distance: float) -> np.ndarray:
    """The outline ``(k, 2)`` of the intersection of two discs on the x axis, at 0 and at ``distance``; closed.

    Args:
        first, second: their radii.

    Returns:
        No point where they do not meet; the smaller disc where the other contains it.
    """
    if distance >= first + second or min(first, second) <= 0:
        return np.empty((0, 2))
    if distance <= abs(first - second):
        centre, radius = (0.0, first) if first < second else (distance, second)
        return np.stack([centre + radius * np.cos(_TURN), radius * np.sin(_TURN)], axis=1)
    across = (distance**2 + first**2 - second**2) / (2 * distance)  # where the circles cross
    near, far = np.arccos(across / first), np.arccos((distance - across) / second)
    right, left = np.linspace(-near, near, 91), np.linspace(np.pi - far, np.pi + far, 91)
    arcs = [
        np.stack([first * np.cos(right), first * np.sin(right)], axis=1),
        np.stack([distance + second * np.cos(left), second * np.sin(left)], axis=1),
    ]
    return np.concatenate([*arcs, arcs[0][:1]])


def _draw(
    figure: go.Figure, disc: Disc, centre: float, radius: float, panel: int, *, name_at: float, above: bool
) -> None:
    """One disc in one panel, its name at ``name_at`` above or below; one that was not stored leaves its centre."""
    name, colour = chart_text(disc.names[panel]), disc.colours[panel]
    place = {"row": 1, "col": 1 + panel}
    if radius > 0:
        figure.add_scatter(
            x=centre + radius * np.cos(_TURN),
            y=radius * np.sin(_TURN),
            name=f"{name}: r = {radius:.3f}",
            mode="lines",
            line={"color": colour, "width": _WIDTHS[disc.decides]},
            fill="toself",
            fillcolor=theme.translucent(colour, 0.18),
            hoverinfo="name",
            **place,
        )
    figure.add_scatter(
        x=[centre],
        y=[0.0],
        mode="markers",
        marker={"size": 9, "color": colour, "line": {"width": 1, "color": theme.INK}},
        name=name,
        hoverinfo="name",
        **place,
    )
    figure.add_scatter(
        x=[centre],
        y=[name_at if above else -name_at],
        text=[f"{name} · decides" if disc.decides else name],
        mode="text",
        textposition="top center" if above else "bottom center",
        hoverinfo="skip",
        cliponaxis=False,
        **place,
    )
