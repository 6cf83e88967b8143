"""A small denoiser of our own: trained in minutes on two cores, one safetensors file, no other library.

A U-Net of two resolutions, told the noise level, trained to predict v (2202.00512) on clean images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from certssb_core.smoothing.denoising.diffusion import Diffusion, digest, linear_alphas_bar
from certssb_core.smoothing.seeds import generator, torch_seed

GROUPS, FREQUENCIES = 8, 16
LOWEST, HIGHEST = 0.1, 5.0
"""Noise levels, in the model's range, that training draws from, evenly on a log scale."""
AVERAGED = 0.995
"""Of the running mean of the weights, which is what is kept."""


class Residual(nn.Module):
    """Two convolutions around a shortcut, shifted by what the noise level says."""

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.shift = nn.Linear(told, width)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        out = self.conv1(F.silu(self.norm1(x))) + self.shift(told)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(out)))


class SmallUNet(nn.Module):
    """Full and half resolution; images from 16 pixels on are first folded into 2×2 blocks of channels."""

    def __init__(self, channels: int, side: int, width: int = 24) -> None:
        super().__init__()
        self.fold = 1 if side < 16 else 2
        folded = channels * self.fold**2
        self.told = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first = nn.Conv2d(folded, width, 3, padding=1)
        self.down, self.up = Residual(width, width), Residual(width, width)
        self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.middle = nn.ModuleList(Residual(2 * width, width) for _ in range(2))
        self.whole = nn.Conv2d(2 * width, width, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, width)
        self.last = nn.Conv2d(width, folded, 3, padding=1)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """x_t ``(n, C, H, W)`` and log √((1-ᾱ)/ᾱ) ``(n,)`` to v."""
        waves = level[:, None] * torch.logspace(-1, 1, FREQUENCIES, device=x.device)
        told = self.told(torch.cat([waves.sin(), waves.cos()], dim=1))
        top = self.down(self.first(F.pixel_unshuffle(x, self.fold)), told)
        low = self.shrink(top)
        for block in self.middle:
            low = block(low, told)
        out = self.up(top + self.whole(F.interpolate(low, size=top.shape[2:])), told)
        return F.pixel_shuffle(self.last(F.silu(self.norm(out))), self.fold)


def train(
    images: torch.Tensor,
    *,
    steps: int,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    seed: int = 0,
    announce: Callable[[int, float], None] = lambda step, loss: None,
) -> SmallUNet:
    """Fit a denoiser to clean ``images`` ``(n, C, H, W)`` in [0, 1].

    Args:
        announce: told the step and the mean squared error of v, every hundred steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "denoiser weights"))
        network = SmallUNet(*images.shape[1:3])
    kept = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(steps, 5), pct_start=0.1)
    chance, mean = generator(seed, "denoiser draws"), 0.0
    for step in range(1, steps + 1):
        rows = chance.integers(len(images), size=batch_size)
        clean = 2 * images[rows] - 1
        level = torch.from_numpy(chance.uniform(math.log(LOWEST), math.log(HIGHEST), batch_size)).float()
        noise = torch.from_numpy(chance.standard_normal(clean.shape, dtype="float32"))
        share = (1 / (1 + (2 * level).exp())).view(-1, 1, 1, 1)  # ᾱ
        wanted = share.sqrt() * noise - (1 - share).sqrt() * clean
        answer = network(share.sqrt() * clean + (1 - share).sqrt() * noise, level)
        loss = F.mse_loss(answer, wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        averaged = min(AVERAGED, step / (step + 10))
        for name, weight in network.state_dict().items():
            kept[name].lerp_(weight, 1 - averaged)
        mean += (loss.item() - mean) / (step % 100 or 100)
        if step % 100 == 0:
            announce(step, mean)
            mean = 0.0
    network.load_state_dict(kept)
    return network.eval()


def save(network: SmallUNet, path: Path, *, channels: int, side: int, trained_on: str) -> None:
    """Write weights, and beside them what the network is for."""
    about = {"kind": "certssb denoiser", "channels": channels, "side": side, "trained_on": trained_on}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), path, metadata={"certssb": json.dumps(about)})


def read(path: Path) -> Diffusion:
    """A denoiser that :func:`save` wrote.

    Raises:
        ValueError: the file is missing, damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("certssb", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = SmallUNet(about["channels"], about["side"])
        network.load_state_dict(weights)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is not a denoiser of `denoiser train` ({error})") from None
    return as_diffusion(network.eval(), channels=about["channels"], side=about["side"])


def as_diffusion(network: SmallUNet, *, channels: int, side: int) -> Diffusion:
    """The network as a diffusion model with the linear schedule."""
    alphas_bar = linear_alphas_bar()
    log_levels = ((1 - alphas_bar) / alphas_bar).sqrt().log().float()

    def predict(noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return network.to(noisy.device)(noisy, log_levels.to(noisy.device)[step])

    return Diffusion(
        predict, alphas_bar, "v_prediction", channels=channels, side=side, digest=digest(network.state_dict())
    )
