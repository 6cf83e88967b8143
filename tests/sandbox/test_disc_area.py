import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certssb_core.sandbox.disc_area import union_area


def lens(distance, first, second):
    """The textbook area of the intersection of two discs."""
    a = np.arccos((distance**2 + first**2 - second**2) / (2 * distance * first))
    b = np.arccos((distance**2 + second**2 - first**2) / (2 * distance * second))
    triangle = (first + second) ** 2 - distance**2, distance**2 - (first - second) ** 2
    return first**2 * a + second**2 * b - 0.5 * np.sqrt(triangle[0] * triangle[1])


@pytest.mark.parametrize(("distance", "second"), [(1.0, 1.0), (0.5, 0.8), (1.7, 0.9), (0.21, 0.8)])
def test_two_discs_against_the_lens(distance, second):
    area = union_area([[3.0, -2.0], [3.0 + distance * 0.6, -2.0 + distance * 0.8]], [1.0, second])
    assert area == pytest.approx(np.pi * (1 + second**2) - lens(distance, 1.0, second), rel=1e-12)


def test_discs_apart_within_one_another_equal_touching_and_empty():
    assert union_area(np.empty((0, 2)), []) == 0
    assert union_area([[0, 0], [5, 0]], [1, 2]) == pytest.approx(5 * np.pi)
    assert union_area([[0, 0], [0.1, 0]], [1, 0.5]) == pytest.approx(np.pi)
    assert union_area([[0, 0], [0, 0], [0, 0]], [1, 1, 0]) == pytest.approx(np.pi)
    assert union_area([[0, 0], [2, 0]], [1, 1]) == pytest.approx(2 * np.pi)
    assert union_area([[0, 0], [0.5, 0]], [1, 0.5]) == pytest.approx(np.pi)


@settings(deadline=None)  # the grid takes its time
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_any_discs_against_a_count_of_grid_points(seed, count):
    generator = np.random.default_rng(seed)
    centres, radii = generator.uniform(-1, 1, (count, 2)), generator.uniform(0.05, 0.9, count)
    axis = np.linspace(-2, 2, 601)
    x, y = np.meshgrid(axis, axis)
    covered = np.zeros(x.shape, bool)
    for (cx, cy), radius in zip(centres, radii, strict=True):
        covered |= np.hypot(x - cx, y - cy) < radius
    # A grid miscounts cells that the boundary crosses; its length is at most that of all the circles.
    step = axis[1] - axis[0]
    assert union_area(centres, radii) == pytest.approx(
        covered.sum() * step**2, abs=0.1 * 2 * np.pi * radii.sum() * step
    )
