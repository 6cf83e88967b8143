import numpy as np
import pytest
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score, roc_curve

from certssb_core.comparisons.roc import area, hits


@pytest.mark.parametrize("steps", [3, 1000])  # 3: nearly all values are tied
@pytest.mark.parametrize("shift", [-1.0, 0.0, 2.0])
def test_the_area_is_that_of_scikit_learn(steps, shift):
    draws = np.random.default_rng(0)
    positive = np.round(draws.normal(shift, 1, 70) * steps) / steps
    negative = np.round(draws.normal(0, 1, 90) * steps) / steps
    labels = np.repeat([1, 0], [70, 90])
    values = np.concatenate([positive, negative])
    found = area(positive, negative)
    assert found.value == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    assert found.low < found.value < found.high
    false, true, _ = roc_curve(labels, values, drop_intermediate=False)
    grid = np.linspace(0, 1, 2001)
    ours = hits(positive, negative, grid)
    assert np.trapezoid(ours, grid) == pytest.approx(found.value, abs=1e-3)
    at = np.unique(false)
    highest = [true[false == one].max() for one in at]
    assert np.allclose(hits(positive, negative, at), highest, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_holds_the_true_area_as_often_as_it_says(shift):
    draws, true, held, trials = np.random.default_rng(1), ndtr(shift / np.sqrt(2)), 0, 600
    for _ in range(trials):
        found = area(draws.normal(shift, 1, 40), draws.normal(0, 1, 60))
        held += found.low <= true <= found.high
    assert 0.92 <= held / trials <= 0.99


def test_groups_apart_leave_room_for_doubt():
    found = area(np.arange(10.0) + 100, np.arange(12.0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.7 < found.low < 0.99
    turned = area(np.arange(12.0), np.arange(10.0) + 100)
    assert (turned.value, turned.low) == (0.0, 0.0)
    assert turned.high == pytest.approx(1 - found.low)


def test_an_empty_group_is_refused():
    with pytest.raises(ValueError, match="two groups are needed, got 0 and 3"):
        area([], [1, 2, 3])
