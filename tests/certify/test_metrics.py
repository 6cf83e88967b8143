"""Metrics against numbers counted by hand, pandas, and statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from certssb_core.certify.metrics import (
    certified_accuracy,
    clean_metrics,
    collapsed,
    store_metrics,
    triggered_metrics,
    wilson_interval,
)
from certssb_core.store.store import Store

PREDICTION = np.array([0, 1, 1, -1, 0])
RADIUS = np.array([0.5, 0.25, 2.0, 0.0, 0.1])
LABELS = np.array([0, 1, 0, 0, 0])


def test_clean_metrics_by_hand():
    assert clean_metrics(PREDICTION, RADIUS, LABELS, [0.0, 0.25, 1.0]) == {
        "n": 5,
        "accuracy": 0.6,
        "abstained": 0.2,
        "average_certified_radius": pytest.approx((0.5 + 0.25 + 0.1) / 5),
        "certified_accuracy": {"0.0": 0.6, "0.25": 0.2, "1.0": 0.0},  # 0.25 > 0.25 is false
    }


def test_triggered_metrics_count_only_what_counts():
    counts = np.array([True, False, True, True, True])
    assert triggered_metrics(PREDICTION, RADIUS, LABELS, np.ones(5, int), counts, [0, 0.2]) == {
        "n": 4,
        "attack_success_rate": 0.25,
        "empirical_robust_accuracy": 0.5,
        "certified_robust_accuracy": {"0.0": 0.5, "0.2": 0.25},
    }


def test_both_agree_with_pandas_on_random_runs():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "prediction": rng.integers(-1, 4, 500),
            "radius": rng.choice([0.0, 0.25, 0.5, 1.0], 500),
            "label": rng.integers(0, 4, 500),
        }
    ).assign(attacked=lambda t: (t.label + 1) % 4, counts=lambda t: t.label != 2)
    arrays = [table[name].to_numpy() for name in table]
    clean, triggered = clean_metrics(*arrays[:3], [0.25, 0.5]), triggered_metrics(*arrays, [0.25])
    right = table.query("prediction == label")
    assert clean["average_certified_radius"] == pytest.approx(right.radius.sum() / 500)
    assert clean["certified_accuracy"]["0.25"] == len(right.query("radius > 0.25")) / 500
    assert clean["abstained"] == table.prediction.value_counts(normalize=True)[-1]
    counted = table.query("counts")
    assert triggered["attack_success_rate"] == counted.eval("prediction == attacked").mean()
    robust = counted.eval("prediction == label & radius > 0.25").mean()
    assert triggered["certified_robust_accuracy"] == {"0.25": robust}


def test_a_share_of_no_images_is_not_a_number():
    empty = triggered_metrics(PREDICTION, RADIUS, LABELS, LABELS, np.zeros(5, bool), [0.0])
    assert empty["n"] == 0
    assert math.isnan(empty["attack_success_rate"])
    assert math.isnan(certified_accuracy([], [], [], radii=[1])["1.0"])


def test_store_metrics_by_hand():
    with Store.in_memory(1) as store:
        # The last one is trimmed to nothing: it touches both the second and the third.
        centres = [[0.0], [1.0], [3.0], [0.5], [0.0], [99.0], [2.0]]
        entries = store.insert(centres, [0, 0, 1, 1, -1, -1, 1], [1, 1, 5, 1, 0, 0, 1], [1] * 7, ["test"] * 7, range(7))
    assert [entry.case for entry in entries] == [
        "disjoint",
        "same_label",
        "trimmed",
        "aligned",
        "none",
        "none",
        "trimmed",
    ]
    assert store_metrics(entries) == {"stored": 4, "disjoint": 1, "same_label": 1, "trimmed": 2, "aligned": 1}


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (3, 7), (480, 2115)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_statsmodels(successes, n, confidence):
    expected = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx(expected, abs=1e-12)


def test_wilson_says_nothing_about_nothing_and_names_bad_input():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="got 4"):
        wilson_interval(4, 3)
    with pytest.raises(ValueError, match=r"got 1\.5"):
        wilson_interval(1, 3, 1.5)


@pytest.mark.parametrize(
    ("prediction", "labels", "expected"),
    [
        ([1, 1, -1, 1], [0, 1, 0, 1], True),
        ([1, 0, -1, 1], [0, 1, 0, 1], False),
        ([1, 1], [1, 1], False),
        ([-1], [0], False),
    ],
)
def test_one_class_for_images_of_several_is_a_collapse(prediction, labels, expected):
    assert collapsed(prediction, labels) is expected
