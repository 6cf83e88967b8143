import numpy as np
import pandas as pd
import pytest

from certssb_core.figures import pairs, theme
from certssb_core.store.overlaps import survey


@pytest.fixture
def three_balls():
    """On a line: 0 and 1 conflict (d = 1 < 1.2), 2 is far and of the first one's label."""
    return survey(np.array([[0.0], [1.0], [5.0]]), np.array([0, 1, 0]), np.array([0.6, 0.6, 0.5]), bins=10)


def test_conflicts_lie_below_the_touching_line(three_balls):
    figure = pairs.distance_against_radii(three_balls, names=["zero", "one", "two"])
    heat, line, conflicts, misses = figure.data
    assert np.nansum(np.array(heat.customdata)) == 2  # the pairs of different label
    assert list(line.x) == list(line.y)
    assert list(map(list, conflicts.customdata)) == [[0, 1, "zero", "one"]]
    assert list(map(list, misses.customdata)) == [[1, 2, "one", "two"]]
    assert (conflicts.x[0], conflicts.y[0]) == pytest.approx((1.2, 1.0))


def test_which_pairs_are_binned_can_be_chosen(three_balls):
    def binned(which):
        return np.sum(pairs.distance_against_radii(three_balls, pairs=which).data[0].customdata)

    assert (binned("different"), binned("same"), binned("all")) == (2, 1, 3)


def test_no_pairs_draw_an_empty_plane():
    nothing = survey(np.zeros((0, 2)), np.zeros(0, int), np.zeros(0))
    assert len(pairs.distance_against_radii(nothing).data) == 2


def test_each_case_keeps_its_colour_and_count():
    figure = pairs.cases(pd.Series({"trimmed": 3, "disjoint": 40}))
    bar = figure.data[0]
    assert dict(zip(bar.y, bar.x, strict=True)) == {"1 · disjoint": 40, "3a · trim": 3}
    assert list(bar.marker.color) == [theme.COLOURS["trimmed"], theme.COLOURS["disjoint"]]
