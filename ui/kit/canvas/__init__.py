"""A canvas on an image's own pixel grid, by mouse, touch or keyboard; nothing is fetched from the network."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import streamlit as st

from certssb_core.query.edit_image import painted

_PARTS = {
    kind: (Path(__file__).parent / f"canvas.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
}
_canvas = st.components.v2.component("certssb.canvas", **_PARTS)


def paint(image: np.ndarray, *, label: str, version: str, key: str) -> np.ndarray:
    """Let the reader paint on ``image``.

    Args:
        image: ``(C, H, W)`` float32 in [0, 1].
        label: what it is, for a screen reader.
        version: a name of the image; under a new one the painting starts afresh.
        key: of the canvas.

    Returns:
        the image with what has been painted; untouched pixels keep their exact value.

    Raises:
        DataError: what came back is no painting of this image.
    """
    channels, height, width = image.shape
    pixels = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
    data = {"version": version, "label": label, "channels": channels, "height": height, "width": width}
    result = _canvas(
        key=key, data=data | {"pixels": base64.b64encode(pixels.tobytes()).decode()}, on_painted_change=lambda: None
    )
    sent = result.painted
    if not isinstance(sent, dict) or sent.get("version") != version:
        return image
    return painted(image, sent.get("strokes"))
