"""The release's arithmetic against its own formulas, written out with SciPy."""

import numpy as np
import pytest
from scipy.stats import norm

from certssb_core.certify import published_release
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import certify


def test_radius_is_what_the_public_code_computes():
    """p ± sqrt(ln(1/α)/2/1000) clipped to [1e-8, 1 - 1e-8], 0.5 σ (ppf(pa) - ppf(pb)), for one logit; 1e-9."""
    generator = np.random.default_rng(0)
    share, sigma = generator.uniform(0, 1, 400), generator.uniform(0.1, 1.0, 400)
    bounds = published_release.uncorrected_bounds(np.stack([1 - share, share], axis=1), published_release.COUNT, 0.001)
    certified = certify(bounds, sigma, training_map="uniform", test_map="sample-specific")
    factor = np.sqrt(np.log(1 / 0.001) / 2 / 1000)
    p_a = np.maximum(1e-8, np.maximum(share, 1 - share) - factor)
    p_b = np.minimum(1 - 1e-8, np.minimum(share, 1 - share) + factor)
    radius = 0.5 * sigma * (norm.ppf(p_a) - norm.ppf(p_b))
    assert certified.radius == pytest.approx(np.maximum(radius, 0), abs=1e-9)
    assert np.array_equal(certified.prediction, np.where(radius > 0, share > 0.5, -1))
    assert 0 < (certified.prediction == -1).sum() < 400


def test_unanimous_thousand_is_the_known_value():
    """docs/method.md §4: 0.941230, Φ⁻¹ = 1.5652."""
    bounds = published_release.uncorrected_bounds([[0.0, 1.0]], published_release.COUNT, 0.001)
    assert bounds.p_a_lower[0] == pytest.approx(0.941230, abs=1e-6)
    assert norm.ppf(bounds.p_a_lower[0]) == pytest.approx(1.5652, abs=1e-4)


def test_several_classes_are_compared_with_the_runner_up():
    bounds = published_release.uncorrected_bounds([[0.2, 0.5, 0.3]], 1000, 0.001)
    factor = np.sqrt(np.log(1000) / 2000)
    assert (bounds.prediction[0], bounds.p_a_lower[0]) == (1, pytest.approx(0.5 - factor))
    assert bounds.p_b_upper[0] == pytest.approx(0.3 + factor)


def test_no_certificate_can_choose_it():
    assert published_release.BOUND not in BOUNDS.values()
    assert "not a certificate" in published_release.LABEL
    assert "NOT A CERTIFICATE" in published_release.PROMISE
