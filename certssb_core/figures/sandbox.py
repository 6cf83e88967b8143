"""The storage-update on discs in a plane, after as many insertions as wanted; every place can be clicked."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from certssb_core.figures import theme
from certssb_core.figures.ball_pair import lens
from certssb_core.figures.images import picture
from certssb_core.figures.pairs import CASES
from certssb_core.sandbox.plane_classifier import PlaneClassifier
from certssb_core.sandbox.plane_data import LABELS
from certssb_core.sandbox.scene import Scene

COLOURS = (theme.SKY, theme.ORANGE)
_TURN = np.linspace(0.0, 2 * np.pi, 73)
_CLICKABLE = (49, 35)  # places across and up that a click can hit
_AS_IT_IS = {"marker": {"opacity": 1.0}}  # a selected place must not fade the others


def drawn(
    scene: Scene,
    classifier: PlaneClassifier,
    *,
    upto: int | None = None,
    point: tuple[float, float] | None = None,
    clickable: bool = False,
) -> go.Figure:
    """The store after some insertions: its balls, the newest disc as it came, and what was claimed for both labels.

    Args:
        scene: inputs in order of arrival and the store's ledger.
        classifier: drawn behind.
        upto: insertions shown; by default all. The window never depends on it.
        point: one that is asked about, drawn as a cross; a line leads to the centre of the ball it lies deepest in.
        clickable: every place can be clicked; a click's ``customdata`` is ``["at", x, y]``.
    """
    count = len(scene.entries) if upto is None else min(upto, len(scene.entries))
    low, high = window = _window(scene)
    traces = zip(_step(scene, count, window), _styles(), strict=True)
    figure = go.Figure([trace | style for trace, style in traces])
    figure.update_layout(images=[_regions(classifier)])
    figure.add_trace(_contested(scene.first(count)))
    if clickable:
        _clickable(figure, low, high)
    if point is not None:
        _asked_about(figure, scene.first(count), point)
    theme.styled(figure, height=560)
    figure.update_layout(margin_t=84)
    figure.update_xaxes(showticklabels=False, zeroline=False, showgrid=False, range=[low[0], high[0]])
    return figure.update_yaxes(
        showticklabels=False, zeroline=False, showgrid=False, range=[low[1], high[1]], scaleanchor="x"
    )


def _contested(scene: Scene) -> dict[str, Any]:
    """The area that the certificates claim for both labels, as they came: red and hatched."""
    outlines = [np.full((1, 2), np.nan)]
    for row, entry in enumerate(scene.entries):
        for other, rival in enumerate(scene.entries[:row]):
            if -1 in (entry.prediction, rival.prediction) or entry.prediction == rival.prediction:
                continue
            across = scene.points[row] - scene.points[other]
            distance = float(np.linalg.norm(across))
            found = lens(rival.radius_before, entry.radius_before, distance)
            if len(found):
                cosine, sine = across / distance if distance else (1.0, 0.0)
                turned = found @ np.array([[cosine, sine], [-sine, cosine]]) + scene.points[other]
                outlines += [turned, np.full((1, 2), np.nan)]
    line = np.concatenate(outlines).astype(np.float32)
    return {
        "type": "scatter",
        "x": line[:, 0],
        "y": line[:, 1],
        "name": "contested: claimed for both",
        "mode": "lines",
        "line": {"color": theme.VERMILION, "width": 1},
        "fill": "toself",
        "fillpattern": {"shape": "/", "fgcolor": theme.VERMILION, "size": 6, "solidity": 0.3},
        "hoverinfo": "skip",
    }


def _clickable(figure: go.Figure, low: np.ndarray, high: np.ndarray) -> None:
    """Cover the window with invisible places that a click can hit."""
    across, up = (np.linspace(low[axis], high[axis], count) for axis, count in enumerate(_CLICKABLE))
    places = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).round(3)
    figure.add_scatter(
        x=places[:, 0],
        y=places[:, 1],
        customdata=np.array(
            [["at", *place] for place in places.tolist()], object
        ),  # a list is checked number by number
        mode="markers",
        marker={"size": 14, "opacity": 0.0},
        selected={"marker": {"opacity": 0.0}},
        unselected={"marker": {"opacity": 0.0}},
        showlegend=False,
        hovertemplate="(%{x:.2f}, %{y:.2f})<extra></extra>",
    )


def _asked_about(figure: go.Figure, scene: Scene, point: tuple[float, float]) -> None:
    """Mark the point, and lead from it to the centre of the ball that answers."""
    balls = scene.balls
    gaps = np.linalg.norm(balls.centres - np.array(point), axis=1) - balls.radii
    if len(gaps) and gaps.min() < 0:
        centre = balls.centres[gaps.argmin()]
        figure.add_scatter(
            x=[point[0], centre[0]],
            y=[point[1], centre[1]],
            name="to the centre of the ball that answers",
            mode="lines",
            line={"color": theme.INK, "width": 2.5},
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=[point[0]],
        y=[point[1]],
        name="asked about",
        mode="markers",
        marker={"symbol": "x", "size": 15, "color": theme.VERMILION, "line": {"color": theme.INK, "width": 1}},
        unselected=_AS_IT_IS,
        hoverinfo="name",
    )


def _window(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The lower left and the upper right corner of what is drawn; some room above for the words."""
    radii = np.array([[entry.radius_before] for entry in scene.entries])
    low, high = (scene.points - radii).min(axis=0), (scene.points + radii).max(axis=0)
    pad = 0.04 * (high - low).max()
    return low - pad, high + np.array([pad, 0.08 * (high[1] - low[1]) + pad])


def _regions(classifier: PlaneClassifier) -> dict[str, Any]:
    """Draw what the classifier answers without noise, faintly; the outermost cells reach beyond the window."""
    width, height = np.ptp(classifier.x), np.ptp(classifier.y)
    cells = np.pad(classifier.cells, classifier.cells.shape[0], mode="edge").T[::-1]  # a picture's first row is on top
    palette = np.array([[int(colour[start : start + 2], 16) for start in (1, 3, 5)] for colour in COLOURS]) / 255
    return {
        "source": picture(palette[cells].transpose(2, 0, 1), side=len(cells)),
        "xref": "x",
        "yref": "y",
        "x": classifier.x[0] - width,
        "y": classifier.y[-1] + height,
        "sizex": 3 * width,
        "sizey": 3 * height,
        "sizing": "stretch",
        "opacity": 0.13,
        "layer": "below",
    }


def _styles() -> list[dict[str, Any]]:
    """Styles of the traces of :func:`_step`, in the same order."""
    edge = {"color": theme.INK, "width": 1}
    styles: list[dict[str, Any]] = []
    for label, colour, symbol in zip(LABELS, COLOURS, ("circle", "square"), strict=True):
        styles += [
            {
                "name": f"ball: {label}",
                "mode": "lines",
                "line": {"color": colour, "width": 2.5},
                "fill": "toself",
                "fillcolor": theme.translucent(colour, 0.25),
                "hoverinfo": "skip",
            },
            {
                "name": f"predicted {label}",
                "mode": "markers",
                "marker": {"color": colour, "size": 9, "symbol": symbol, "line": edge},
                "unselected": _AS_IT_IS,
                "hoverinfo": "text",
            },
        ]
    grey = {"color": theme.GREY, "size": 9, "symbol": "circle-open", "line": {"width": 2}}
    star = {"color": COLOURS[1], "size": 19, "symbol": "star", "line": {"color": theme.INK, "width": 1.5}}
    dashed = {"color": theme.VERMILION, "width": 2.5, "dash": "dash"}
    return [
        *styles,
        {"name": "abstains", "mode": "markers", "marker": grey, "unselected": _AS_IT_IS, "hoverinfo": "text"},
        {"name": "the attacker's", "mode": "markers", "marker": star, "unselected": _AS_IT_IS, "hoverinfo": "text"},
        {"name": "the newest, as it came", "mode": "lines", "line": dashed, "hoverinfo": "skip"},
        {"mode": "text", "textposition": "bottom center", "showlegend": False, "hoverinfo": "skip"},
    ]


def _step(scene: Scene, shown: int, window: tuple[np.ndarray, np.ndarray]) -> list[dict[str, Any]]:
    """Places and words after ``shown`` insertions; the look never changes."""
    entries, so_far = scene.entries, scene.entries[:shown]

    def scatter(places: np.ndarray, **more: Any) -> dict[str, Any]:
        return {"type": "scatter", "x": places[:, 0], "y": places[:, 1]} | more

    def centres(rows: list[int]) -> dict[str, Any]:
        words = [f"{row + 1} · {CASES[entries[row].case]} · σ = {scene.sigma[row]:.2f}" for row in rows]
        places = np.concatenate([scene.points[rows], np.full((1, 2), np.nan)])  # an empty list would change nothing
        return scatter(places, text=words)

    def outlines(circles: list[np.ndarray]) -> dict[str, Any]:
        line = np.concatenate([*circles, np.full((1, 2), np.nan, np.float32)])
        return scatter(line)

    def honest(prediction: int) -> dict[str, Any]:
        rows = enumerate(so_far)
        return centres([row for row, entry in rows if entry.prediction == prediction and not scene.attacker[row]])

    traces = []
    for label in range(len(LABELS)):
        stored = [row for row, entry in enumerate(so_far) if entry.label == label and entry.stored]
        traces += [
            outlines([_circle(scene.points[row], entries[row].radius_after) for row in stored]),
            honest(label),
        ]
    newest = [_circle(scene.points[shown - 1], entry.radius_before) for entry in so_far[-1:]]
    low, high = window
    words = "the store is empty"
    if shown:
        number, sender, fate = in_words(scene, shown - 1).split(" · ", 2)
        words = f"{number} · {sender}<br>{fate}"  # in two lines: a phone is narrow
    return [
        *traces,
        honest(-1),
        centres([row for row in range(shown) if scene.attacker[row]]),
        outlines(newest),
        scatter(np.array([[(low[0] + high[0]) / 2, high[1]]]), text=[words]),
    ]


def in_words(scene: Scene, row: int) -> str:
    """Say what happened to the input that came at ``row``."""
    entry = scene.entries[row]
    predicted = f"predicted {LABELS[entry.prediction]}" if entry.prediction >= 0 else "abstains"
    answer = LABELS[entry.label] if entry.label >= 0 else "nothing"
    changed = "" if entry.label == entry.prediction else f", answered {answer}"
    by = "" if entry.partner is None or entry.case not in ("trimmed", "aligned") else f" by ball {entry.partner + 1}"
    return (
        f"{row + 1} · {entry.key.set}, {predicted}{changed} · {CASES[entry.case]}{by} · "
        f"r {entry.radius_before:.2f} → {entry.radius_after:.2f}"
    )


def _circle(centre: np.ndarray, radius: float) -> np.ndarray:
    """``(k, 2)`` outline, closed, ended by NaN so that outlines can be strung together."""
    outline = centre + radius * np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
    return np.concatenate([outline, np.full((1, 2), np.nan)]).astype(np.float32)  # half the bytes to the browser
