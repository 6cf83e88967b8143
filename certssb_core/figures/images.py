"""Images as figures: what a trigger does to them, pixel by pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from certssb_core.figures.theme import FONT_SIZE, styled
from certssb_core.plain_text import chart_text


def picture(image: np.ndarray, *, side: int = 224) -> str:
    """One image as a PNG in a data URI, with square, sharp pixels; arguments as in :func:`png`."""
    return "data:image/png;base64," + base64.b64encode(png(image, side=side)).decode()


def png(image: np.ndarray, *, side: int = 1) -> bytes:
    """One image as a PNG file, its pixels rounded to 8 bits.

    Args:
        image: ``(C, H, W)`` in [0, 1], C = 1 or 3.
        side: enlarged by a whole factor to at least this many pixels, so that no browser blurs it.
    """
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    pixels = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    factor = -(-side // max(pixels.shape[:2]))
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def magnification(clean: np.ndarray, triggered: np.ndarray) -> float:
    """Factor that stretches the largest change of a set of images to the full range; at least 1."""
    largest = float(np.abs(np.subtract(triggered, clean, dtype=np.float64)).max(initial=0))
    return max(1.0, 1 / largest) if largest else 1.0


def trigger_gallery(clean: np.ndarray, triggered: np.ndarray, *, titles: list[str]) -> go.Figure:
    """Three rows over n columns: the images, the same with the trigger, and the difference magnified.

    The difference is drawn about mid-grey: brighter where the trigger adds, darker where it takes away.

    Args:
        clean: ``(n, C, H, W)`` in [0, 1].
        triggered: the same images with the trigger.
        titles: n headings, such as ``"3 → 0"``.
    """
    factor = magnification(clean, triggered)
    change = 0.5 + np.subtract(triggered, clean, dtype=np.float64) * factor / 2
    return gallery({"clean": clean, "triggered": triggered, f"change × {factor:.3g}": change}, titles=titles)


def gallery(rows: dict[str, np.ndarray], *, titles: list[str], height: int = 520) -> go.Figure:
    """A row of images under another, each with its heading at the left.

    Args:
        rows: by heading, ``(n, C, H, W)`` in [0, 1]; titles: n headings of the columns.
    """
    figure = make_subplots(
        len(rows),
        len(titles),
        column_titles=[chart_text(title) for title in titles],
        horizontal_spacing=0.012,
        vertical_spacing=0.02,
    )
    for row, images in enumerate(rows.values(), start=1):
        for column, image in enumerate(images, start=1):
            figure.add_trace(go.Image(source=picture(image), hoverinfo="skip"), row, column)
    styled(figure, height=height, legend=False)
    figure.update_annotations(font_size=FONT_SIZE + 1)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, showline=False)
    for row, title in enumerate(rows, start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    return figure.update_layout(margin_t=40)
