"""Differences to a baseline, beside exact coverage, SciPy's own tests, and data whose differences are known."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from certssb_core.config.parse import override
from certssb_core.config.schema import AttackConfig, RunConfig
from certssb_core.results.against_baseline import MEASURES, against, mean_difference, same_images, share_difference
from certssb_core.results.comparison import Series
from certssb_core.runs.run import Run


def booleans(both: int, only: int, other: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, only, other, neither])
    return first, np.repeat([True, False, True, False], [both, only, other, neither])


@pytest.mark.parametrize("p", [(0.7, 0.05, 0.1, 0.15), (0.4, 0.1, 0.1, 0.4), (0.9, 0.02, 0.05, 0.03)])
def test_the_paired_interval_covers_the_true_difference(p):
    """Exact coverage over all tables of n = 25 pairs: at least near 95 %, narrower on average than unpaired."""
    n, covered, narrower = 25, 0.0, 0.0
    for both, only, other in product(range(n + 1), repeat=3):
        if (neither := n - both - only - other) < 0:
            continue
        weight = stats.multinomial.pmf([both, only, other, neither], n, p)
        if weight < 1e-6:
            continue
        pairs = booleans(both, only, other, neither)
        found, apart = share_difference(*pairs, paired=True), share_difference(*pairs, paired=False)
        covered += weight * (found.low <= p[2] - p[1] <= found.high)
        narrower += weight * (apart.high - apart.low - found.high + found.low)
    assert covered > 0.935
    assert narrower > 0


def test_independent_shares_have_newcombe_s_interval():
    """His example: 56 of 70 less 48 of 80 is 0.2, from 0.0524 to 0.3339."""
    first, second = np.arange(80) < 48, np.arange(70) < 56
    found = share_difference(first, second, paired=False)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("paired", [True, False])
def test_mean_differences_are_those_of_scipy_s_t_tests(paired):
    generator = np.random.default_rng(0)
    first, second = generator.random(20), generator.random(20) + 0.1
    test = stats.ttest_rel(second, first) if paired else stats.ttest_ind(second, first, equal_var=False)
    interval = test.confidence_interval(0.95)
    found = mean_difference(first, second, paired=paired)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_one_image_says_nothing_about_a_mean():
    found = mean_difference(np.array([1.0]), np.array([2.0]), paired=True)
    assert (found.value, found.low, found.high) == (1.0, -np.inf, np.inf)


def series(name: str, predictions: list[int], radii: list[float], labels=(1, 2, 1, 2)) -> Series:
    rows = [
        {"set": which, "index": i, "label": labels[i], "prediction": predictions[i], "radius": radii[i]}
        for which in ("clean", "triggered")
        for i in range(4)
    ]
    return Series(name, pd.DataFrame(rows), AttackConfig(target=0), 3)


BASE, BETTER = series("base", [1, 2, 0, -1], [0.5, 0.1, 0.9, 0.0]), series("better", [1, 2, 1, 2], [0.5, 0.5, 0.5, 0.1])
BOTH = frozenset({"clean", "triggered"})


def test_every_measure_is_counted_by_hand():
    table = against([BASE, BETTER], baseline=0, radius=0.25, same=[BOTH, BOTH]).set_index(["series", "measure"])
    values = {key: table.loc[("base", key), "value"] for key in MEASURES}
    assert values == pytest.approx(
        {"accuracy": 0.5, "certified": 0.25, "radius": 0.15, "attack_success": 0.25, "robust": 0.25}
    )
    gained = {key: table.loc[("better", key), "difference"] for key in MEASURES}
    assert gained == pytest.approx(
        {"accuracy": 0.5, "certified": 0.5, "radius": 0.25, "attack_success": -0.25, "robust": 0.5}
    )
    assert table.loc["base", "difference"].isna().all()
    assert table["paired"].all()


def test_images_with_other_labels_are_not_paired():
    other = series("other", [1, 2, 1, 2], [0.5] * 4, labels=(2, 1, 2, 1))
    table = against([BASE, other], baseline=0, radius=0.25, same=[BOTH, BOTH]).set_index(["series", "measure"])
    assert not table.loc["other", "paired"].any()
    apart = against([BASE, BETTER], baseline=0, radius=0.25, same=[BOTH, frozenset()])
    assert not apart.loc[apart["series"] == "better", "paired"].any()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, BOTH),
        ({"noise.sigma": "0.4", "training.members": "9"}, BOTH),
        ({"data.max_train": "50"}, BOTH),
        ({"attack.norm": "2"}, {"clean"}),
        ({"data.classes": "0,1"}, set()),
        ({"data.max_test": "50"}, set()),
    ],
)
def test_runs_share_images_as_far_as_their_settings_do(tmp_path, changes, expected):
    first = Run.create(RunConfig(), "first", tmp_path)
    second = Run.create(override(RunConfig(), changes), "second", tmp_path)
    assert same_images(first, second) == expected == same_images(second, first)
