"""Training one network on one fixed (noisy) copy of the training set."""

from __future__ import annotations

import math

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
        images: ``(n, C, H, W)`` float32, noise already in them; no augmentation, so the noise stays fixed.
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
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(steps, 2), pct_start=0.25)
    network.train()
    for epoch in range(epochs):
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


def native_precision(device: torch.device, side: int) -> str:
    """What ``auto`` stands for: bfloat16 where the hardware multiplies in it and images are large enough to gain.

    A rule, not a timing: two runs of one seed on one machine must not differ in it.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native and side >= 16 else "float32"
