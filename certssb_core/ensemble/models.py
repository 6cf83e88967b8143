"""Networks, by name. Every one maps ``(n, C, H, W)`` pixels to ``(n, classes)`` logits, image by image.

Predictions must not depend on batch mates (docs/method.md §2), so normalisation is by group, never by batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.ensemble.closed_form import NearestMean, RidgeOnCosines
from certssb_core.ensemble.discriminant import Discriminant, ScatteredDiscriminant
from certssb_core.ensemble.layers import GroupNorm, max_pool
from certssb_core.ensemble.patch_ridge import RidgeOnPatches
from certssb_core.smoothing.seeds import torch_seed

GROUPS = 8


class SmallCNN(nn.Module):
    """Two 3×3 convolutions, each pooled, and two dense layers: 14,000 weights, for the 8×8 digits."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * (side // 4) ** 2, 64)
        self.output = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(max_pool(self.conv1(x)))  # (n, 16, side/2, side/2)
        x = F.relu(max_pool(self.conv2(x)))  # (n, 32, side/4, side/4)
        return self.output(F.relu(self.fc(x.flatten(1))))


class Dense(nn.Module):
    """One hidden layer of 64 units: for small training sets and thousands of members."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels * side**2, 64)
        self.output = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(F.relu(self.fc(x.flatten(1))))


class Linear(nn.Module):
    """One layer over the means of some 7×7 fields, pixels as ±1: for few, very noisy images.

    Notes:
        Its weights start at zero: what a member knows is what it was shown, and after a few steps it weighs fields by
        how the classes' means differ. Members of a hundred images, a fifth of their pixels and labels flipped, agree
        far more often than hidden layers do, which learn the flipped labels too.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.field = max(1, side // 7)
        self.output = nn.Linear(channels * (side // self.field) ** 2, classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(F.avg_pool2d(2 * x - 1, self.field).flatten(1))


class MnistCNN(nn.Module):
    """The published MNIST network (2504.21730's release): conv 16 and 32 of 5×5, dense 512.

    Notes:
        The release has one output unit for two classes; here there is one logit per class.
        ReLU follows the pooling: the two commute, and there are four times fewer values to rectify.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.fc = nn.Linear(32 * (((side - 4) // 2 - 4) // 2) ** 2, 512)
        self.output = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(max_pool(self.conv1(x)))  # (n, 16, 12, 12) at side 28
        x = F.relu(max_pool(self.conv2(x)))  # (n, 32, 4, 4)
        return self.output(F.relu(self.fc(x.flatten(1))))


class PreActivationBlock(nn.Module):
    """Normalise, rectify, convolve, twice, around a shortcut (1603.05027)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(GROUPS, width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        same = stride == 1 and width_in == width
        self.shortcut = None if same else nn.Conv2d(width_in, width, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        out = self.conv1(out)
        return self.conv2(F.relu(self.norm2(out))) + shortcut


class StridedCNN(nn.Module):
    """Three strided convolutions, 16, 32 and 32 wide, and one dense layer: 19,000 weights, for 32×32 pixels."""

    FIRST_STRIDE: ClassVar[int] = 2

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 5, stride=self.FIRST_STRIDE, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.output = nn.Linear(32 * math.ceil(side / 8) ** 2, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x))  # (n, 16, side/2, side/2)
        x = F.relu(self.conv2(x))  # (n, 32, side/4, side/4)
        return self.output(F.relu(self.conv3(x)).flatten(1))  # (n, 32, side/8, side/8) → (n, classes)


class PooledCNN(StridedCNN):
    """The same convolutions on averages of 2×2 pixels, which carry a quarter of the noise's variance."""

    FIRST_STRIDE = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.avg_pool2d(x, 2, ceil_mode=True))


class ResidualBlock(nn.Module):
    """Convolve, normalise, rectify, twice, around a shortcut (1512.03385)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = GroupNorm(GROUPS, width)
        same = stride == 1 and width_in == width
        self.shortcut = None if same else nn.Conv2d(width_in, width, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class SmallResNet(nn.Module):
    """The published CIFAR network (releases of 2504.21730 and 2003.08904): widths 16, 32, 64, five blocks a stage.

    Notes:
        The releases normalise by batch; here it is by group.
    """

    BLOCKS = 5

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.norm = GroupNorm(GROUPS, 16)
        stages = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(width if place else width_in, width, 1 if place else stride)
                for width_in, width, stride in stages
                for place in range(self.BLOCKS)
            )
        )
        self.output = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.output(self.blocks(x).mean(dim=(2, 3)))  # (n, 64, side/4, side/4) → (n, 64)


class PreActivationResNet18(nn.Module):
    """Pre-activation ResNet-18 (1603.05027) for 32×32 pixels, with group instead of batch normalisation."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        self.blocks = nn.Sequential(
            *(
                block
                for width_in, width, stride in widths
                for block in (
                    PreActivationBlock(width_in, width, stride),
                    PreActivationBlock(width, width, 1),
                )
            )
        )
        self.output = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.blocks(self.stem(x)).mean(dim=(2, 3)))  # (n, 512, s, s) → (n, 512)


def _torchvision_resnet18(channels: int, side: int, classes: int) -> nn.Module:
    """torchvision's ResNet-18 with group normalisation; grey images get a one-channel stem."""
    from torchvision.models import resnet18

    network = resnet18(num_classes=classes, norm_layer=lambda width: GroupNorm(GROUPS, width))
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    return network


MODELS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "small-cnn": SmallCNN,
    "linear": Linear,
    "dense": Dense,
    "mnist-cnn": MnistCNN,
    "dct-ridge": RidgeOnCosines,
    "patch-ridge": RidgeOnPatches,
    "nearest-mean": NearestMean,
    "discriminant": Discriminant,
    "scattered-discriminant": ScatteredDiscriminant,
    "strided-cnn": StridedCNN,
    "pooled-cnn": PooledCNN,
    "cifar-resnet-16-32-64": SmallResNet,
    "cifar-preact-resnet18": PreActivationResNet18,
    "resnet18": _torchvision_resnet18,
}


def projected(name: str, images: torch.Tensor) -> torch.Tensor:
    """``images`` ``(n, C, H, W)`` as a network takes them: through its map to features, or as they are.

    Noise is added afterwards where the map is an orthonormal projection: of Gaussian noise it leaves Gaussian noise.
    """
    project = getattr(MODELS[name], "project", None)
    return images if project is None else project(images)


def published_model(channels: int, side: int) -> str:
    """The name that ``auto`` stands for: the published network for images of this kind."""
    if side < 16:
        return "small-cnn"
    if side >= 64:
        return "resnet18"
    return "mnist-cnn" if channels == 1 else "cifar-resnet-16-32-64"


def build(name: str, *, channels: int, side: int, classes: int, seed: int, member: int) -> nn.Module:
    """A freshly initialised network; its weights are a pure function of (seed, member)."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            torch_seed(seed, "initial weights", member)
        )  # torch.manual_seed would ask all devices
        network = MODELS[name](channels, side, classes)
    return network.to(memory_format=torch.channels_last)


def check_fits(name: str, *, channels: int, side: int) -> None:
    """See that a network can take images of this size.

    Raises:
        ValueError: they are too small for it.
    """
    try:
        with torch.no_grad():
            network = build(name, channels=channels, side=side, classes=2, seed=0, member=0)
            network(torch.zeros(1, channels, side, side))
    except RuntimeError:
        raise ValueError(f"{name} cannot take images of {side}×{side} pixels; choose another training.model") from None
