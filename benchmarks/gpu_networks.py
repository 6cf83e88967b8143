"""The networks that :mod:`benchmarks.gpu` tries a GPU machine with, and made-up images for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

from certssb_core.ensemble import batched
from certssb_core.ensemble.models import build
from certssb_core.ensemble.stack import Stack

NETWORKS = {
    "digits": ("small-cnn", 1, 8, 1437, 128),
    "MNIST 0/1": ("mnist-cnn", 1, 28, 3166, 32),
    "CIFAR-10, small ResNet": ("cifar-resnet-16-32-64", 3, 32, 2500, 64),
    "CIFAR-10, ResNet-18": ("cifar-preact-resnet18", 3, 32, 2500, 64),
}
"""Network, channels, side, images that a member sees in its one timed epoch, and batch size."""


def fresh(network: str, channels: int, side: int, member: int, device: str) -> torch.nn.Module:
    return build(network, channels=channels, side=side, classes=2, seed=0, member=member).to(device)


def made_up(members: int, images: int, channels: int, side: int, device: str) -> tuple[Any, Any]:
    draws = torch.Generator(device=device).manual_seed(0)
    labels = (torch.arange(images, device=device) % 2).expand(members, images).contiguous()
    seen = torch.rand(members, images, channels, side, side, device=device, generator=draws)
    seen[:, 1::2, :, :, : side // 2] += 0.5
    return seen, labels


def random_stack(name: str, members: int, device: str, images: int, dtype: torch.dtype) -> Stack:
    """A stack of fresh networks on images of noise, labels by the images' brighter half."""
    network, channels, side, _, _ = NETWORKS[name]
    networks = [fresh(network, channels, side, member, device) for member in range(members)]
    seen, labels = made_up(members, images, channels, side, device)
    return Stack(networks, seen, labels, dtype)


@contextmanager
def products_alone() -> Iterator[None]:
    """Compute stacks by products, as where there is no Triton."""
    with patch.object(batched, "has_kernel", lambda x: False):
        yield


def settle(device: str) -> None:
    """Wait until the device has done what it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()
