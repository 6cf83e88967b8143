"""Change an image before asking a run about it, and find the stored balls nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.config.schema import AttackConfig
from certssb_core.data.triggers import TRIGGERS, actual_norms, apply_trigger
from certssb_core.errors import DataError
from certssb_core.plain_text import markdown_text
from certssb_core.query.reply import Reply
from certssb_core.runs.inputs import trigger_settings
from certssb_core.store.store import Balls


def painted(image: np.ndarray, strokes: Any) -> np.ndarray:
    """Paint over some pixels of ``image`` ``(C, H, W)``.

    Args:
        strokes: rows ``[position, value, …]``: a pixel, row by row, and its C values of 0 to 255.

    Raises:
        DataError: the strokes do not fit the image; they come from a browser and may be anything.
    """
    channels, height, width = image.shape
    try:
        rows = np.asarray(strokes, dtype=np.float64).reshape(-1, 1 + channels)
    except (TypeError, ValueError, OverflowError):
        raise DataError("what was painted does not fit this image: reset the painting") from None
    position, values = rows[:, 0], rows[:, 1:]
    if not (((position >= 0) & (position < height * width)).all() and ((values >= 0) & (values <= 255)).all()):
        raise DataError("what was painted lies outside this image: reset the painting")
    result = image.reshape(channels, -1).copy()
    result[:, position.astype(np.int64)] = (values / 255).astype(np.float32).T
    return result.reshape(image.shape)


def triggered(image: np.ndarray, attack: AttackConfig, trigger: str, strength: float) -> np.ndarray:
    """Stamp ``trigger`` on ``image`` at L2 norm ``strength``; for a patch, ``strength`` is its pixels' value."""
    if not strength:
        return image
    settings = trigger_settings(attack) | {"trigger": trigger, "norm": strength}
    if not TRIGGERS[trigger].has_norm:
        settings["patch_value"] = min(strength, 1.0)
    return apply_trigger(image[None], **settings)[0]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """L2 distance of two images, in pixel units."""
    return float(actual_norms(first[None], second[None])[0])


def verdict(before: Reply, after: Reply, moved: float) -> str:
    """Compare a copy moved by ``moved`` with the certificate of the picked image, in Markdown."""
    if before.label < 0:
        return f"Moved by **{moved:.2f}**. The picked image has no certificate: the members abstain."
    answer = markdown_text(after.answer)
    became = "is still" if after.label == before.label else "has become"
    if moved >= before.radius:
        return (
            f"Moved by **{moved:.2f}**, beyond the **{before.radius:.2f}** certified: the original promise no longer "
            f"covers it; the changed image has its own. The answer {became} **{answer}**."
        )
    words = f"Moved by **{moved:.2f} of {before.radius:.2f}** certified: the answer {became} **{answer}**"
    if after.label == before.label:
        return words + ", as promised."
    return words + (
        ". The members vote here at the moved image's own σ\\*; the certificate is about the picked image's σ\\*. Only "
        "a stored ball makes its answer hold for other images."
    )


def nearest_balls(balls: Balls, image: np.ndarray, classes: Sequence[str], *, count: int) -> pd.DataFrame:
    """The ``count`` balls whose edges are closest to ``image``, those that hold it first.

    Returns:
        Columns ``ball`` (id), ``row`` (its place in ``balls``),
        ``set, index, input`` (both in words), ``answer, distance, radius, edge`` (distance to the ball's edge,
        negative inside).
    """
    rows, distances = balls.nearest(image, count)
    return pd.DataFrame(
        {
            "ball": balls.ids[rows],
            "row": rows,
            "set": [balls.sets[row] for row in rows],
            "index": balls.indices[rows],
            "input": [_named(balls, row) for row in rows.tolist()],
            "answer": [classes[balls.labels[row]] for row in rows],
            "distance": distances,
            "radius": balls.radii[rows],
            "edge": distances - balls.radii[rows],
        }
    )


def _named(balls: Balls, row: int) -> str:
    return f"query, ball {balls.ids[row]}" if balls.sets[row] == "query" else f"{balls.sets[row]} {balls.indices[row]}"
