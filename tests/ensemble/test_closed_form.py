"""Members in closed form: against SciPy's transform and least squares, and as functions of the noisy copy alone."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from sklearn.linear_model import Ridge

from certssb_core.ensemble.closed_form import (
    FREQUENCIES,
    RIDGE,
    NearestMean,
    RidgeOnCosines,
    cosine_basis,
    lowest_frequencies,
)
from certssb_core.ensemble.training import train
from certssb_core.smoothing.noise import NOISE_LAWS

HOW = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32", "seed": 0, "member": 0}


def pictures(n: int, side: int = 32, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes that differ by a slope from left to right, under some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    slope = np.linspace(-0.3, 0.3, side) * (2 * labels[:, None] - 1)
    images = 0.5 + slope[:, None, None, :] + random.normal(0, 0.2, (n, 3, side, side))
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)


def trained(images: torch.Tensor, labels: torch.Tensor) -> RidgeOnCosines:
    network = RidgeOnCosines(3, 32, 2)
    return train(network, images, labels, **HOW)


@pytest.mark.parametrize("side", [8, 32, 64])
def test_the_projection_is_the_lowest_part_of_scipys_transform(side):
    images, _ = pictures(3, side)
    expected = dctn(images.numpy(), axes=(2, 3), norm="ortho")[:, :, :FREQUENCIES, :FREQUENCIES]
    assert np.allclose(lowest_frequencies(images), expected, atol=1e-4)
    basis = cosine_basis(side).numpy()
    assert np.allclose(basis @ basis.T, np.eye(FREQUENCIES), atol=1e-12), "orthonormal: noise stays standard"


def test_coefficients_are_taken_as_they_are():
    images, labels = pictures(200)
    whole, seen = trained(images, labels), trained(lowest_frequencies(images), labels)
    assert torch.allclose(whole(images), seen(lowest_frequencies(images)), atol=1e-4)


def test_the_weights_are_those_of_ridge_regression():
    images, labels = pictures(400)
    network = trained(images, labels)
    phi = network.features(images).detach().double().numpy()
    oracle = Ridge(alpha=RIDGE * len(phi)).fit(phi, 2 * np.eye(2)[labels.numpy()] - 1)
    assert np.allclose(network(images).detach(), oracle.predict(phi), atol=5e-3)
    assert (network(images).argmax(1) == labels).float().mean() > 0.95


def test_a_member_is_a_function_of_its_noisy_copy():
    """Images that are moved, and noise that moves them back within float rounding, train the same member."""
    images, labels = pictures(300)
    copy = NOISE_LAWS["gaussian"].training_set(images, labels, torch.full((300,), 0.25), classes=2, seed=1, member=2)
    noise = copy.images - images
    moved = images + 0.4
    again = moved + (noise - 0.4)
    assert (again - copy.images).abs().max() < 1e-6
    tested, _ = pictures(500, seed=1)
    first, second = trained(copy.images, labels)(tested), trained(again, labels)(tested)
    assert torch.allclose(first, second, atol=1e-3)
    assert torch.equal(first.argmax(1), second.argmax(1))


def test_noise_in_the_projection_has_the_projections_spread():
    """10,000 draws: the standard deviation of 108 coefficients within 3 % of σ."""
    law, blank = NOISE_LAWS["gaussian"], torch.zeros(10_000, 3, 8, 8)
    noisy = law.training_set(blank, torch.zeros(10_000).long(), torch.full((10_000,), 0.5), classes=2, seed=0, member=0)
    assert (lowest_frequencies(noisy.images).std(0) / 0.5 - 1).abs().max() < 0.03


def test_without_images_every_class_is_as_likely():
    images, labels = pictures(4)
    network = trained(images[:0], labels[:0])
    assert torch.equal(network(images), torch.zeros(4, 2))


def test_images_too_small_are_refused():
    with pytest.raises(RuntimeError, match="too few"):
        RidgeOnCosines(1, 6, 2)


def test_the_nearest_mean_is_scikit_learns():
    from sklearn.neighbors import NearestCentroid

    images, labels = pictures(24)
    network = train(NearestMean(3, 32, 2), images, labels, **HOW)
    tested, _ = pictures(200, seed=1)
    seen = NearestMean.project(images).flatten(1).numpy()
    oracle = NearestCentroid().fit(seen, labels).predict(NearestMean.project(tested).flatten(1).numpy())
    assert np.array_equal(network(tested).argmax(1), oracle)


def test_a_class_that_was_not_seen_is_not_answered():
    images, labels = pictures(6)
    network = train(NearestMean(3, 32, 3), images, torch.full_like(labels, 2), **HOW)
    assert (network(images).argmax(1) == 2).all()
