"""The smoothed nearest neighbour without sampling, against sampling and against closed forms."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from certssb_core.certify.rab_nearest_neighbour import nearest_class_bounds, nearest_class_probabilities


def probabilities(images, labels, inputs, sigma, classes, buckets=200):
    return nearest_class_probabilities(
        np.asarray(images, float),
        np.asarray(labels),
        np.asarray(inputs, float),
        sigma=sigma,
        classes=classes,
        buckets=buckets,
    )


def test_two_images_on_a_line():
    """P(|a| < |b|) for independent normals a, b of equal spread is a product of two normal probabilities."""
    x, y, sigma = 0.3, 1.1, 0.5
    s, t = (x + y) / (sigma * 2**0.5), (y - x) / (sigma * 2**0.5)
    exact = norm.cdf(s) * norm.cdf(t) + norm.cdf(-s) * norm.cdf(-t)
    lower, upper = probabilities([[x], [y]], [0, 1], [[0.0]], sigma, 2)
    assert lower[0, 0] <= exact <= upper[0, 0]
    assert upper[0, 0] - lower[0, 0] < 0.02


def test_the_bracket_closes_with_more_buckets_and_holds_at_every_width():
    generator = np.random.default_rng(3)
    images, labels, inputs = generator.random((30, 8)), generator.integers(0, 3, 30), generator.random((6, 8))
    widths = []
    finest = probabilities(images, labels, inputs, 0.4, 3, buckets=3000)
    for buckets in (20, 80, 320):
        lower, upper = probabilities(images, labels, inputs, 0.4, 3, buckets)
        assert (lower <= finest[1] + 1e-9).all()
        assert (finest[0] <= upper + 1e-9).all()
        assert (lower.sum(axis=1) <= 1 + 1e-9).all()
        assert (upper.sum(axis=1) >= 1 - 1e-9).all()
        widths.append((upper - lower).max())
    assert widths[0] > 3 * widths[1] > 9 * widths[2]


def test_sampling_agrees():
    generator = np.random.default_rng(0)
    images, labels, inputs = generator.random((40, 16)), generator.integers(0, 3, 40), generator.random((8, 16))
    lower, upper = probabilities(images, labels, inputs, 0.3, 3)
    draws, counts = 4000, np.zeros((8, 3), int)
    for _ in range(draws):
        noisy = images + 0.3 * generator.standard_normal(images.shape)
        nearest = labels[((inputs[:, None] - noisy) ** 2).sum(axis=2).argmin(axis=1)]
        counts[np.arange(8), nearest] += 1
    for row in range(8):
        for label in range(3):
            sampled = binomtest(int(counts[row, label]), draws).proportion_ci(1 - 1e-4, method="exact")
            assert sampled.low <= upper[row, label]
            assert lower[row, label] <= sampled.high


def test_bounds_certify_only_a_class_that_leads_for_sure():
    images, labels = np.array([[0.0], [1.0]]), np.array([0, 1])
    bounds = nearest_class_bounds(images, labels, np.array([[0.05], [0.5], [0.95]]), sigma=0.2, classes=2)
    assert bounds.prediction.tolist() == [0, -1, 1]
    assert (bounds.p_a_lower + bounds.p_b_upper <= 1).all()


def test_no_noise_is_refused():
    with pytest.raises(ValueError, match="sigma must be positive"):
        probabilities([[0.0]], [0], [[0.0]], 0.0, 2)
