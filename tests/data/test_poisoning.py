"""Poisoning: who is poisoned, with which label, and what counts as the attack's success."""

import numpy as np
import pytest

from certssb_core.data.poisoning import LABEL_MODES, attacked_label, counts_for_attack, poison
from certssb_core.data.triggers import apply_trigger
from certssb_core.errors import PoisonError

LABELS = np.repeat(np.arange(4), 25)
IMAGES = np.random.default_rng(0).random((100, 1, 8, 8), dtype=np.float32)


def poison_some(**settings):
    defaults = {"classes": 4, "trigger": "four-pixel", "norm": 1.0, "rate": 0.2, "target": 1, "seed": 0}
    return poison(IMAGES, LABELS, **{**defaults, **settings})


@pytest.mark.parametrize(
    ("label_mode", "eligible", "wanted"),
    [
        ("all-to-one", {0, 2, 3}, {0: 1, 2: 1, 3: 1}),
        ("all-to-all", {0, 1, 2, 3}, {0: 1, 1: 2, 2: 3, 3: 0}),
        ("clean-label", {1}, {1: 1}),
    ],
)
def test_each_label_mode_poisons_its_images_with_its_label(label_mode, eligible, wanted):
    poisoned = poison_some(label_mode=label_mode)
    assert len(poisoned.indices) == len(set(poisoned.indices)) == 20
    np.testing.assert_array_equal(poisoned.original_labels, LABELS[poisoned.indices])
    assert set(poisoned.original_labels) == eligible
    assert [wanted[label] for label in poisoned.original_labels] == poisoned.labels[poisoned.indices].tolist()

    untouched = np.setdiff1d(np.arange(100), poisoned.indices)
    np.testing.assert_array_equal(poisoned.images[untouched], IMAGES[untouched])
    np.testing.assert_array_equal(poisoned.labels[untouched], LABELS[untouched])
    stamped = apply_trigger(IMAGES, "four-pixel", norm=1.0)
    np.testing.assert_array_equal(poisoned.images[poisoned.indices], stamped[poisoned.indices])


def test_norms_are_those_of_the_poisoned_images():
    poisoned = poison_some()
    change = (poisoned.images.astype(np.float64) - IMAGES)[poisoned.indices].reshape(20, -1)
    np.testing.assert_allclose(poisoned.norms, np.linalg.norm(change, axis=1), rtol=1e-12)
    assert poisoned.norms.dtype == np.float64


def test_the_data_given_stays_clean():
    images, labels = IMAGES.copy(), LABELS.copy()
    poison(images, labels, classes=4, trigger="patch", norm=1.0, rate=0.5)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_the_count_is_exact_where_floats_round_down():
    counts = [len(poison_some(rate=percent / 100, label_mode="all-to-all").indices) for percent in range(101)]
    assert counts == list(range(101))


def test_the_published_setting_poisons_253_of_12665():
    images, labels = np.zeros((12_665, 1, 4, 4), dtype=np.float32), np.arange(12_665) % 2
    poisoned = poison(images, labels, classes=2, trigger="one-pixel", norm=1.0, rate=0.02, target=0)
    assert len(poisoned.indices) == 253
    assert set(poisoned.original_labels) == {1}


def test_the_seed_decides_and_a_higher_rate_keeps_the_images_of_a_lower_one():
    few, again, many, other = (
        set(poison_some(rate=rate, seed=seed).indices) for rate, seed in ((0.1, 5), (0.1, 5), (0.4, 5), (0.1, 6))
    )
    assert few == again
    assert few < many
    assert few != other


def test_rate_zero_poisons_nothing():
    poisoned = poison_some(rate=0)
    assert poisoned.indices.shape == poisoned.norms.shape == (0,)
    np.testing.assert_array_equal(poisoned.images, IMAGES)


@pytest.mark.parametrize(
    ("label_mode", "wanted", "counts"),
    [
        ("all-to-one", [2, 2, 2], [True, True, False]),
        ("all-to-all", [1, 2, 0], [True, True, True]),
        ("clean-label", [2, 2, 2], [True, True, False]),
    ],
)
def test_success_is_measured_where_the_attacker_wants_something_else(label_mode, wanted, counts):
    labels = np.array([0, 1, 2])
    assert attacked_label(labels, label_mode=label_mode, target=2, classes=3).tolist() == wanted
    assert counts_for_attack(labels, label_mode=label_mode, target=2).tolist() == counts


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rate": 0.3, "label_mode": "clean-label"}, "30 poisoned images, .* only 25 of 100 training images"),
        ({"rate": 0.76}, "76 poisoned images, .* only 75 of 100"),
        ({"rate": 1.1}, "between 0 and 1, not 1.1"),
        ({"rate": float("nan")}, "between 0 and 1, not nan"),
        ({"target": 4}, "one of 0 to 3, not 4"),
        ({"target": -1}, "one of 0 to 3, not -1"),
        ({"label_mode": "dirty"}, f"choose one of {', '.join(LABEL_MODES)}"),
        ({"trigger": "sticker"}, "no trigger 'sticker'"),
    ],
)
def test_impossible_poisonings_are_refused(settings, sentence):
    with pytest.raises(PoisonError, match=sentence):
        poison_some(**settings)


def test_other_victims_are_the_next_ones_around_the_end():
    labels = np.array([0, 1, 1, 0, 2, 1])  # those that count are images 1, 2, 4 and 5
    chosen = [
        np.flatnonzero(counts_for_attack(labels, label_mode="clean-label", target=0, victims=2, first_victim=first))
        for first in range(5)
    ]
    assert [list(rows) for rows in chosen] == [[1, 5], [1, 2], [2, 4], [4, 5], [1, 5]]


@pytest.mark.parametrize(("victims", "expected"), [(1, [1]), (2, [1, 8]), (3, [1, 5, 8]), (5, [1, 2, 5, 7, 8])])
def test_victims_are_spread_over_the_images_that_count(victims, expected):
    labels = np.array([0, 1, 2, 0, 0, 1, 0, 1, 2, 0])
    counts = counts_for_attack(labels, label_mode="clean-label", target=0, victims=victims)
    assert np.flatnonzero(counts).tolist() == expected
