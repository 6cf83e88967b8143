"""Time-uniform bounds: the mixture by quadrature, a root finder, and voting that stops early."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import beta, norm

from certssb_core.certify.bounds.time_uniform import lower_sequence, time_uniform_bounds


def mixture(successes, trials, null):
    """M_t by numerical integration."""
    return quad(
        lambda q: np.exp(
            successes * np.log(q / null) + (trials - successes) * np.log((1 - q) / (1 - null)) - np.log(1 - null)
        ),
        null,
        1,
        points=[max(successes / trials, null)],
        limit=200,
    )[0]


@pytest.mark.parametrize(("successes", "trials"), [(1, 1), (9, 12), (50, 50), (61, 80), (190, 200)])
def test_lower_sequence_is_the_root_of_the_mixture(successes, trials):
    bound = float(lower_sequence(successes, trials, 0.02))
    low = 1e-3 if trials <= 50 else 0.4  # from where the mixture is a number
    expected = brentq(lambda null: np.log(mixture(successes, trials, null) * 0.02), low, successes / (trials + 1))
    assert bound == pytest.approx(expected, abs=1e-7)


def test_holding_at_all_times_costs_something_and_no_success_says_nothing():
    counts = np.arange(1001)
    bound = lower_sequence(counts, 1000, 0.001)
    assert bound[0] == 0
    assert (np.diff(bound) > 0).all()
    fixed = beta.ppf(0.001, counts[1:], 1001 - counts[1:])  # Clopper–Pearson
    assert (bound[1:] < fixed).all()
    assert norm.ppf(bound[-1]) > 0.9 * norm.ppf(fixed[-1])


def test_each_vote_multiplies_the_mixture_by_one_on_average_at_its_own_null():
    """The martingale, exactly: E[M_{t+1} | M_t] = M_t under p = p_0, less under a smaller p."""
    for p, null in ((0.7, 0.7), (0.5, 0.7)):
        for successes in (3, 6, 8):
            now = mixture(successes, 10, null)
            after = p * mixture(successes + 1, 11, null) + (1 - p) * mixture(successes, 11, null)
            assert after == pytest.approx(now) if p == null else after < now


def test_the_other_classes_must_all_be_beaten():
    close = time_uniform_bounds([[520, 480, 0]], 1000, 0.001)
    clear = time_uniform_bounds([[700, 200, 100]], 1000, 0.001)
    assert close.prediction[0] == -1
    assert clear.prediction[0] == 0
    assert clear.p_b_upper[0] < 1 - clear.p_a_lower[0]
