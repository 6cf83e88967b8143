"""σ* on real MNIST 0/1, base classifier at σ₀ = 0.25: regret against a dense grid, beside the best uniform σ."""

import os

import numpy as np
import pytest
import torch

from certssb_core.data.datasets import load
from certssb_core.ensemble.models import build
from certssb_core.ensemble.training import native_precision, train
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.sigma_search import Search, ascend, leading_class, radius_curve

pytestmark = pytest.mark.skipif(not os.environ.get("CERTSSB_DATA"), reason="CERTSSB_DATA is not set")

SIGMA, LOW, HIGH, DRAWS = 0.25, 0.05, 2.0, 300


@pytest.fixture(scope="module")
def base_and_images():
    data = load("mnist", classes=("0", "1"), max_train=4000, max_test=30, seed=0)
    images, labels = torch.from_numpy(data.train_images), torch.from_numpy(data.train_labels)
    network = build("mnist-cnn", channels=1, side=28, classes=2, seed=0, member=-2)
    copy = NOISE_LAWS["gaussian"].training_set(
        images, labels, torch.full((len(images),), SIGMA), classes=2, seed=0, member=-2
    )
    settings = {"batch_size": 128, "learning_rate": 3e-3, "seed": 0, "member": -2}
    precision = native_precision(torch.device("cpu"), 28)
    train(network, copy.images, labels, epochs=6, precision=precision, **settings)
    return network, torch.from_numpy(data.test_images)


@pytest.mark.slow
def test_regret_is_at_most_0_12_and_below_the_best_uniform_sigma(base_and_images):
    """30 test images, 300 draws on 16 points of a log grid over [0.05, 2]; σ* is scored by interpolation on it."""
    network, images = base_and_images
    p_cap = 0.0005 ** (1 / 1000)
    grid = np.geomspace(LOW, HIGH, 16)
    with torch.autocast("cpu", torch.bfloat16):
        anchor = leading_class(network, images, sigma=SIGMA, draws=64, seed=0)
        curve = radius_curve(
            network, images, torch.from_numpy(grid), anchor=anchor, draws=DRAWS, p_cap=p_cap, seed=99
        ).numpy()
        search = Search(sigma=SIGMA, low=LOW, high=HIGH, candidates=8, iterations=8, step=0.1, draws=16, p_cap=p_cap)
        found = ascend(network, images, search, seed=3).sigma.numpy()
    best = curve.max(axis=1).mean()
    uniform = 1 - curve.mean(axis=0).max() / best
    scored = [np.interp(np.log(sigma), np.log(grid), row) for sigma, row in zip(found, curve, strict=True)]
    regret = 1 - np.mean(scored) / best
    assert regret <= 0.12
    assert regret < uniform - 0.02
    assert len(np.unique(found.round(3))) > 10  # it is sample-specific indeed
