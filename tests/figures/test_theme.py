"""The common look: readable on both backgrounds, and said in rgba as it is."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from certssb_core.figures.theme import COLOURS, SEQUENCE, class_colour, styled, translucent


def luminance(colour: str) -> float:
    """WCAG 2 relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", sorted(set(COLOURS.values())))
def test_colours_with_a_meaning_stand_out_on_white_and_on_near_black(colour):
    assert contrast(colour, "#FFFFFF") > 2
    assert contrast(colour, "#10151C") > 3


def test_classes_differ_and_repeat_only_after_all_colours():
    assert len({class_colour(position) for position in range(len(SEQUENCE))}) == len(SEQUENCE)
    assert class_colour(len(SEQUENCE)) == class_colour(0)


def test_translucent():
    assert translucent("#0072B2", 0.25) == "rgba(0, 114, 178, 0.25)"


def test_styled_names_the_axes_and_leaves_the_background_open():
    figure = styled(go.Figure(go.Scatter(x=[0], y=[1])), x="radius (L2)", y="share", height=300)
    layout = figure.layout
    assert (layout.xaxis.title.text, layout.yaxis.title.text, layout.height) == ("radius (L2)", "share", 300)
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert layout.font.color is None
    assert layout.font.size >= 16
