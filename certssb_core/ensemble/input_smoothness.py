"""Backdoor smoothing (arXiv 2006.06721): measure how evenly a network answers around an input.

Around a planted trigger a network tends to answer more evenly under noise than around a clean input. Three numbers say
how evenly, all of them 0 where noise changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from certssb_core.smoothing.seeds import standard_normal

BATCH = 4096
"""Noisy images that are answered at once."""


@dataclass(frozen=True)
class Smoothness:
    """Measures of n inputs, each ``(n,)`` float64.

    Attributes:
        entropy: of the share of draws that each class is predicted for, in nats.
        doubt: 1 less the largest of those shares.
        distance: the mean of |softmax(x + s z) - softmax(x)|_1.
    """

    entropy: torch.Tensor
    doubt: torch.Tensor
    distance: torch.Tensor


@torch.inference_mode()
def smoothness(network: nn.Module, images: torch.Tensor, *, scale: float, draws: int, seed: int) -> Smoothness:
    """Look at ``draws`` points x + s z around every image.

    Args:
        network: in evaluation mode.
        images: ``(n, C, H, W)`` pixels in [0, 1]; scale: s, pixel units.
        draws: N, the same for every image, so that groups of images are compared under the same noise.
    """
    noise = standard_normal(
        draws, tuple(images.shape[1:]), seed=seed, purpose="smoothness draws", member=0, device=images.device
    )
    parts = [_around(network, batch, scale * noise) for batch in images.split(max(1, BATCH // draws))]
    return Smoothness(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _around(
    network: nn.Module, images: torch.Tensor, changes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n, draws = len(images), len(changes)
    noisy = (images[:, None] + changes[None]).flatten(0, 1)  # (n * N, C, H, W)
    logits = network(noisy.contiguous(memory_format=torch.channels_last)).double().view(n, draws, -1)
    votes = torch.nn.functional.one_hot(logits.argmax(2), logits.shape[2]).double().mean(1)  # (n, classes)
    at_rest = network(images.contiguous(memory_format=torch.channels_last)).double().softmax(1)
    distance = (logits.softmax(2) - at_rest[:, None]).abs().sum(2).mean(1)
    return torch.special.entr(votes).sum(1), 1 - votes.amax(1), distance
