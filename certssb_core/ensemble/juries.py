"""The fixed ensemble: draws of a jury of members and of test noise, for a test radius of the members as they are.

The members are split into juries of like size. One draw takes a jury and a noise u ~ N(0, I), both at random, and its
vote is the class with the largest mean softmax of the jury at x + σ u. Draws are independent and alike, however many
there are, so that K of them bound a class's probability as K coin tosses do (docs/method.md §9.4).

Notes:
    The draws of an input are made jury by jury: how many each jury gets is multinomial, and their order is shuffled at
    the end. That is the law of K independent draws, and a jury is loaded once for all inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from certssb_core.ensemble.out_of_memory import halving
from certssb_core.smoothing.seeds import generator, standard_normal

PURPOSE = "fixed ensemble"
BATCH_PIXELS = 2**13
"""Pixels of noisy images in one computation on the CPU, where small ones stay in its cache."""


def juries(members: Sequence[int], size: int) -> list[list[int]]:
    """Split ``members`` into juries of about ``size``, in their order; every member sits in one."""
    return [part.tolist() for part in np.array_split(np.asarray(members), max(1, len(members) // size))]


def draws_per_jury(draws: int, count: int, *, seed: int, which: str, inputs: Iterable[int]) -> np.ndarray:
    """Number of draws that each of ``count`` juries gets of every input: ``(inputs, count)`` int64, rows sum to
    ``draws``."""
    shares = np.full(count, 1 / count)
    return np.array(
        [generator(seed, f"{PURPOSE}, juries, {which}", index).multinomial(draws, shares) for index in inputs]
    )


def in_order_of_draws(votes: np.ndarray, *, seed: int, which: str, index: int) -> np.ndarray:
    """Shuffle an input's votes ``(draws,)``, which come jury by jury, as if they had been drawn one after the other."""
    return votes[generator(seed, f"{PURPOSE}, order, {which}", index).permutation(len(votes))]


def noisy(
    images: torch.Tensor, sigma: torch.Tensor, counts: np.ndarray, *, seed: int, which: str, first: int, jury: int
) -> torch.Tensor:
    """The inputs of one jury: ``counts`` ``(n,)`` noisy copies of each image, one after the other.

    Args:
        images: ``(n, C, H, W)``, as members see them before noise.
        sigma: ``(n,)``, pixel units.
        seed, which, first: name the streams; image i is number ``first`` + i of the set ``which``.
    """
    copies = [
        image
        + level.to(image)
        * standard_normal(
            int(count),
            tuple(image.shape),
            seed=seed,
            purpose=f"{PURPOSE}, {which}, {first + place}",
            member=jury,
            device=image.device,
        )
        for place, (image, level, count) in enumerate(zip(images, sigma, counts, strict=True))
    ]
    return torch.cat(copies)


@torch.inference_mode()
def jury_softmax(network: nn.Module, weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Mean softmax of a jury at ``inputs`` ``(n, C, H, W)``: ``(n, classes)`` float32.

    Args:
        network: gives the computation; its own weights take no part.
        weights: of the jury's k members, every tensor stacked along a first axis.
    """
    network.eval()
    size = len(next(iter(weights.values())))
    own = [
        {name: tensor[row].to(inputs.device, torch.float32) for name, tensor in weights.items()} for row in range(size)
    ]

    def answered(batch: int) -> torch.Tensor:
        found = []
        for part in inputs.split(batch):
            seen = part.contiguous(memory_format=torch.channels_last)
            logits = (torch.func.functional_call(network, one, (seen,)).float() for one in own)
            found.append(sum(one.softmax(1) for one in logits) / size)
        return torch.cat(found)

    pixels = BATCH_PIXELS if inputs.device.type == "cpu" else 2**9 * BATCH_PIXELS
    return halving(answered, max(8, pixels // int(np.prod(inputs.shape[1:]))))
