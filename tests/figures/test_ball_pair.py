import numpy as np
import pytest

from certssb_core.figures.ball_pair import Disc, pair


@pytest.fixture
def figure():
    return pair(Disc("clean 3", "#111111", 1.0, 0.8), Disc("triggered 3", "#222222", 1.5, 0.0), 1.8)


def test_discs_are_true_to_scale(figure):
    outlines = {trace.name: trace for trace in figure.data if "r =" in trace.name}
    assert set(outlines) == {
        "clean 3, before: r = 1.000",
        "clean 3, after: r = 0.800",
        "triggered 3, before: r = 1.500",  # not stored: no disc after
    }
    second = outlines["triggered 3, before: r = 1.500"]
    np.testing.assert_allclose(np.hypot(np.array(second.x) - 1.8, second.y), 1.5)
    assert figure.layout.yaxis.scaleanchor == "x"


def test_before_is_dashed_and_after_filled(figure):
    before, after = (trace for trace in figure.data if trace.name.startswith("clean 3,"))
    assert (before.line.dash, before.fill) == ("dash", "none")
    assert (after.line.dash, after.fill) == ("solid", "toself")


def test_the_centres_are_as_far_apart_as_said(figure):
    line = figure.data[-1]
    assert list(line.x) == [0.0, 1.8]
    assert "1.800" in line.name


def test_an_unchanged_disc_is_one_ring():
    figure = pair(Disc("a", "#111111", 1.0, 1.0), Disc("b", "#222222", 0.5, 0.5), 3.0)
    assert [trace.name for trace in figure.data if "r =" in trace.name] == ["a: r = 1.000", "b: r = 0.500"]
