"""What a part of the attack reports, against SciPy's own intervals."""

import numpy as np
import pytest
from scipy import stats

from certssb_core.falsification.violations import Part, beyond_chance, claims
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import load_inputs


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


def test_beyond_chance_is_a_binomial_test():
    """At 95 %: so many of 645 that 0.001 each would give as many in less than one case of twenty."""
    least = next(k for k in range(10) if stats.binom.sf(k - 1, 645, 0.001) < 0.05)
    assert [beyond_chance(k, 645, 0.001) for k in (least - 1, least)] == [False, True]


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
