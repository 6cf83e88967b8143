"""The second implementation against numbers worked out by hand, so that it is no mere copy of the first."""

import numpy as np
import pandas as pd
import pytest

from certssb_core.audit.verification import recompute


def test_clopper_pearson_has_the_methods_check_values():
    """METHOD §4: 1000 of 1000 at one-sided 0.001 gives 0.993116, 990 of 1000 gives 0.976036."""
    found = recompute.clopper_pearson(np.array([[1000, 0], [10, 990], [500, 500]]), 1000, 0.002)
    assert found["prediction"].tolist() == [0, 1, -1]
    assert found["p_a_lower"].tolist()[:2] == pytest.approx([0.993116, 0.976036], abs=1e-6)
    assert found["p_b_upper"].tolist()[:2] == pytest.approx([1 - 0.993116, 1 - 0.976036], abs=1e-6)


def test_three_classes_share_alpha_over_both_sides():
    """Unanimous: lower bound (α/6)^(1/M); a class without votes: upper bound 1 - (α/6)^(1/M)."""
    edge = (0.01 / 6) ** (1 / 50)
    found = recompute.clopper_pearson(np.array([[0, 50, 0]]), 50, 0.01).iloc[0]
    assert (found["prediction"], found["p_a_lower"], found["p_b_upper"]) == (
        1,
        pytest.approx(edge),
        pytest.approx(1 - edge),
    )


def test_hoeffding_is_the_mean_less_its_width():
    found = recompute.hoeffding(np.array([[1.0, 0.0], [0.5, 0.5]]), 1000, 0.002)
    assert found["p_a_lower"].tolist() == pytest.approx([0.941230, 0.5 - (1 - 0.941230)], abs=1e-6)
    assert found["prediction"].tolist() == [0, -1]


def test_margin_of_a_thousand_unanimous_votes():
    found = recompute.margins(np.array([0, -1]), np.array([0.993116, 0.5]), np.array([1 - 0.993116, 0.6]))
    assert found.tolist() == pytest.approx([2.4633, 0.0], abs=5e-5)


BALLS = (np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([0, 1]), np.array([2.0, 3.0]))
"""Label 0 around the origin with radius 2, label 1 around (10, 0) with radius 3."""


@pytest.mark.parametrize(
    ("x", "prediction", "radius", "expected"),
    [
        (5.0, 0, 1.0, recompute.Update("disjoint", 0, 1.0, None)),
        (3.0, 0, 1.5, recompute.Update("same_label", 0, 1.5, 1.0)),
        (3.0, 1, 1.5, recompute.Update("trimmed", 1, 1.0, 1.0)),
        (1.5, 1, 1.5, recompute.Update("aligned", 0, 0.5, -0.5)),
        (1.5, -1, 0.0, recompute.Update("none", 0, 0.5, -0.5)),
        (5.0, -1, 0.0, recompute.Update("none", -1, 0.0, None)),
    ],
)
def test_each_case_of_the_storage_update(x, prediction, radius, expected):
    assert recompute.storage_updates(np.array([x, 0.0]), prediction, radius, *BALLS)[0] == expected


def test_the_first_input_is_disjoint_and_a_tie_may_go_either_way():
    nothing = (np.empty((0, 2)), np.empty(0, int), np.empty(0))
    assert recompute.storage_updates(np.zeros(2), 1, 0.5, *nothing)[0].case == "disjoint"
    touching = recompute.storage_updates(np.array([3.0, 0.0]), 1, 1.0, *BALLS)
    assert {update.case for update in touching} == {"disjoint", "trimmed"}


def test_budget_counts_the_worst_images_first():
    """σ_i of 0.5, 1 and 2 cost 4, 1 and 1/4 at τ = 1, the test input 1: margins² of 0.9, 4.9, 5.1, 6.2, 6.3."""
    margin = np.sqrt([0.9, 4.9, 5.1, 6.2, 6.3])
    found = recompute.images_certified(margin, np.ones(5), np.array([2.0, 0.5, 1.0]), 1.0)
    assert found.tolist() == [-1, 0, 1, 2, 3]


def test_metrics_of_a_table_small_enough_to_count():
    table = pd.DataFrame(
        {
            "set": ["clean"] * 3 + ["triggered"] * 3,
            "label": [0, 1, 1] * 2,
            "prediction": [0, 1, -1, 0, 0, 1],
            "radius": [1.0, 0.5, 0.0, 1.0, 1.0, 0.3],
            "votes_0": 0,
            "votes_1": 0,
        }
    )
    found = recompute.metrics(table, label_mode="all-to-one", target=0, radii=(0.0, 0.5))
    assert found["clean"] == {
        "n": 3,
        "accuracy": pytest.approx(2 / 3),
        "abstained": pytest.approx(1 / 3),
        "average_certified_radius": 0.5,
        "certified_accuracy": {"0.0": pytest.approx(2 / 3), "0.5": pytest.approx(1 / 3)},
    }
    assert found["triggered"] == {
        "n": 2,
        "attack_success_rate": 0.5,
        "empirical_robust_accuracy": 0.5,
        "certified_robust_accuracy": {"0.0": 0.5, "0.5": 0.0},
    }
    assert recompute.metrics(table, label_mode="all-to-all", target=0, radii=(0.0,))["triggered"]["n"] == 3
