"""Training: it learns, it is pure, it leaves its images alone, and it says when it diverged."""

import pytest
import torch

from certssb_core.ensemble.models import build
from certssb_core.ensemble.training import Diverged, train


def two_blobs(count: int = 200):
    """Class 1 is brighter in the left half; separable."""
    labels = torch.arange(count) % 2
    images = 0.1 * torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[labels == 1, :, :, :4] += 0.8
    return images, labels


def fit(images, labels, *, seed: int = 0, **changes):
    settings = {"epochs": 3, "batch_size": 32, "learning_rate": 5e-3, "precision": "float32", "member": 0}
    network = build("small-cnn", channels=1, side=8, classes=2, seed=seed, member=0)
    return train(network, images, labels, seed=seed, **settings | changes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_learns_what_is_separable(precision):
    images, labels = two_blobs()
    network = fit(images, labels, precision=precision, epochs=5)
    assert (network(images).argmax(1) == labels).float().mean() > 0.99
    assert not network.training
    assert all(weight.dtype == torch.float32 for weight in network.parameters())


def test_is_a_pure_function_of_its_arguments_and_leaves_images_alone():
    images, labels = two_blobs()
    kept = images.clone()
    first, again, other = fit(images, labels), fit(images, labels), fit(images, labels, member=1)
    assert torch.equal(first.fc.weight, again.fc.weight)
    assert not torch.equal(first.fc.weight, other.fc.weight)  # another member sees another order
    assert torch.equal(images, kept)


def test_one_step_in_all_is_possible():
    images, labels = two_blobs(4)
    fit(images, labels, epochs=1, batch_size=100)


def test_divergence_is_said():
    images, labels = two_blobs()
    with pytest.raises(Diverged, match="member 0 diverged"):
        fit(images * float("inf"), labels, epochs=1)
