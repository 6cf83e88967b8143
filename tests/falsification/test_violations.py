"""When votes establish a flip, and what a part reports, against SciPy's own intervals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.falsification.violations import Claims, Part, Poll, claims, judge, power, votes_needed
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import load_inputs


def made_up(classes: int, alpha: float) -> Claims:
    none = np.empty(0)
    return Claims(none, none, none, none, none, none, none, classes, "clopper-pearson", alpha)


def established(counts: np.ndarray, claimed: int, *, alpha: float) -> bool:
    """By binomtest: another class's lower bound above every upper bound, α/(2C) each."""
    total, level = counts.sum(), 1 - 2 * alpha / (2 * len(counts))
    bounds = [stats.binomtest(int(count), int(total)).proportion_ci(level, method="exact") for count in counts]
    other = max((c for c in range(len(counts)) if c != claimed), key=lambda c: counts[c])
    return bounds[other].low > max(bound.high for c, bound in enumerate(bounds) if c != other)


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_a_flip_is_broken_exactly_when_the_intervals_are_apart(alpha):
    counts = np.random.default_rng(0).multinomial(150, [0.3, 0.5, 0.2], size=60)
    poll = Poll(counts, counts.astype(float), 150)
    verdict = judge(poll, made_up(3, alpha), np.zeros(60, int))
    assert verdict.broken.tolist() == [established(row, 0, alpha=alpha) for row in counts]
    assert 0 < verdict.broken.sum() < 60
    assert (verdict.flipped == (counts.argmax(axis=1) != 0)).all()


@pytest.mark.parametrize("bound", BOUNDS)
def test_every_bound_judges_unanimous_polls(bound):
    """All of 150 votes for class 1: broken where 0 was claimed, and not where 1 was."""
    counts = np.array([[0, 150, 0], [0, 150, 0]])
    poll, asked = Poll(counts, counts.astype(float), 150), replace(made_up(3, 0.05), bound=bound)
    assert judge(poll, asked, np.array([0, 1])).broken.tolist() == [True, False]


def test_votes_needed_is_the_first_count_that_establishes():
    needed = votes_needed(made_up(3, 0.001), 100)
    assert established(np.array([100 - needed, needed, 0]), 0, alpha=0.001)
    assert not established(np.array([101 - needed, needed - 1, 0]), 0, alpha=0.001)
    assert votes_needed(made_up(3, 0.001), 8) is None
    assert votes_needed(made_up(3, 0.001), 0) is None


def test_polls_add_up():
    one = Poll.of(np.array([1, 0]), np.array([[0.2, 0.8], [0.9, 0.1]]))
    both = one + Poll.of(np.array([1, 1]), np.array([[0.4, 0.6], [0.3, 0.7]]))
    assert both.counts.tolist() == [[0, 2], [1, 1]]
    assert both.softmax == pytest.approx(np.array([[0.6, 1.4], [1.2, 0.8]]))
    assert both.members == 2


def part(**counts: int) -> Part:
    return Part("test", "", **counts, unit="worlds", attack="", power="", seconds=1.0)


def test_a_report_bounds_the_rate_by_its_independent_units():
    """7,930 pairs of 20 worlds are 20 observations: after none broke, up to 14 % of worlds may."""
    report = part(trials=7930, flips=4, violations=0, units=20, broken_units=0).report(0.001)
    assert report["rate_upper"] == pytest.approx(1 - 0.05 ** (1 / 20))
    assert report["within"]
    report = part(trials=500, flips=4, violations=30, units=20, broken_units=2).report(0.001)
    assert report["rate_upper"] == pytest.approx(stats.beta.ppf(0.95, 3, 18))
    assert report["units_lower"] == pytest.approx(stats.beta.ppf(0.05, 2, 19))
    assert not report["within"]


def test_the_power_is_where_the_votes_establish_a_flip_nine_times_in_ten():
    words = power(70, 100)
    stated = float(words.partition("probability ")[2].partition(" ")[0])
    assert stats.binom.sf(69, 100, stated) == pytest.approx(0.9, abs=0.05)
    assert "70 of 100" in words
    assert power(None, 5).startswith("none")


def test_a_part_without_trials_claims_nothing():
    report = part(trials=0, flips=0, violations=0, units=0, broken_units=0).report(0.001)
    assert (report["rate"], report["units_lower"], report["rate_upper"], report["within"]) == (None, 0.0, 1.0, False)


def test_claims_are_the_certificates_that_say_something(small_run):
    table, inputs = small_run.certificates(), load_inputs(small_run.config)
    found = claims(read_run_votes(small_run), inputs, mode="sample-specific")
    rows = table[table["prediction"] >= 0]
    assert found.radius == pytest.approx(rows["radius"].to_numpy(), rel=1e-9)
    assert found.sigma == pytest.approx(rows["sigma"].to_numpy(), rel=1e-9)
    last = rows.iloc[-1]
    assert (found.sets[-1], found.indices[-1], found.prediction[-1]) == (last["set"], last["index"], last["prediction"])
    assert np.array_equal(found.images[-1], inputs.test_images(last["set"])[last["index"]])
