"""Networks stacked into one computation: each ends and answers as it would alone, and none touches another."""

import pytest
import torch
from torch.nn import functional as F

from certssb_core.ensemble import batched
from certssb_core.ensemble.batched import Stacking, bytes_while_training, forward_together, stacked_weights
from certssb_core.ensemble.models import build
from certssb_core.ensemble.training import diverged, train, train_together

SETTINGS = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, "precision": "float32", "seed": 5}


def copies(members: int, side: int = 8, count: int = 48):
    """Per member noisy images of two classes, class 1 brighter in the left half, and their labels."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 2
    images = 0.3 * torch.rand(members, count, 1, side, side, generator=generator)
    images[:, labels == 1, :, :, : side // 2] += 0.6
    return list(images), [labels.clone() for _ in range(members)]


def networks(model: str, members: int, side: int = 8):
    return [build(model, channels=1, side=side, classes=2, seed=0, member=member) for member in range(members)]


@pytest.mark.parametrize(
    "settings",
    [{}, {"padding": 1}, {"stride": 2, "padding": 2}, {"dilation": 2}, {"stride": (2, 1), "padding": (0, 1)}],
    ids=str,
)
@pytest.mark.parametrize("biased", [True, False])
def test_a_convolution_as_a_product(settings, biased):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 4, 9, 11, generator=generator), torch.randn(6, 4, 3, 2, generator=generator)
    bias = torch.randn(6, generator=generator) if biased else None
    layer = torch.nn.Conv2d(4, 6, (3, 2), bias=biased, **settings)
    layer.load_state_dict({"weight": weight} | ({"bias": bias} if biased else {}))
    with Stacking():
        found = layer(x)
    assert torch.allclose(found, F.conv2d(x, weight, bias, **settings), atol=1e-5)


def test_what_cannot_be_stacked_is_said():
    with Stacking(), pytest.raises(NotImplementedError, match="plain convolutions"):
        torch.nn.Conv2d(4, 4, 3, groups=2)(torch.rand(1, 4, 5, 5))


@pytest.mark.parametrize(
    ("model", "side"), [("small-cnn", 8), ("dense", 8), ("linear", 28), ("mnist-cnn", 28), ("resnet18", 32)]
)
@pytest.mark.parametrize("products", [True, False])
def test_logits_are_those_of_each_alone(model, side, products):
    stack = [network.eval() for network in networks(model, 3, side)]
    images = torch.stack(copies(3, side, 4)[0])
    together = forward_together(stack[0], stacked_weights(stack), images, products=products)
    for own, network, seen in zip(together, stack, images, strict=True):
        assert torch.allclose(own, network(seen), atol=1e-4)


@pytest.mark.parametrize(
    ("model", "side"),
    [("small-cnn", 8), ("dense", 8), pytest.param("cifar-preact-resnet18", 8, marks=pytest.mark.slow)],
)
def test_trained_together_each_ends_as_alone(model, side):
    members, count = (2, 16) if model.startswith("cifar") else (3, 48)  # one step an epoch of the large network
    images, labels = copies(members, side, count)
    alone, stack = networks(model, members, side), networks(model, members, side)
    before = stack[0].state_dict()["output.weight"].clone()
    for member, network in enumerate(alone):
        train(network, images[member], labels[member], member=member, **SETTINGS)
    train_together(stack, images, labels, members=range(members), **SETTINGS)
    assert not torch.allclose(stack[0].state_dict()["output.weight"], before, atol=1e-3)
    for one, other, seen in zip(alone, stack, images, strict=True):
        assert not other.training
        assert torch.allclose(one(seen).softmax(1), other(seen).softmax(1), atol=5e-3)


def test_one_that_diverges_takes_no_other_with_it():
    images, labels = copies(3)
    whole, hurt = networks("small-cnn", 3), networks("small-cnn", 3)
    train_together(whole, images, labels, members=range(3), **SETTINGS)
    train_together(hurt, [images[0], images[1] * float("inf"), images[2]], labels, members=range(3), **SETTINGS)
    assert diverged(hurt) == [False, True, False]
    for place in (0, 2):
        for name, weight in whole[place].state_dict().items():
            assert torch.equal(weight, hurt[place].state_dict()[name])


@pytest.mark.slow
def test_a_stack_learns_in_bfloat16_and_keeps_its_weights_in_float32():
    images, labels = copies(4)
    stack = networks("small-cnn", 4)
    train_together(stack, images, labels, members=range(4), **SETTINGS | {"precision": "bfloat16", "epochs": 15})
    for network, seen, known in zip(stack, images, labels, strict=True):
        assert (network(seen).argmax(1) == known).float().mean() > 0.95
        assert all(weight.dtype == torch.float32 for weight in network.parameters())


@pytest.mark.parametrize(
    ("dtype", "kernels"), [(torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)]
)
def test_memory_is_counted_by_what_a_member_holds(dtype, kernels, monkeypatch):
    monkeypatch.setattr(batched, "has_kernel", lambda x: kernels)
    (network,), image, size = networks("mnist-cnn", 1, 28), torch.rand(1, 28, 28), dtype.itemsize
    few = bytes_while_training(network, image, images=100, batch_size=8, dtype=dtype)
    more = bytes_while_training(network, image, images=1100, batch_size=8, dtype=dtype)
    assert more - few == 1000 * 784 * (4 + size)
    an_image = (bytes_while_training(network, image, images=100, batch_size=9, dtype=dtype) - few) / 2
    patches = size * (25 * 24 * 24 + 16 * 25 * 8 * 8)  # what products keep of an image for both convolutions' gradients
    assert (an_image > patches) != kernels
    parameters = sum(weight.numel() for weight in network.parameters())
    assert few > 4 * 4 * parameters


def test_a_closed_form_keeps_nothing_for_a_gradient():
    (network,), image = networks("patch-ridge", 1, 32), torch.rand(1, 16, 16)
    counted = [
        bytes_while_training(network, image, images=10, batch_size=size, dtype=torch.float32) for size in (1, 1000)
    ]
    assert counted[0] == counted[1]
