"""The attack as figures: how large the poisoned images' changes really are, and which labels they get."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from certssb_core.figures.theme import COLOURS, FONT_SIZE, INK, class_colour, styled, translucent
from certssb_core.plain_text import chart_text


def norm_histogram(norms: np.ndarray, *, nominal: float | None) -> go.Figure:
    """Histogram of the actual norms, with the nominal one as a line.

    Args:
        norms: ``(k,)`` L2 norms of the poisoned images' changes, after clamping to [0, 1].
        nominal: δ; None for a trigger that has no nominal norm.
    """
    highest = max(float(norms.max(initial=0)), nominal or 0) or 1.0
    figure = go.Figure(
        go.Histogram(
            x=norms,
            xbins={"start": 0, "end": highest * 1.05, "size": highest / 40},
            marker_color=COLOURS["poisoned"],
            hovertemplate="norm %{x}: %{y} images<extra></extra>",
        )
    )
    styled(figure, x="actual L2 norm (pixels in [0, 1])", y="poisoned images", height=330, legend=False)
    if nominal is not None:
        figure.add_vline(
            nominal,
            line={"color": INK, "dash": "dash", "width": 2},
            annotation={
                "text": f"nominal δ = {nominal:g}",
                "font_size": FONT_SIZE - 1,
                "xanchor": "right",
                "yshift": 24,
            },
            annotation_position="top left",
        )
    figure.update_xaxes(range=[0, highest * 1.08])
    return figure.update_layout(margin_t=44, bargap=0.06)


def label_map(original_labels: np.ndarray, labels: np.ndarray, *, classes: tuple[str, ...]) -> go.Figure:
    """Poisoned images flowing from their true class to the label the trainer sees.

    Args:
        original_labels: ``(k,)`` positions in ``classes``.
        labels: ``(k,)`` labels after poisoning.
        classes: names.
    """
    flows = flow_counts(original_labels, labels, classes=len(classes))
    sources, targets = np.nonzero(flows)
    used_sources, used_targets = np.unique(sources), np.unique(targets)
    nodes = [*used_sources, *used_targets]
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [chart_text(classes[position]) for position in nodes],
                "color": [class_colour(position) for position in nodes],
                "pad": 10,
                "thickness": 22,
                "line": {"width": 0},
                "hovertemplate": "class %{label}: %{value} images<extra></extra>",
            },
            link={
                "source": np.searchsorted(used_sources, sources),
                "target": len(used_sources) + np.searchsorted(used_targets, targets),
                "value": flows[sources, targets],
                "color": [translucent(class_colour(position), 0.4) for position in sources.tolist()],
                "hovertemplate": "%{source.label} → %{target.label}: %{value} images<extra></extra>",
            },
            textfont={"size": FONT_SIZE, "shadow": "none"},
        )
    )
    return styled(figure, height=330, legend=False)


def flow_counts(original_labels: np.ndarray, labels: np.ndarray, *, classes: int) -> np.ndarray:
    """``(classes, classes)`` counts: row = true class, column = label after poisoning."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (original_labels, labels), 1)
    return counts
