"""Networks: shapes, published sizes, purity of the weights, and independence of batch mates."""

import pytest
import torch

from certssb_core.ensemble.models import MODELS, build, check_fits, published_model

SHAPES = {
    "small-cnn": (1, 8, 10),
    "mnist-cnn": (1, 28, 2),
    "cifar-preact-resnet18": (3, 32, 2),
    "dct-ridge": (3, 32, 2),
    "patch-ridge": (3, 32, 2),
    "nearest-mean": (1, 28, 2),
    "discriminant": (1, 28, 10),
    "scattered-discriminant": (3, 32, 10),
    "pooled-cnn": (3, 32, 2),
    "strided-cnn": (3, 32, 2),
    "cifar-resnet-16-32-64": (3, 32, 2),
    "resnet18": (3, 64, 2),
    "linear": (1, 28, 2),
    "dense": (1, 8, 10),
}


def network(name: str, *, member: int = 0):
    channels, side, classes = SHAPES[name]
    return build(name, channels=channels, side=side, classes=classes, seed=0, member=member).eval()


def images(name: str, count: int) -> torch.Tensor:
    channels, side, _ = SHAPES[name]
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def test_every_registered_network_is_tested():
    assert set(SHAPES) == set(MODELS)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_have_one_column_per_class_and_ignore_batch_mates(name):
    """Logits of an image alone and in a batch agree to 1e-4, in training mode too: no batch statistics."""
    net, batch = network(name).train(), images(name, 5)
    with torch.no_grad():
        together = net(batch)
        alone = torch.cat([net(one) for one in batch.split(1)])
    assert together.shape == (5, SHAPES[name][2])
    assert torch.allclose(together, alone, atol=1e-4)
    assert not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in net.modules())


def test_published_mnist_network_has_the_released_layer_sizes():
    """conv 1→16 and 16→32 of 5×5, dense 512→512, then one logit per class."""
    shapes = {name: tuple(weight.shape) for name, weight in network("mnist-cnn").named_parameters()}
    assert shapes["conv1.weight"] == (16, 1, 5, 5)
    assert shapes["conv2.weight"] == (32, 16, 5, 5)
    assert shapes["fc.weight"] == (512, 512)
    assert shapes["output.weight"] == (2, 512)


def test_preactivation_resnet_has_eighteen_weighted_layers():
    layers = [
        module
        for name, module in network("cifar-preact-resnet18").named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and "shortcut" not in name
    ]
    assert len(layers) == 18


def test_published_cifar_network_has_five_blocks_a_stage():
    """A stem, thirty convolutions of 3×3 in widths 16, 32 and 64, and one logit per class."""
    layers = [
        module.out_channels
        for name, module in network("cifar-resnet-16-32-64").named_modules()
        if isinstance(module, torch.nn.Conv2d) and "shortcut" not in name
    ]
    assert layers == [16] * 11 + [32] * 10 + [64] * 10


def test_weights_are_a_pure_function_of_seed_and_member():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = (network("small-cnn", member=m).conv1.weight for m in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("channels", "side", "name"),
    [(1, 8, "small-cnn"), (1, 28, "mnist-cnn"), (3, 32, "cifar-resnet-16-32-64"), (3, 224, "resnet18")],
)
def test_auto_picks_the_published_network(channels, side, name):
    assert published_model(channels, side) == name


def test_images_too_small_are_refused_in_words():
    with pytest.raises(ValueError, match="mnist-cnn cannot take images of 8×8"):
        check_fits("mnist-cnn", channels=1, side=8)
    check_fits("small-cnn", channels=1, side=8)
