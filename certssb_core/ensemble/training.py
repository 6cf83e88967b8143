"""Training one network on one fixed (noisy) copy of the training set."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.smoothing.seeds import generator


class Diverged(RuntimeError):
    """Training ended in weights that are not numbers."""


def train(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    precision: str,
    seed: int,
    member: int,
) -> nn.Module:
    """Minimise cross-entropy with Adam under a one-cycle schedule; the images are never touched again.

    Args:
        images: ``(n, C, H, W)`` float32, noise already in them; no augmentation, so the noise stays fixed. Of no
            images the network stays as it was initialised.
        labels: ``(n,)`` int64.
        precision: ``float32`` or ``bfloat16`` (activations; weights and Adam's state stay float32).
        seed, member: the order of the images is a pure function of them.

    Returns:
        the same network, in evaluation mode.

    Raises:
        Diverged: a weight ended as NaN or infinity.
    """
    n = len(images)
    autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16")
    if precision == "bfloat16":
        images = images.to(torch.bfloat16)
    images = images.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    steps = epochs * math.ceil(n / batch_size)
    # Of four steps a quarter is one, and the schedule's way up from the first step to the first divides by zero.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(steps, 5), pct_start=0.25)
    network.train()
    for epoch in range(epochs if n else 0):
        order = torch.from_numpy(generator(seed, "order", member, epoch).permutation(n)).to(images.device)
        for rows in order.split(batch_size):
            batch = images[rows].contiguous(memory_format=torch.channels_last)
            optimiser.zero_grad(set_to_none=True)
            with autocast:
                loss = F.cross_entropy(network(batch), labels[rows])
            loss.backward()
            optimiser.step()
            schedule.step()
    if not all(weights.isfinite().all() for weights in network.parameters()):
        raise Diverged(f"member {member} diverged (learning rate {learning_rate})")
    return network.eval()


def seen_by(member: int, count: int, *, share: float, seed: int) -> torch.Tensor:
    """Which of ``count`` training images a member is trained on: positions, ascending, at least one.

    Drawn from (seed, member) alone and never from the images, so that it is part of the training algorithm, and a
    certificate over the training set holds as it does for members that see every image.
    """
    rows = generator(seed, "images seen", member).permutation(count)[: max(1, round(share * count))]
    return torch.from_numpy(np.sort(rows))


def partition(images: torch.Tensor, labels: torch.Tensor, members: int) -> list[torch.Tensor]:
    """Which training images each of ``members`` is trained on: positions; every image in exactly one part (2006.14768).

    The part follows from a hash of the image's content alone, and the order in it from contents and labels, so that an
    inserted or removed image changes nothing for any other member.
    """
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.cpu().numpy()]
    order = sorted(range(len(digests)), key=lambda row: (digests[row], int(labels[row])))
    parts: list[list[int]] = [[] for _ in range(members)]
    for row in order:
        parts[int.from_bytes(digests[row], "little") % members].append(row)
    return [torch.tensor(part, dtype=torch.int64) for part in parts]


def native_precision(device: torch.device, side: int) -> str:
    """What ``auto`` stands for: bfloat16 where the hardware multiplies in it and images are large enough to gain.

    A rule, not a timing: two runs of one seed on one machine must not differ in it.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native and side >= 16 else "float32"
