"""Answers and their radii against rational arithmetic that shares no code with the store."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certssb_core.store.answer import Answer
from certssb_core.store.store import Store

COORDINATE = st.integers(-8, 8).map(lambda k: np.float32(k / 3))
BALL = st.tuples(COORDINATE, COORDINATE, st.integers(0, 2), st.floats(0.01, 4))


def filled(balls) -> Store:
    store = Store.in_memory(2)
    rows = np.array(balls, dtype=np.float64).reshape(-1, 4)
    count = len(rows)
    store.insert(rows[:, :2], rows[:, 2], rows[:, 3], np.ones(count), ["x"] * count, np.arange(count))
    return store


def square(centre, point) -> Fraction:
    return sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(centre, point, strict=True))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    balls=st.lists(BALL, max_size=12),
    point=st.tuples(COORDINATE, COORDINATE),
    label=st.integers(-1, 2),
    own=st.floats(0, 6),
)
def test_no_ball_of_another_label_reaches_into_a_stated_radius(balls, point, label, own):
    own = own if label >= 0 else 0.0
    with filled(balls) as store:
        given_by, kept = store.answer(point, prediction=label, radius=own), store.balls()
    radius, reached = Fraction(given_by.radius), []
    for centre, outer, other, ball in zip(kept.centres, kept.radii, kept.labels, kept.ids, strict=True):
        apart, outer = square(centre, point), Fraction(float(outer))
        if given_by.ball is None and other != given_by.label and given_by.label >= 0:
            assert (radius + outer) ** 2 <= apart, "exactly: open balls do not meet"
            reached.append((Fraction(float(np.nextafter(given_by.radius, np.inf))) + outer) ** 2 > apart)
        if ball == given_by.ball:
            assert radius <= outer
            assert apart <= (outer - radius) ** 2, "exactly: the answering ball holds the whole radius"
    if given_by.ball is None:
        assert given_by.label == label
        assert given_by.radius == own or any(reached) or given_by.radius == 0, "as far as may be, and no farther"


def test_a_rival_ball_that_begins_nearer_ends_the_members_radius():
    with filled([(2.0, 0.0, 1, 1.5), (0.0, 5.0, 0, 1.0)]) as store:
        assert store.answer([0.0, 0.0], prediction=0, radius=3.0) == Answer(0, 0.5, None)
        assert store.answer([0.0, 0.0], prediction=1, radius=3.0) == Answer(1, 3.0, None), "its own label does no harm"
        assert store.answer([0.0, 0.0], prediction=0, radius=0.25) == Answer(0, 0.25, None)
        assert store.answer([0.0, 0.0]) == Answer(-1, 0.0, None)
        assert store.answer([1.0, 0.0], prediction=0, radius=3.0) == Answer(1, 0.5, 0)


def test_a_tiny_room_is_found_at_once():
    """Distance and radius differ in the last place: the room is many orders smaller than either."""
    with filled([(3.0, 0.0, 1, float(np.nextafter(3.0, 0.0)))]) as store:
        assert store.answer([0.0, 0.0], prediction=0, radius=1.0).radius == 3.0 - float(np.nextafter(3.0, 0.0))


@pytest.mark.parametrize("dim", [1, 5])
def test_an_empty_store_leaves_the_members_radius(dim):
    with Store.in_memory(dim) as store:
        assert store.answer(np.zeros(dim), prediction=2, radius=1.5) == Answer(2, 1.5, None)
