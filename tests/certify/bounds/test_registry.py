"""Bounds against SciPy, statsmodels, closed forms, and coverage with selection."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.proportion import proportion_confint

from certssb_core.certify.bounds.registry import (
    BOUNDS,
    clopper_pearson_bounds,
    clopper_pearson_lower,
    clopper_pearson_upper,
    hoeffding_bounds,
    hoeffding_lower,
    hoeffding_upper,
    largest_probability,
)

ALPHA = 0.05


@pytest.mark.parametrize("trials", [1, 7, 100])
@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_clopper_pearson_is_scipys_and_statsmodels(trials, alpha):
    counts = np.arange(trials + 1)
    lower, upper = clopper_pearson_lower(counts, trials, alpha), clopper_pearson_upper(counts, trials, alpha)
    for k in counts:
        tests = [binomtest(int(k), trials, alternative=side) for side in ("greater", "less")]
        scipys = [test.proportion_ci(1 - alpha, method="exact") for test in tests]
        assert lower[k] == pytest.approx(scipys[0].low, abs=1e-10)
        assert upper[k] == pytest.approx(scipys[1].high, abs=1e-10)
    both = proportion_confint(counts, trials, alpha=2 * alpha, method="beta")  # two-sided: half on each side
    np.testing.assert_allclose((lower[1:-1], upper[1:-1]), np.array(both)[:, 1:-1], atol=1e-10)


def test_check_values_of_the_literature():
    assert clopper_pearson_lower(1000, 1000, 0.001) == pytest.approx(0.993116, abs=5e-7)
    assert clopper_pearson_lower(990, 1000, 0.001) == pytest.approx(0.976036, abs=5e-7)
    assert hoeffding_lower(1.0, 1000, 0.001) == pytest.approx(0.941230, abs=5e-7)
    assert norm.ppf(clopper_pearson_lower(1000, 1000, 0.001)) == pytest.approx(2.4633, abs=5e-5)
    assert norm.ppf(hoeffding_lower(1.0, 1000, 0.001)) == pytest.approx(1.5652, abs=5e-5)


def test_hoeffding_inverts_its_inequality_and_stays_in_the_unit_interval():
    mean = np.array([0.0, 0.02, 0.5, 0.98, 1.0])
    lower, upper = hoeffding_lower(mean, 200, 0.01), hoeffding_upper(mean, 200, 0.01)
    inner = np.array([2, 3, 4])
    np.testing.assert_allclose(np.exp(-2 * 200 * (mean - lower)[inner] ** 2), 0.01)
    np.testing.assert_allclose(upper, 1 - lower[::-1])
    assert lower[0] == lower[1] == 0
    assert upper[-1] == upper[-2] == 1


def failures(bounds, p):
    """Whether a decided answer claims more than the truth ``p`` ``(C,)`` allows."""
    rows = np.arange(len(bounds.top))
    others = np.tile(p, (len(rows), 1))
    p_a = others[rows, bounds.top].copy()
    others[rows, bounds.top] = -1
    wrong = (p_a < bounds.p_a_lower) | (others.max(axis=1) > bounds.p_b_upper)
    return wrong & (bounds.prediction >= 0)


@pytest.mark.parametrize("trials", [20, 101])
def test_two_classes_survive_selection_and_waste_little(trials):
    votes = np.arange(trials + 1)
    bounds = clopper_pearson_bounds(np.stack([votes, trials - votes], axis=1), trials, ALPHA)
    risk = [binom.pmf(votes, trials, p) @ failures(bounds, [p, 1 - p]) for p in np.linspace(0.5, 0.999, 500)]
    assert ALPHA / 2 < max(risk) <= ALPHA  # exact, not sampled; without the correction p = 1/2 gives 2 alpha


def test_ten_classes_survive_selection():
    rng = np.random.default_rng(3)
    worst = 0.0
    for lead in (0.1, 0.2, 0.4, 0.5, 0.6, 0.9, 0.97):
        for runner_up in (1.0, 0.5, 1 / 9):
            second = (1 - lead) * runner_up
            p = np.array([lead, second, *[(1 - lead - second) / 8] * 8])
            bounds = clopper_pearson_bounds(rng.multinomial(60, p, size=10_000), 60, ALPHA)
            worst = max(worst, failures(bounds, p).mean())
    assert 0 < worst <= ALPHA


@pytest.mark.parametrize("p", [[0.5, 0.5], [0.8, 0.2], [0.4, 0.35, 0.25], [0.1] * 10])
def test_hoeffding_survives_selection_on_its_most_variable_votes(p):
    votes = np.random.default_rng(4).multinomial(50, p, size=50_000)  # one-hot "softmax"
    assert failures(hoeffding_bounds(votes / 50, 50, 0.3), np.array(p)).mean() <= 0.3


def test_many_classes_take_the_better_upper_bound():
    spread = clopper_pearson_bounds([[900, 50, 50]], 1000, 0.001)
    assert spread.p_b_upper[0] == pytest.approx(clopper_pearson_upper(50, 1000, 0.001 / 6))
    alone = clopper_pearson_bounds([[900, 100, 0]], 1000, 0.001)
    assert alone.p_a_lower[0] == pytest.approx(clopper_pearson_lower(900, 1000, 0.001 / 6))
    assert alone.p_b_upper[0] <= 1 - alone.p_a_lower[0]


@pytest.mark.parametrize("name", [name for name, bound in BOUNDS.items() if bound.vote != "sequence"])
@pytest.mark.parametrize("classes", [2, 5])
def test_more_votes_for_the_leader_never_hurt_and_a_tie_abstains(name, classes):
    leader = np.arange(50, 101)
    votes = np.zeros((51, classes))
    votes[:, 1], votes[:, 0] = leader, 100 - leader
    bounds = BOUNDS[name].class_bounds(votes if BOUNDS[name].vote == "hard" else votes / 100, 100, 0.001)
    assert bounds.prediction[0] == -1
    assert bounds.top[0] == 0
    assert bounds.prediction[-1] == bounds.top[-1] == 1
    assert all(a <= b for a, b in pairwise(bounds.p_a_lower))
    assert all(a >= b for a, b in pairwise(bounds.p_b_upper))
    np.testing.assert_array_equal(bounds.prediction >= 0, bounds.p_a_lower > bounds.p_b_upper)


@pytest.mark.parametrize(
    ("call", "offending"),
    [
        (lambda: clopper_pearson_lower(11, 10, 0.1), "11"),
        (lambda: clopper_pearson_upper(-1, 10, 0.1), "-1"),
        (lambda: clopper_pearson_lower(np.nan, 10, 0.1), "nan"),
        (lambda: hoeffding_lower(1.5, 10, 0.1), "1.5"),
        (lambda: hoeffding_lower(0.5, 0, 0.1), "0"),
        (lambda: hoeffding_upper(0.5, 10, 1.0), "1.0"),
        (lambda: clopper_pearson_bounds([[3, 4]], 1000, 0.1), r"1000.*\[3.0, 4.0\]"),
        (lambda: hoeffding_bounds([[0.3, 0.4]], 10, 0.1), r"\[0.3, 0.4\]"),
        (lambda: clopper_pearson_bounds([[5]], 5, 0.1), r"\(1, 1\)"),
    ],
)
def test_bad_input_is_named(call, offending):
    with pytest.raises(ValueError, match=offending):
        call()


def test_every_bound_reads_votes_in_the_members_order():
    votes = np.random.default_rng(5).choice(3, p=[0.7, 0.2, 0.1], size=(90, 4)).astype(np.uint8)
    counts = np.stack([np.bincount(column, minlength=3) for column in votes.T])
    values = {"hard": counts, "softmax": counts / 90}
    for bound in BOUNDS.values():
        read = bound.from_votes(votes, classes=3, alpha=ALPHA, softmax=counts / 90)
        given = (votes, 3) if bound.vote == "sequence" else (values[bound.vote], 90)
        np.testing.assert_array_equal(read.p_a_lower, bound.class_bounds(*given, ALPHA).p_a_lower)
    with pytest.raises(ValueError, match="mean softmax"):
        BOUNDS["hoeffding"].from_votes(votes, classes=3, alpha=ALPHA)


@pytest.mark.parametrize("members", [40, 200])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("bound", BOUNDS)
def test_the_largest_probability_is_what_unanimous_votes_certify(bound, classes, members):
    """Every bound certifies its own most; SciPy's interval gives that of Clopper–Pearson: α/2, or α/(2C) of more."""
    most = largest_probability(bound, members=members, classes=classes, alpha=0.001)
    counts = np.zeros((1, classes))
    counts[0, 0] = members
    entry = BOUNDS[bound]
    if entry.vote != "sequence":
        values = counts / members if entry.vote == "softmax" else counts
        assert entry.class_bounds(values, members, 0.001).p_a_lower[0] == most
    if bound == "clopper-pearson":
        share = 0.001 / 2 if classes == 2 else 0.001 / (2 * classes)
        low = binomtest(members, members).proportion_ci(1 - 2 * share, method="exact").low
        assert most == pytest.approx(low, abs=1e-9)
        if classes == 2:
            assert most == share ** (1 / members), "the searches of two classes keep their σ*"


def test_ten_classes_promise_less_than_two():
    """Φ⁻¹ 1.662, where a cap that ignores the classes said 1.783."""
    most = largest_probability("clopper-pearson", members=200, classes=10, alpha=0.001)
    assert norm.ppf(most) == pytest.approx(1.662, abs=1e-3)
    assert norm.ppf(0.0005 ** (1 / 200)) == pytest.approx(1.783, abs=1e-3)
