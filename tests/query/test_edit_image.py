"""Painting, triggers and nearest balls, against plain loops and hand-worked numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from certssb_core.config.schema import AttackConfig
from certssb_core.data.triggers import apply_trigger
from certssb_core.errors import DataError
from certssb_core.query import edit_image
from certssb_core.query.reply import Reply
from certssb_core.store.store import Store

GREY = np.full((1, 4, 6), 1 / 3, np.float32)
REPLY = Reply(
    "store", "3", 3, 0.77, "L2 pixel units", 5, False, (0, 9), 3, 0.9, 0.1, 1.2, 0.4, 0.7, "promise", "condition"
)


def reply(**changes) -> Reply:
    return Reply(**REPLY.__dict__ | changes)


def test_painted_pixels_change_and_the_others_keep_their_exact_value():
    result = edit_image.painted(GREY, [[0, 255], [4 * 6 - 1, 51], [7, 0]])
    expected = GREY.copy()
    expected[0, 0, 0], expected[0, 3, 5], expected[0, 1, 1] = 1, 0.2, 0
    np.testing.assert_array_equal(result, expected)
    assert (np.float32(1 / 3) == GREY).all(), "the picked image is left as it was"


def test_colour_is_painted_channel_by_channel():
    result = edit_image.painted(np.zeros((3, 4, 4), np.float32), [[5, 255, 0, 51]])
    assert result[:, 1, 1].tolist() == pytest.approx([1, 0, 0.2])
    assert np.count_nonzero(result) == 2


def test_no_strokes_change_nothing():
    np.testing.assert_array_equal(edit_image.painted(GREY, []), GREY)


@pytest.mark.parametrize(
    "strokes",
    [None, "x", {"a": 1}, [[1]], [[1, 2, 3]], [[1, 2], [3]], [[24, 0]], [[-1, 0]], [[0, 256]], [[0, float("nan")]]],
)
def test_what_is_no_painting_is_refused(strokes):
    with pytest.raises(DataError, match="painted"):
        edit_image.painted(GREY, strokes)


@pytest.mark.parametrize("trigger", ["one-pixel", "four-pixel", "blended"])
def test_the_strength_is_the_norm(trigger):
    grey = np.full((1, 8, 8), 0.5, np.float32)
    moved = edit_image.triggered(grey, AttackConfig(pattern_seed=3), trigger, 0.3)
    np.testing.assert_array_equal(moved, apply_trigger(grey[None], trigger, norm=0.3, pattern_seed=3)[0])
    assert edit_image.distance(grey, moved) == pytest.approx(0.3, abs=1e-6)


def test_of_a_patch_it_is_the_value_of_its_pixels_and_zero_is_no_trigger():
    moved = edit_image.triggered(GREY, AttackConfig(patch_size=2), "patch", 0.9)
    assert (moved[0, -2:, -2:] == np.float32(0.9)).all()
    assert edit_image.triggered(GREY, AttackConfig(), "blended", 0.0) is GREY


def test_the_verdict_holds_the_distance_against_the_radius():
    assert "Moved by **0.42 of 0.77** certified: the answer is still **3**" in edit_image.verdict(
        reply(), reply(), 0.42
    )
    other = reply(label=8, answer="8")
    assert "beyond the **0.77** certified" in edit_image.verdict(reply(), other, 0.77), "the ball is open"
    assert "has become **8**" in edit_image.verdict(reply(), other, 2.0)
    assert "picked image's σ\\*" in edit_image.verdict(reply(answered_by="members"), other, 0.1)
    assert "abstain" in edit_image.verdict(reply(label=-1), reply(), 0.1)


def test_the_nearest_balls_are_those_whose_edge_is_nearest():
    generator = np.random.default_rng(0)
    centres = generator.random((30, 5)).astype(np.float32)
    radii, labels = generator.random(30) * 0.3, generator.integers(0, 3, 30)
    with Store.in_memory(5) as store:
        store.insert(centres, labels, radii, np.ones(30), ["clean"] * 30, np.arange(30))
        balls = store.balls()
        image = generator.random((1, 5, 1)).astype(np.float32)
        table = edit_image.nearest_balls(balls, image, "xyz", count=6)
        answer = store.query(image.ravel())
    edges = {}
    for ball, centre, radius in zip(balls.ids, balls.centres, balls.radii, strict=True):
        edges[int(ball)] = math.dist(centre.tolist(), image.ravel().tolist()) - radius
    assert table["ball"].tolist() == sorted(edges, key=edges.get)[:6]
    assert table["edge"].tolist() == pytest.approx(sorted(edges.values())[:6])
    assert (table["distance"] - table["radius"]).tolist() == pytest.approx(table["edge"].tolist())
    assert (table["edge"].iloc[0] < 0) == (answer is not None)


def test_an_empty_store_has_no_nearest_ball(tmp_path):
    with Store.open(tmp_path / "store.sqlite") as store:
        assert edit_image.nearest_balls(store.balls(), GREY, "xyz", count=6).empty
