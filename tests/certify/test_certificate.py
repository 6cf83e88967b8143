"""Radii against a numerical Neyman–Pearson worst case, half-spaces, and brute force over subsets."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from certssb_core.certify.bounds.registry import ClassBounds, clopper_pearson_bounds
from certssb_core.certify.certificate import NOISE_MAPS, TEST_MAPS, certify, images_certified, norm_certified
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.input_votes import VoteBounds

positive = st.floats(0.05, 3.0)


def bounds_of(p_a, p_b):
    p_a, p_b = np.atleast_1d(p_a), np.atleast_1d(p_b)
    return ClassBounds(np.where(p_a > p_b, 0, -1), np.zeros(len(p_a), np.int64), p_a, p_b)


def margin_of(p_a, p_b):
    return certify(bounds_of(p_a, p_b), 1.0, training_map="uniform", test_map="uniform").margin[0]


def worst_case_keeps_the_class(p_a, p_b, sigmas, shift):
    """Neyman–Pearson on a grid: A has its mass where the attack lowers the density most, B where least."""
    axes = [np.arange(-7 * s, 7 * s + abs(d), s / 40) for s, d in zip(sigmas, shift, strict=True)]
    clean, moved = np.ones(1), np.ones(1)
    for axis, s, d in zip(axes, sigmas, shift, strict=True):
        clean = np.multiply.outer(clean, np.exp(-(axis**2) / (2 * s**2))).ravel()
        moved = np.multiply.outer(moved, np.exp(-((axis - d) ** 2) / (2 * s**2))).ravel()
    clean, moved = clean / clean.sum(), moved / moved.sum()
    order = np.argsort(np.log(moved + 1e-300) - np.log(clean + 1e-300))
    clean, moved = clean[order].cumsum(), moved[order].cumsum()
    least_a = moved[np.searchsorted(clean, p_a)]
    most_b = 1 - moved[np.searchsorted(clean, 1 - p_b)]
    return least_a > most_b


@pytest.mark.parametrize(("p_a", "p_b"), [(0.8, 0.2), (0.95, 0.02), (0.6, 0.3)])
@pytest.mark.parametrize(("sigmas", "direction"), [((0.5,), (1.0,)), ((0.5, 2.0), (0.3, 1.4))])
def test_weighted_norm_is_where_the_neyman_pearson_worst_case_flips(p_a, p_b, sigmas, direction):
    sigmas, direction = np.array(sigmas), np.array(direction)
    unit = direction / np.sqrt(np.sum(direction**2 / sigmas**2))  # weighted norm 1
    margin = margin_of(p_a, p_b)
    assert worst_case_keeps_the_class(p_a, p_b, sigmas, 0.97 * margin * unit)
    assert not worst_case_keeps_the_class(p_a, p_b, sigmas, 1.03 * margin * unit)


def test_a_half_space_flips_exactly_at_the_test_radius():
    sigma, offset = (
        np.array([0.25, 0.5, 1.0]),
        np.array([0.1, 0.7, 1.9]),
    )  # distance of x to the half-space's edge
    p_a = norm.cdf(offset / sigma)
    certificates = certify(bounds_of(p_a, 1 - p_a), sigma, training_map="uniform", test_map="uniform")
    np.testing.assert_allclose(certificates.radius, offset, rtol=1e-9)


@given(positive, st.lists(positive, min_size=1, max_size=6), positive, st.data())
@settings(deadline=None, derandomize=True)
def test_joint_budget_is_brute_force_over_which_images(sigma_test, sigma_train, margin, data):
    norm_ = data.draw(st.floats(0.01, 5.0))

    def certified(images, tau):
        weights = (
            sum(sigma_train[i] ** -2 for i in chosen) for chosen in combinations(range(len(sigma_train)), images)
        )
        return all(tau**2 * (sigma_test**-2 + weight) < margin**2 for weight in weights)

    expected = max((n for n in range(len(sigma_train) + 1) if certified(n, norm_)), default=-1)
    assert images_certified([margin], [sigma_test], sigma_train, norm=norm_)[0] == expected
    for images in range(len(sigma_train) + 1):
        supremum = norm_certified([margin], [sigma_test], sigma_train, images=images)[0]
        assert certified(images, supremum * (1 - 1e-9))
        assert not certified(images, supremum * (1 + 1e-9))


def test_joint_budget_is_tight_for_the_half_space_across_the_worst_images():
    sigma_test, sigma_train = 0.5, np.array([1.0, 0.25, 0.5, 2.0])
    margin, tau = 1.1, 0.23
    n = images_certified([margin], sigma_test, sigma_train, norm=tau)[0]
    assert n == 1

    def p_a_attacked(images):
        sigma = np.array([sigma_test, *np.sort(sigma_train)[:images]])
        normal = tau / sigma**2  # the half-space whose worst direction is tau in every coordinate
        return norm.cdf(margin - tau * normal.sum() / np.linalg.norm(normal * sigma))

    assert p_a_attacked(n) > 0.5 >= p_a_attacked(n + 1)


def test_joint_budget_is_strict_and_handles_its_ends():
    uniform = np.full(10, 1.0)
    assert images_certified([2.0], 1.0, uniform, norm=1.0)[0] == 2  # 1 + 3 = 4 is not < 4
    np.testing.assert_array_equal(images_certified([0.0, 0.5, 1e-9], 1.0, uniform, norm=0.0), [-1, 10, 10])
    np.testing.assert_array_equal(images_certified([0.9, 1.1], 1.0, uniform, norm=1.0), [-1, 0])
    np.testing.assert_array_equal(norm_certified([0.0, 3.0], 1.0, uniform, images=8), [0.0, 1.0])
    assert images_certified([2.5], np.inf, uniform, norm=1.0)[0] == 6  # training images only: 6 < 6.25
    assert images_certified([0.0], np.inf, uniform, norm=1.0)[0] == -1
    assert norm_certified([2.0], np.inf, uniform, images=4)[0] == 1.0
    assert norm_certified([2.0], np.inf, uniform, images=0)[0] == np.inf


def test_uniform_noise_gives_rabs_radius_over_the_training_perturbation():
    sigma, margin, images = 0.7, 1.3, 12
    tau = norm_certified([margin], sigma, np.full(100, sigma), images=images)[0]
    assert np.sqrt((images + 1) * tau**2) == pytest.approx(sigma * margin)  # whole perturbation, in L2


def test_abstaining_certifies_nothing_and_the_rest_follows_the_formula():
    bounds = clopper_pearson_bounds([[1000, 0], [505, 495]], 1000, 0.002)
    votes = VoteBounds(bounds, np.array([[1000, 0], [505, 495]]), np.full(2, 0.5), members=1000, test_map="uniform")
    certificates = CERTIFICATES["weighted-l2"].certify(votes, "uniform")
    assert certificates.prediction.tolist() == [0, -1]
    assert certificates.margin[0] == pytest.approx(2.4633, abs=5e-5)
    assert certificates.radius[0] == pytest.approx(0.5 * 2.4633, abs=5e-5)
    assert certificates.margin[1] == certificates.radius[1] == 0


def test_every_combination_of_noise_maps_says_its_condition():
    maps = ("uniform", "sample-specific")
    conditions = {
        (a, b): certify(bounds_of(0.9, 0.1), 1.0, training_map=a, test_map=b).condition for a in maps for b in maps
    }
    assert len(set(conditions.values())) == 4
    assert [maps for maps, text in conditions.items() if "no other condition" in text] == [("uniform", "uniform")]
    assert all(("attacker" in text) == (maps[0] == "sample-specific") for maps, text in conditions.items())


@pytest.mark.parametrize("kind", CERTIFICATES)
@pytest.mark.parametrize("training_map", NOISE_MAPS)
@pytest.mark.parametrize("test_map", TEST_MAPS)
def test_every_certificate_names_independent_noise_or_says_that_none_is_drawn(kind, training_map, test_map):
    text = CERTIFICATES[kind].condition(training_map, test_map)
    assert ("independently of the data and of the input" in text) != ("no noise is drawn" in text)


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_promises_say_what_does_not_happen_and_whether_labels_may_change(kind):
    """A vote may abstain, so no answer is promised to stay; each promise about training data names labels."""
    for text in (CERTIFICATES[kind].promise, CERTIFICATES[kind].joint):
        assert "same" not in text.replace("same number", "")
    assert "does not become another class" in CERTIFICATES[kind].promise
    covered = "covers poisons that change labels" in CERTIFICATES[kind].promise
    refused = "A poison that changes labels, or adds or removes images, is not covered" in CERTIFICATES[kind].joint
    assert covered != refused


@pytest.mark.parametrize(
    ("call", "offending"),
    [
        (lambda: certify(bounds_of(0.9, 0.1), 0.0, training_map="uniform", test_map="uniform"), "sigma.*0.0"),
        (lambda: certify(bounds_of(0.9, 0.1), np.inf, training_map="uniform", test_map="uniform"), "inf"),
        (lambda: certify(bounds_of(0.9, 0.1), 1.0, training_map="release", test_map="uniform"), "release"),
        (lambda: images_certified([1.0], 1.0, [1.0, -2.0], norm=1.0), "sigma_train.*-2.0"),
        (lambda: images_certified([-1.0], 1.0, [1.0], norm=1.0), "margin.*-1.0"),
        (lambda: images_certified([1.0], 1.0, [1.0], norm=-3.0), "norm.*-3.0"),
        (lambda: norm_certified([1.0], np.nan, [1.0], images=1), "sigma_test.*nan"),
        (lambda: norm_certified([1.0], 1.0, [1.0], images=2), "images.*2"),
    ],
)
def test_bad_input_is_named(call, offending):
    with pytest.raises(ValueError, match=offending):
        call()
