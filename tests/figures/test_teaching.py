"""Figures of the lessons, read back from what is drawn."""

import numpy as np
import pandas as pd
import pytest

from certssb_core.figures import teaching


def test_clouds_share_what_two_gaussians_share():
    figure = teaching.noise_clouds(2.0)
    at, alike = (np.asarray(figure.data[2][axis]) for axis in ("x", "y"))
    assert np.trapezoid(alike, at) == pytest.approx(0.3173, abs=2e-3)  # P(|Z| > 1), from a table


def test_fates_are_stacked_to_the_whole():
    shares = {"true class": 0.75, "no answer": 0.25}
    table = pd.DataFrame(
        {"who": "ensemble", "fate": fate, "share": one, "count": 1, "n": 4} for fate, one in shares.items()
    )
    figure = teaching.fates(table)
    assert [bar.name for bar in figure.data] == ["true class", "no answer"]
    assert sum(bar.x[0] for bar in figure.data) == 1
    assert figure.layout.barmode == "stack"


def test_curves_have_a_star_at_their_top():
    levels = np.array([0.1, 0.2, 0.4])
    figure = teaching.radius_curves({"<b>": (levels, np.array([0.1, 0.3, 0.2]))}, 0.2)
    assert (figure.data[1].x[0], figure.data[1].y[0]) == (0.2, 0.3)
    assert figure.data[0].name == "&lt;b&gt;"
    assert figure.layout.shapes[0].x0 == 0.2


def test_failures_are_binomial():
    figure = teaching.failures(3, 0.5)
    assert list(figure.data[0].y[:4]) == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8])
    assert sum(teaching.failures(500_000, 0.01).data[0].y) == pytest.approx(1, abs=1e-3)


def test_predictions_hide_the_right_answer_until_the_reveal():
    hidden, shown = (teaching.predictions(["a <b>", "b"], [3, 0], right) for right in (None, 1))
    assert list(hidden.data[0].x) == [3, 0]
    assert hidden.data[0].y[0] == "a &lt;b&gt;"
    assert len(set(hidden.data[0].marker.color)) == 1
    assert shown.data[0].marker.color[0] != shown.data[0].marker.color[1]
