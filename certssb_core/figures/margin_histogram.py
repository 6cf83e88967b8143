"""Margins of the members' votes on one input: a histogram that tells backing votes from the others."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from certssb_core.figures import theme

BIN = 0.125
KINDS = {
    "for the class, whatever the change": theme.BLUE,
    "for the class, but a change can win it": theme.SKY,
    "for another class": theme.VERMILION,
}


def margin_histogram(margins: np.ndarray, norm: float, *, name: str) -> go.Figure:
    """Draw how far each member's answer is from its decision boundary.

    Args:
        margins: ``(M,)`` L2 pixel units, those of votes for another class negative.
        norm: largest change of the input, marked; votes with a larger margin are backing votes.
        name: of the class.
    """
    kinds = np.where(margins < 0, 2, np.where(margins >= norm, 0, 1))
    edges = np.arange(np.floor(margins.min() / BIN), np.ceil(margins.max() / BIN) + 2) * BIN
    figure = go.Figure()
    for number, (kind, colour) in enumerate(KINDS.items()):
        counts, _ = np.histogram(margins[kinds == number], edges)
        figure.add_bar(
            x=edges[:-1] + BIN / 2,
            y=counts,
            width=BIN,
            name=kind,
            marker_color=colour,
            hovertemplate="margin %{x:.2f}: %{y:,} members<extra></extra>",
        )
    theme.styled(figure, x=f"distance to the decision boundary (L2); below 0: not for {name}", y="members", height=340)
    theme.vertical(figure, norm)
    return figure.update_layout(barmode="stack", bargap=0)
