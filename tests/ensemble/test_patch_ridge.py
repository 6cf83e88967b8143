"""Ridge regression on averaged answers of filters: against SciPy's correlation and scikit-learn's ridge."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from scipy.signal import correlate
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from certssb_core.ensemble.patch_ridge import FILTERS, PATCH, REGIONS, SIDE, STRENGTH, RidgeOnPatches
from certssb_core.ensemble.training import train
from certssb_core.smoothing.noise import NOISE_LAWS

HOW = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32", "seed": 0, "member": 0}


def pictures(n: int, side: int = 32, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes: stripes that lie, and stripes that stand, somewhere, under some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    place = np.arange(side) / side * 4 + random.random(n)[:, None]
    stripes = 0.5 + 0.2 * np.sign(np.sin(2 * np.pi * place))
    whole = np.where(labels[:, None, None], stripes[:, None, :], stripes[:, :, None])
    images = whole[:, None] + random.normal(0, 0.2, (n, 3, side, side))
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)


def answers_by_scipy(network: RidgeOnPatches, image: np.ndarray) -> np.ndarray:
    """Features ``(2 · FILTERS, REGIONS, REGIONS)`` of one image, position by position."""
    pixels = idctn(dctn(image, axes=(1, 2), norm="ortho")[:, :SIDE, :SIDE], axes=(1, 2), norm="ortho")
    length = SIDE - PATCH + 1
    edges = [(k * length // REGIONS, int(np.ceil((k + 1) * length / REGIONS))) for k in range(REGIONS)]
    found = np.zeros((2, FILTERS, REGIONS, REGIONS))
    for view in (pixels, pixels[:, :, ::-1]):
        for number, weights in enumerate(network.filters[:FILTERS].numpy()):
            answer = correlate(view, weights, mode="valid")[0]
            for row, (top, bottom) in enumerate(edges):
                for column, (left, right) in enumerate(edges):
                    region = answer[top:bottom, left:right]
                    found[0, number, row, column] += np.maximum(region, 0).mean()
                    found[1, number, row, column] += np.maximum(-region, 0).mean()
    return found.reshape(2 * FILTERS, REGIONS, REGIONS)


def test_features_are_scipys_averages_of_an_image_and_its_mirror_image():
    images, _ = pictures(2)
    network = RidgeOnPatches(3, 32, 2)
    expected = np.stack([answers_by_scipy(network, image) for image in images.numpy()]).reshape(2, -1)
    assert np.allclose(network.features(images), expected, atol=1e-4)
    assert torch.allclose(network.features(images.flip(-1)), network.features(images), atol=1e-4)


def test_the_weights_are_those_of_ridge_regression():
    images, labels = pictures(1500)
    network = train(RidgeOnPatches(3, 32, 2), images, labels, **HOW)
    phi = network.features(images).detach().double().numpy()
    scaled = StandardScaler().fit_transform(phi)
    oracle = Ridge(alpha=STRENGTH * len(phi)).fit(scaled, 2 * np.eye(2)[labels.numpy()] - 1)
    assert np.allclose(network(images).detach(), oracle.predict(scaled), atol=5e-3)
    tested, answers = pictures(300, seed=1)
    assert (network(tested).argmax(1) == answers).float().mean() > 0.95


def test_coefficients_are_taken_as_they_are():
    images, labels = pictures(200)
    network = train(RidgeOnPatches(3, 32, 2), images, labels, **HOW)
    assert torch.allclose(network(images), network(network.project(images)), atol=1e-4)


def test_a_member_is_a_function_of_its_noisy_copy():
    """Images that are moved, and noise that moves them back within float rounding, train the same member."""
    images, labels = pictures(300)
    copy = NOISE_LAWS["gaussian"].training_set(images, labels, torch.full((300,), 0.25), classes=2, seed=1, member=2)
    again = (images + 0.4) + (copy.images - images - 0.4)
    assert (again - copy.images).abs().max() < 1e-6
    tested, _ = pictures(300, seed=1)
    first, second = (
        train(RidgeOnPatches(3, 32, 2), seen, labels, **HOW)(tested).detach() for seen in (copy.images, again)
    )
    assert torch.allclose(first, second, atol=1e-3)


def test_stacked_networks_answer_as_each_alone():
    from certssb_core.ensemble.batched import forward_together, stacked_weights

    images, labels = pictures(200)
    networks = [
        train(RidgeOnPatches(3, 32, 2), images[half], labels[half], **HOW) for half in (slice(100), slice(100, 200))
    ]
    together = forward_together(networks[0], stacked_weights(networks), images[None, :20].expand(2, -1, -1, -1, -1))
    alone = torch.stack([network(images[:20]) for network in networks])
    assert torch.allclose(together, alone, atol=1e-4)


def test_without_images_every_class_is_as_likely():
    images, labels = pictures(4)
    network = train(RidgeOnPatches(3, 32, 2), images[:0], labels[:0], **HOW)
    assert torch.equal(network(images), torch.zeros(4, 2))


def test_images_too_small_are_refused():
    with pytest.raises(RuntimeError, match="too few"):
        RidgeOnPatches(1, 16, 2)
