"""The storage-update on discs in a plane, one insertion after the other, played in the browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from certssb_core.certify.store import Entry
from certssb_core.figures import theme
from certssb_core.figures.pairs import CASES

_COLOURS = (theme.SKY, theme.ORANGE)
_TURN = np.linspace(0.0, 2 * np.pi, 91)


def discs(
    points: np.ndarray,
    entries: list[Entry],
    *,
    attacker: np.ndarray,
    labels: tuple[str, str],
    start: int | None = None,
) -> go.Figure:
    """The store filling up, one insertion per step; played and stepped in the browser.

    Args:
        points: ``(n, 2)`` in order of arrival.
        entries: the ledger of these n insertions.
        attacker: ``(n,)`` bool, drawn as stars.
        labels: names of the two labels.
        start: insertions shown at first; by default all.
    """
    radii = np.array([[entry.radius_before] for entry in entries])
    low, high = (points - radii).min(axis=0), (points + radii).max(axis=0)
    ceiling = high[1] + 0.08 * (high[1] - low[1])  # room for the words above the discs
    steps = [_step(points, entries, attacker, labels, shown, ceiling) for shown in range(len(entries) + 1)]
    names = [str(shown) for shown in range(len(steps))]
    first = len(entries) if start is None else start
    styled = [trace.update(style) for trace, style in zip(steps[first], _styles(labels), strict=True)]
    figure = go.Figure(
        data=styled,
        frames=[go.Frame(data=traces, name=name) for name, traces in zip(names, steps, strict=True)],
    )
    theme.styled(figure, height=620)
    figure.update_xaxes(showticklabels=False, zeroline=False, range=[low[0], high[0]])
    figure.update_yaxes(showticklabels=False, zeroline=False, range=[low[1], ceiling], scaleanchor="x")
    instantly = {
        "frame": {"duration": 0, "redraw": False},
        "mode": "immediate",
        "transition": {"duration": 0},
    }
    figure.update_layout(
        sliders=[
            {
                "active": first,
                "currentvalue": {"prefix": "insertions: "},
                "x": 0.14,
                "len": 0.86,
                "steps": [{"method": "animate", "label": name, "args": [[name], instantly]} for name in names],
            }
        ],
        updatemenus=[
            {
                "type": "buttons",
                "showactive": False,
                "bgcolor": theme.GRID,
                "bordercolor": theme.INK,
                "x": 0.0,
                "y": -0.05,
                "xanchor": "left",
                "yanchor": "top",
                "buttons": [
                    {
                        "label": "▶ Play",
                        "method": "animate",
                        "args": [
                            None,
                            {"frame": {"duration": 900, "redraw": False}, "transition": {"duration": 0}},
                        ],
                    },
                    {"label": "❚❚ Pause", "method": "animate", "args": [[None], instantly]},
                ],
            }
        ],
    )
    return figure


def _styles(labels: tuple[str, str]) -> list[dict[str, Any]]:
    """How the traces of :func:`_step` look, in the same order."""
    styles: list[dict[str, Any]] = []
    for label, colour, symbol in zip(labels, _COLOURS, ("circle", "square"), strict=True):
        edge = {"color": theme.INK, "width": 1}
        styles += [
            {
                "name": f"stored: {label}",
                "mode": "lines",
                "line": {"color": colour, "width": 2.5},
                "fill": "toself",
                "fillcolor": theme.translucent(colour, 0.2),
                "hoverinfo": "skip",
            },
            {
                "name": f"predicted: {label}",
                "mode": "markers",
                "marker": {"color": colour, "size": 9, "symbol": symbol, "line": edge},
                "hoverinfo": "text",
            },
        ]
    star = {"color": _COLOURS[1], "size": 18, "symbol": "star", "line": {"color": theme.INK, "width": 1}}
    dashed = {"color": theme.VERMILION, "width": 2.5, "dash": "dash"}
    words = {"mode": "text", "textposition": "bottom center", "showlegend": False}
    return [
        *styles,
        {"name": "the attacker's", "mode": "markers", "marker": star, "hoverinfo": "text"},
        {"name": "the newest, as it came", "mode": "lines", "line": dashed, "hoverinfo": "skip"},
        words | {"hoverinfo": "skip"},
    ]


def _step(
    points: np.ndarray,
    entries: list[Entry],
    attacker: np.ndarray,
    labels: tuple[str, str],
    shown: int,
    top: float,
) -> list[go.Scatter]:
    """What is to be seen after ``shown`` insertions: places and words only, the look never changes."""

    def centres(rows: list[int]) -> go.Scatter:
        words = [f"{row + 1} · {CASES[entries[row].case]}" for row in rows]
        places = np.concatenate([points[rows], np.full((1, 2), np.nan)])  # an empty list would change nothing
        return go.Scatter(x=places[:, 0], y=places[:, 1], text=words)

    def outlines(circles: list[np.ndarray]) -> go.Scatter:
        line = np.concatenate([*circles, np.full((1, 2), np.nan)])
        return go.Scatter(x=line[:, 0], y=line[:, 1])

    so_far = entries[:shown]
    traces = []
    for label in range(2):
        stored = [row for row, entry in enumerate(so_far) if entry.label == label and entry.stored]
        came = [row for row, entry in enumerate(so_far) if entry.prediction == label and not attacker[row]]
        traces += [
            outlines([_circle(points[row], entries[row].radius_after) for row in stored]),
            centres(came),
        ]
    newest = [_circle(points[shown - 1], entry.radius_before) for entry in so_far[-1:]]
    words = _in_words(shown, entries[shown - 1], labels) if shown else "the store is empty"
    return [
        *traces,
        centres([row for row in range(shown) if attacker[row]]),
        outlines(newest),
        go.Scatter(x=[points[:, 0].mean()], y=[top], text=[words]),
    ]


def _in_words(shown: int, entry: Entry, labels: tuple[str, str]) -> str:
    answer = labels[entry.label]
    changed = "" if entry.label == entry.prediction else f", answered {answer}"
    return (
        f"{shown} · {entry.key.set}, predicted {labels[entry.prediction]}{changed} · {CASES[entry.case]} · "
        f"r {entry.radius_before:.2f} → {entry.radius_after:.2f}"
    )


def _circle(centre: np.ndarray, radius: float) -> np.ndarray:
    """``(k, 2)`` outline, closed, ended by NaN so that outlines can be strung together."""
    outline = centre + radius * np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
    return np.concatenate([outline, np.full((1, 2), np.nan)])
