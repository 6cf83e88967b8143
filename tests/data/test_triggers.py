"""Triggers against the published positions and independently computed norms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certssb_core.data.triggers import TRIGGERS, actual_norms, apply_controls, apply_trigger
from certssb_core.errors import PoisonError

PUBLISHED = {
    ("one-pixel", 28): {(23, 23)},
    ("one-pixel", 32): {(15, 15)},
    ("one-pixel", 224): {(112, 112)},
    ("four-pixel", 28): {(18, 20), (19, 19), (20, 18), (20, 20)},
    ("four-pixel", 32): {(14, 16), (15, 15), (16, 14), (16, 16)},
    ("four-pixel", 224): {(112, 112), (111, 113), (113, 111), (113, 113)},
}


def changed_pixels(images, triggered):
    """Positions where any channel of the first image changed."""
    return set(zip(*np.nonzero((images[0] != triggered[0]).any(axis=0)), strict=True))


@pytest.mark.parametrize(("trigger", "size"), PUBLISHED)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixel_triggers_sit_at_the_published_positions_with_the_norm_spread_evenly(trigger, size, channels):
    images = np.zeros((2, channels, size, size), dtype=np.float32)
    triggered = apply_trigger(images, trigger, norm=0.9)
    assert changed_pixels(images, triggered) == PUBLISHED[trigger, size]
    share = 0.9 / (channels * len(PUBLISHED[trigger, size])) ** 0.5
    np.testing.assert_allclose(triggered[triggered > 0], share, rtol=1e-6)
    assert not images.any(), "the images given must stay untouched"


@given(height=st.integers(4, 300), width=st.integers(4, 300))
def test_on_every_size_all_pixels_lie_inside_and_apart(height, width):
    images = np.zeros((1, 1, height, width), dtype=np.float32)
    for trigger, pixels in (("one-pixel", 1), ("four-pixel", 4)):
        triggered = apply_trigger(images, trigger, norm=1.0)
        assert len(changed_pixels(images, triggered)) == pixels


def test_positions_scale_to_the_digits():
    images = np.zeros((1, 1, 8, 8), dtype=np.float32)
    assert changed_pixels(images, apply_trigger(images, "one-pixel", norm=1.0)) == {(6, 6)}
    four = {(4, 6), (5, 5), (6, 4), (6, 6)}
    assert changed_pixels(images, apply_trigger(images, "four-pixel", norm=1.0)) == four


@pytest.mark.parametrize("trigger", ["one-pixel", "four-pixel", "blended"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_without_clamping_the_actual_norm_is_the_nominal_one(trigger, shape):
    grey = np.full((3, *shape), 0.5, dtype=np.float32)
    triggered = apply_trigger(grey, trigger, norm=0.3)
    np.testing.assert_allclose(actual_norms(grey, triggered), 0.3, rtol=1e-5)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_after_clamping_the_norm_is_what_remains_in_the_pixels(trigger):
    images = np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32)
    triggered = apply_trigger(images, trigger, norm=20.0)
    assert triggered.dtype == np.float32
    assert triggered.min() >= 0
    assert triggered.max() <= 1
    expected = [
        sum((float(after) - float(before)) ** 2 for before, after in zip(a.flat, b.flat, strict=True)) ** 0.5
        for a, b in zip(images, triggered, strict=True)
    ]
    assert 0 < max(expected) < 14
    np.testing.assert_allclose(actual_norms(images, triggered), expected, rtol=1e-12)


def test_a_bright_pixel_leaves_no_room_for_the_trigger():
    images = np.zeros((2, 1, 28, 28), dtype=np.float32)
    images[1, 0, 23, 23] = 0.75
    triggered = apply_trigger(images, "one-pixel", norm=1.0)
    np.testing.assert_array_equal(actual_norms(images, triggered), [1.0, 0.25])


def test_blended_is_one_gaussian_pattern_for_all_images_fixed_by_its_own_seed():
    images = np.full((4, 3, 32, 32), 0.5, dtype=np.float32)
    change = apply_trigger(images, "blended", norm=1.0, pattern_seed=3) - images
    np.testing.assert_array_equal(change, np.broadcast_to(change[0], change.shape))
    alone = apply_trigger(images[:1], "blended", norm=1.0, pattern_seed=3) - images[:1]
    np.testing.assert_array_equal(change[:1], alone)
    other = apply_trigger(images, "blended", norm=1.0, pattern_seed=4) - images
    assert abs(np.corrcoef(change[0].ravel(), other[0].ravel())[0, 1]) < 0.1
    # Of 3,072 normal values 68.3 % lie within one standard deviation; 0.03 is over three standard errors.
    assert np.mean(np.abs(change[0]) < change[0].std()) == pytest.approx(0.683, abs=0.03)


def test_patch_fills_the_bottom_right_corner_and_nothing_else():
    images = np.full((2, 3, 9, 7), 0.5, dtype=np.float32)
    triggered = apply_trigger(images, "patch", norm=1.0, patch_size=2, patch_value=0.25)
    assert changed_pixels(images, triggered) == {(7, 5), (7, 6), (8, 5), (8, 6)}
    np.testing.assert_array_equal(triggered[:, :, 7:, 5:], 0.25)
    np.testing.assert_allclose(actual_norms(images, triggered), 0.25 * 12**0.5, rtol=1e-7)


def test_no_images_are_fine():
    nothing = np.zeros((0, 1, 8, 8), dtype=np.float32)
    for trigger in TRIGGERS:
        assert actual_norms(nothing, apply_trigger(nothing, trigger, norm=1.0)).shape == (0,)


@pytest.mark.parametrize(
    ("trigger", "settings", "sentence"),
    [
        ("sticker", {}, "no trigger 'sticker': choose one of one-pixel, four-pixel, blended, patch"),
        ("one-pixel", {"norm": 0.0}, "positive number, not 0"),
        ("one-pixel", {"norm": float("nan")}, "positive number, not nan"),
        ("blended", {"norm": float("inf")}, "positive number, not inf"),
        ("patch", {"patch_size": 0}, "1 to 8 pixels wide on these images, not 0"),
        ("patch", {"patch_size": 9}, "1 to 8 pixels wide on these images, not 9"),
        ("patch", {"patch_value": 1.5}, "between 0 and 1, not 1.5"),
    ],
)
def test_impossible_settings_are_refused(trigger, settings, sentence):
    with pytest.raises(PoisonError, match=sentence):
        apply_trigger(np.zeros((1, 1, 8, 8), dtype=np.float32), trigger, **{"norm": 1.0, **settings})


def test_images_too_small_for_four_pixels_are_refused():
    with pytest.raises(PoisonError, match="at least 4×4 pixels, not 3×8"):
        apply_trigger(np.zeros((1, 1, 3, 8), dtype=np.float32), "one-pixel", norm=1.0)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_controls_are_the_same_change_elsewhere(trigger):
    grey = np.full((6, 3, 16, 16), 0.5, np.float32)
    settings = {"norm": 0.4, "patch_value": 0.1}
    planted = apply_trigger(np.zeros_like(grey[:1]), trigger, **settings) != 0
    controls = apply_controls(grey, trigger, patterns=2, seed=5, **settings)
    norms = actual_norms(grey, controls)
    expected = 0.4 if trigger != "patch" else 0.1 * np.sqrt(27)
    assert np.allclose(norms, expected, atol=1e-5)
    assert np.array_equal(controls[0], controls[4])
    assert not np.array_equal(controls[0], controls[1])
    if trigger != "blended":  # which leaves no place free
        moved = (controls != grey).any(axis=0, keepdims=True)
        assert not (moved & planted).any()
