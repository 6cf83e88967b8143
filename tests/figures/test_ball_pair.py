import numpy as np
import pytest

from certssb_core.figures import theme
from certssb_core.figures.ball_pair import CONFLICT, Disc, lens, pair

BLUE, BROWN = "#111111", "#222222"


@pytest.fixture
def figure():
    """The second ball is trimmed because of the first."""
    first = Disc(("ball 0: 3", "ball 0: 3"), 1.0, 1.0, (BLUE, BLUE), decides=True)
    return pair(first, Disc(("ball 1: 5", "ball 1: 5"), 1.5, 0.8, (BROWN, BROWN)), 1.8)


def traces(figure, panel, words):
    axis = ("x", "x2")[panel]
    return [trace for trace in figure.data if trace.xaxis == axis and words in (trace.name or "")]


def inside(outline, points):
    """True for the points within a convex outline, by the sign of every edge's cross product."""
    edges = np.diff(outline, axis=0)
    offsets = points[:, None] - outline[:-1]
    return (edges[:, 0] * offsets[..., 1] - edges[:, 1] * offsets[..., 0] >= -1e-9).all(axis=1)


def test_discs_are_true_to_scale_before_and_after(figure):
    for panel, radius in enumerate((1.5, 0.8)):
        [second] = traces(figure, panel, f"ball 1: 5: r = {radius:.3f}")
        np.testing.assert_allclose(np.hypot(np.array(second.x) - 1.8, second.y), radius)
    assert (figure.layout.yaxis.scaleanchor, figure.layout.yaxis2.scaleanchor) == ("x", "x2")
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range


def test_what_both_claim_is_red_and_hatched_and_gone_after(figure):
    [conflict] = traces(figure, 0, CONFLICT)
    assert (conflict.line.color, conflict.fillpattern.shape) == (theme.VERMILION, "/")
    assert not traces(figure, 1, CONFLICT)


def test_the_ball_that_decides_stands_out(figure):
    [decides], [other] = traces(figure, 0, "ball 0: 3: r"), traces(figure, 0, "ball 1: 5: r")
    assert decides.line.width > other.line.width
    assert any(trace.text and trace.text[0].endswith("· decides") for trace in figure.data)


@pytest.mark.parametrize(("radii", "distance"), [((0.3, 0.7), 1.0), ((0.2, 1.5), 0.4), ((1.0, 0.5), 0.0)])
def test_names_of_balls_that_touch_or_meet_stand_clear_of_both(radii, distance):
    discs = [Disc((name, name), radius, radius, (BLUE, BROWN)) for name, radius in zip("ab", radii, strict=True)]
    names = [trace for trace in pair(*discs, distance).data if trace.mode == "text"]
    assert len(names) == 4
    assert {float(trace.y[0]) for trace in names} == {max(radii), -max(radii)}


def test_balls_of_one_label_may_meet(figure):
    alike = [Disc((name, name), 1.0, 1.0, (BLUE, BLUE)) for name in "ab"]
    assert not traces(pair(*alike, 0.5), 0, CONFLICT)


def test_the_centres_are_as_far_apart_as_said(figure):
    for panel in (0, 1):
        [line] = traces(figure, panel, "distance d = 1.800")
        assert list(line.x) == [0.0, 1.8]


@pytest.mark.parametrize(
    ("first", "second", "distance"), [(1.0, 1.5, 1.8), (1.0, 0.6, 0.8), (2.0, 0.5, 0.7), (0.5, 2.0, 0.7), (1, 1, 0.01)]
)
def test_the_lens_is_what_lies_in_both_discs(first, second, distance):
    """Random points, seed 0; those within 0.01 of an edge are left out, for outlines are polygons."""
    points = np.random.default_rng(0).uniform(-3, 3, (20_000, 2))
    depth = np.minimum(first - np.hypot(*points.T), second - np.hypot(points[:, 0] - distance, points[:, 1]))
    clear = np.abs(depth) > 0.01
    found = inside(lens(first, second, distance), points)
    np.testing.assert_array_equal(found[clear], (depth > 0)[clear])
    assert (found & clear).any()


@pytest.mark.parametrize(("first", "second", "distance"), [(1.0, 1.0, 2.0), (1.0, 0.5, 4.0), (0.0, 1.0, 0.5)])
def test_discs_that_do_not_meet_have_no_lens(first, second, distance):
    assert len(lens(first, second, distance)) == 0
