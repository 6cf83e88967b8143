"""Joint bounds, selection split and coverage of every bound: exact sums, SciPy, and simulation."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from certssb_core.certify.bounds.joint import joint_bounds
from certssb_core.certify.bounds.registry import BOUNDS, clopper_pearson_bounds
from certssb_core.certify.bounds.selection_split import selection_split_bounds

_SPEC = importlib.util.spec_from_file_location("coverage_of_bounds", Path(__file__).with_name("coverage.py"))
coverage = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(coverage)

ALPHA = 0.05


def two(votes, trials):
    return np.stack([votes, trials - votes], axis=1)


@pytest.mark.parametrize(("trials", "alpha"), [(20, 0.05), (101, 0.01), (5, 0.001)])
def test_two_classes_are_exact_and_use_all_of_alpha(trials, alpha):
    votes = np.arange(trials + 1)
    bounds = joint_bounds(two(votes, trials), trials, alpha)
    grid = np.unique(np.concatenate([np.linspace(0.5, 1, 2001), bounds.p_a_lower[bounds.prediction >= 0] - 1e-9]))
    risk = [binom.pmf(votes, trials, p) @ coverage.wrong(bounds, [p, 1 - p]) for p in grid]
    assert max(risk) <= alpha
    if trials > 5:
        assert max(risk) > 0.99 * alpha
    else:
        assert (bounds.prediction == -1).all()  # five votes decide nothing at this alpha


def test_two_classes_against_the_definition_on_a_grid():
    trials, alpha = 40, 0.02
    fewest = next(k for k in range(21, 41) if 2 * binom.sf(k - 1, trials, 0.5) <= alpha)
    grid = np.linspace(0.5, 1, 100_001)
    for k in range(fewest, trials + 1):
        allowed = binom.sf(k - 1, trials, grid) + binom.cdf(trials - fewest, trials, grid) <= alpha
        expected = grid[np.argmin(allowed)]
        assert joint_bounds([[k, trials - k]], trials, alpha).p_a_lower[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_draw_spends_all_of_alpha_on_one_side(classes):
    """Against SciPy's binomial law; one sided bounds fail with alpha exactly, whatever p."""
    trials, alpha = 40, 0.02
    leading = np.arange(20, trials + 1)
    counts = np.zeros((len(leading), classes), int)
    counts[:, 0], counts[:, 1] = leading, trials - leading
    for u in (0.2, 0.7, 1.0):
        bounds = joint_bounds(counts, trials, alpha, np.full(len(counts), u))
        for k, p, decided in zip(leading, bounds.p_a_lower, bounds.prediction >= 0, strict=True):
            if not decided:
                continue
            law, losing = binom(trials, p), 0.0
            if classes == 2:
                fewest = next(d for d in range(21, 41) if 2 * binom.sf(d - 1, trials, 0.5) <= alpha)
                losing = law.cdf(trials - fewest)
            share = alpha if classes == 2 else 0.6 * alpha
            assert law.sf(k) + u * law.pmf(k) + losing == pytest.approx(share, rel=1e-6)


def test_draws_of_one_are_the_bound_without_draws_and_small_ones_stay_finite():
    counts = np.array([[50, 0], [40, 10], [26, 24]])
    plain, least = joint_bounds(counts, 50, 0.01), joint_bounds(counts, 50, 0.01, np.zeros(3))
    for draws in (1.0, np.ones(3)):
        np.testing.assert_array_equal(joint_bounds(counts, 50, 0.01, draws).p_a_lower, plain.p_a_lower)
    assert least.p_a_lower[0] == pytest.approx((0.01 / 0.1) ** (1 / 50))  # u counts as √α at least
    assert (least.p_a_lower >= plain.p_a_lower).all()
    assert (least.prediction == plain.prediction).all()
    with pytest.raises(ValueError, match="draws must lie"):
        joint_bounds(counts, 50, 0.01, [0.5, 0.5, 1.5])


@pytest.mark.parametrize("trials", [30, 200, 1000])
def test_two_classes_never_lose_to_the_split_over_classes_and_abstain_on_the_same_votes(trials):
    votes = np.arange(trials + 1)
    joint, split = (f(two(votes, trials), trials, 0.001) for f in (joint_bounds, clopper_pearson_bounds))
    assert (joint.p_a_lower >= split.p_a_lower - 1e-12).all()
    np.testing.assert_array_equal(joint.prediction, split.prediction)
    if trials == 1000:  # unanimous: one-sided at alpha, the check value of the literature
        assert joint.p_a_lower[-1] == pytest.approx(0.993116, abs=5e-7)


def test_more_classes_against_scipys_intervals_and_test():
    counts = np.random.default_rng(1).multinomial(120, [0.5, 0.3, 0.15, 0.05], size=60)
    bounds = joint_bounds(counts, 120, ALPHA)
    for row, count in enumerate(counts.tolist()):
        top = count.index(max(count))
        second = max(count[:top] + count[top + 1 :])
        low = binomtest(count[top], 120, alternative="greater").proportion_ci(1 - 0.6 * ALPHA, method="exact").low
        high = binomtest(second, 120, alternative="less").proportion_ci(1 - 0.3 * ALPHA, method="exact").high
        p_value = binomtest(count[top], count[top] + second).pvalue
        decided = low > min(high, 1 - low) and p_value <= 0.1 * ALPHA
        assert bounds.prediction[row] == (top if decided else -1)
        if decided:
            assert bounds.p_a_lower[row] == pytest.approx(low, abs=1e-9)
            assert bounds.p_b_upper[row] == pytest.approx(min(high, 1 - low), abs=1e-9)
    assert 0 < (bounds.prediction >= 0).mean() < 1


def test_split_chooses_by_the_first_votes_and_bounds_by_the_rest():
    votes = np.zeros((100, 3), np.uint8)
    votes[:10, 1] = 1  # the first ten choose class 1, the others say 0
    votes[50:60, 2] = 1
    bounds = selection_split_bounds(votes, 2, 0.001)
    assert bounds.top.tolist() == [0, 1, 0]
    assert bounds.prediction.tolist() == [0, -1, 0]
    assert bounds.p_a_lower[0] == pytest.approx(0.001 ** (1 / 90))
    expected = binomtest(80, 90, alternative="greater").proportion_ci(0.999, method="exact").low
    assert bounds.p_a_lower[2] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("votes", "classes"), [(np.zeros((1, 3)), 2), (np.zeros(5), 2), (np.full((5, 2), 3), 3)])
def test_split_names_bad_votes(votes, classes):
    with pytest.raises(ValueError, match="votes must"):
        selection_split_bounds(votes, classes, 0.001)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("classes", coverage.GRIDS)
def test_coverage_survives_the_choice_of_the_class(name, classes):
    settings = {"members": 50, "alpha": 0.1, "experiments": 500 if name == "time-uniform" else 6000}
    risks = [coverage.risk(name, p, seed=7, **settings) for p in coverage.GRIDS[classes]]
    allowed = binom.isf(1e-4, settings["experiments"], 0.1) / settings["experiments"]  # 1 in 10,000 by chance
    assert max(risks) <= allowed


@pytest.mark.exhaustive
@pytest.mark.parametrize("members", [40, 200])
@pytest.mark.parametrize("classes", coverage.GRIDS)
@pytest.mark.parametrize("name", BOUNDS)
def test_coverage_in_a_hundred_thousand_experiments(name, classes, members):
    settings = {"members": members, "alpha": 0.05, "experiments": 100_000}
    risks = [coverage.risk(name, p, seed=11, **settings) for p in coverage.GRIDS[classes]]
    allowed = binom.isf(1e-4, settings["experiments"], 0.05) / settings["experiments"]  # 0.0526: noise of the count
    assert max(risks) <= allowed
