"""The L0 certificate: published check values, and every world and every outcome of the noise on tiny data."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certssb_core.certify.l0 import features_certified


@pytest.mark.parametrize(
    ("keep", "p_a", "certified"), [(0.9, 0.99, 1), (0.8, 0.99, 2), (0.7, 0.99, 7), (0.6, 0.99, 33), (0.8, 0.9, 1)]
)
def test_the_values_of_the_literature(keep, p_a, certified):
    assert features_certified([p_a], [1 - p_a], keep=keep) == [certified]


def test_nothing_is_certified_where_the_class_does_not_lead():
    assert features_certified([0.5, 0.4, 0.6], [0.5, 0.6, 0.6], keep=0.8).tolist() == [-1, -1, -1]
    assert features_certified([0.500001], [0.499999], keep=0.8) == [0]


@settings(max_examples=60, deadline=None)
@given(st.floats(0.51, 0.999), st.floats(0, 1), st.sampled_from([0.55, 0.6, 0.7, 0.8, 0.9]))
def test_neyman_pearson_by_exact_fractions_over_every_outcome(p_a, share, keep):
    """The worst pair of decision regions, filled outcome by outcome in exact arithmetic, for k and for k + 1."""
    p_b = share * (1 - p_a)
    certified = int(features_certified([p_a], [p_b], keep=keep)[0])
    if certified <= 6:
        assert not stands(certified + 1, p_a, p_b, keep)
    assert stands(min(certified, 7), p_a, p_b, keep)


def stands(k: int, p_a: float, p_b: float, keep: float) -> bool:
    beta = Fraction(keep)
    outcomes = []
    for flips in itertools.product((0, 1), repeat=k):
        t = sum(flips)
        outcomes.append(((1 - beta) ** t * beta ** (k - t), beta**t * (1 - beta) ** (k - t)))
    outcomes.sort(key=lambda pair: pair[1] / pair[0])
    return moved(outcomes, Fraction(p_a)) > moved(outcomes[::-1], Fraction(p_b))


def moved(outcomes, total: Fraction) -> Fraction:
    mass = Fraction(0)
    for original, attacked in outcomes:
        taken = min(total, original)
        mass, total = mass + attacked * taken / original, total - taken
    return mass


def test_no_attack_on_a_tiny_training_set_flips_what_is_certified():
    """Three images of two features, their labels and a test input: all 2^11 noise outcomes, all attacks of k changes.

    The base learner is the nearest image (ties to class 0). Its smoothed answer is computed exactly in every world.
    """
    keep, n, d = 0.95, 3, 2
    bits = np.array(list(itertools.product((0, 1), repeat=n * d + n + d)), dtype=np.int64)
    answers = nearest_label(bits, n, d)
    flips = bits.sum(axis=1)
    weight = keep ** (bits.shape[1] - flips) * (1 - keep) ** flips
    place = bits @ (1 << np.arange(bits.shape[1] - 1, -1, -1))
    assert np.array_equal(place, np.arange(len(bits)))

    def probability(world: int) -> float:
        """Of class 1, when the noise starts from this world: outcome = world xor noise."""
        return float(weight[np.arange(len(bits)) ^ world] @ answers)

    all_worlds = np.array([probability(world) for world in range(len(bits))])
    checked = 0
    for world in range(len(bits)):
        p_one = all_worlds[world]
        label = int(p_one > 0.5)
        p_a = max(p_one, 1 - p_one)
        k = int(features_certified([p_a], [1 - p_a], keep=keep)[0])
        distance = flips[np.arange(len(bits)) ^ world]
        near = all_worlds[distance <= k]
        assert ((near > 0.5) == label).all() if k >= 0 else True
        checked += k >= 1
    assert checked > 100  # the claim was about something


def nearest_label(bits: np.ndarray, n: int, d: int) -> np.ndarray:
    images, labels, test = bits[:, : n * d].reshape(-1, n, d), bits[:, n * d : n * d + n], bits[:, n * d + n :]
    distance = 2 * np.abs(images - test[:, None]).sum(axis=2) + labels  # of a tie, class 0
    return labels[np.arange(len(bits)), distance.argmin(axis=1)]


@pytest.mark.parametrize("keep", [0.5, 1.0, 0.2])
def test_other_noise_is_refused(keep):
    with pytest.raises(ValueError, match="keep must lie between"):
        features_certified([0.9], [0.1], keep=keep)
