"""One-step denoising by a diffusion model (arXiv 2403.11981): what a smoothed image most likely was.

A variance-preserving model knows images x₀ in [-1, 1] under noise: x_t = √ᾱ_t x₀ + √(1-ᾱ_t) ε. An image under Gaussian
noise of level σ in pixels has level 2σ in that range, which is the model's own at the step t* with
√((1-ᾱ_t)/ᾱ_t) = 2σ; scaled by √ᾱ_t it looks like x_t, and the model's estimate of x₀ is the denoised image.

Notes:
    Steps are whole numbers, so t* is the step of nearest level; with a thousand of them the levels differ by about a
    hundredth. Any function of the noisy image would leave the certificate as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Prediction = Literal["epsilon", "sample", "v_prediction"]
STEPS = 1000
BATCH = 512


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A trained model.

    Attributes:
        predict: from x_t ``(n, C, H, W)`` and t ``(n,)`` int64 to the network's answer, of the same shape.
        alphas_bar: ``(T,)`` float64, ᾱ_t, falling.
        prediction: what the answer is an estimate of: ε, x₀, or v = √ᾱ ε - √(1-ᾱ) x₀.
        channels, side: of the images it knows; side None: any.
        digest: sha256 of its weights.
    """

    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    alphas_bar: torch.Tensor
    prediction: Prediction
    channels: int
    side: int | None
    digest: str

    @property
    def levels(self) -> torch.Tensor:
        """``(T,)`` √((1-ᾱ_t)/ᾱ_t), rising: noise against image, in the model's range."""
        return ((1 - self.alphas_bar) / self.alphas_bar).sqrt()

    def step_of(self, sigma: torch.Tensor) -> torch.Tensor:
        """t* ``(n,)`` int64 for noise levels ``sigma`` ``(n,)`` in pixel units.

        Raises:
            ValueError: a level beyond what the model was trained on.
        """
        levels, wanted = self.levels, 2 * sigma.double()
        if wanted.max() > levels[-1]:
            raise ValueError(f"the denoiser knows noise up to σ {levels[-1] / 2:.3g}, not {sigma.max():.3g}")
        above = torch.searchsorted(levels, wanted).clamp(1, len(levels) - 1)
        return torch.where(wanted - levels[above - 1] < levels[above] - wanted, above - 1, above)


@torch.inference_mode()
def denoise(model: Diffusion, images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The one-step estimate of every noisy image, clamped to [0, 1].

    Args:
        images: ``(n, C, H, W)`` float32, x + σ z, not clamped; sigma: ``(n,)``, pixel units.

    Raises:
        ValueError: images or noise that the model does not know.
    """
    channels, side = images.shape[1:3]
    if channels != model.channels or model.side not in (None, side):
        known = f"{model.channels} channels of {model.side or 'any'} pixels"
        raise ValueError(f"the denoiser knows images with {known}, not {channels} of {side}")
    parts = zip(images.split(BATCH), sigma.split(BATCH), strict=True)
    return torch.cat([_estimate(model, batch, levels) for batch, levels in parts])


def _estimate(model: Diffusion, images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    step = model.step_of(sigma.cpu())
    kept = model.alphas_bar[step].to(images).view(-1, 1, 1, 1)  # ᾱ_t*
    noisy = kept.sqrt() * (2 * images - 1)
    answer = model.predict(noisy, step.to(images.device))
    match model.prediction:
        case "epsilon":
            estimate = (noisy - (1 - kept).sqrt() * answer) / kept.sqrt()
        case "v_prediction":
            estimate = kept.sqrt() * noisy - (1 - kept).sqrt() * answer
        case "sample":
            estimate = answer
    return ((estimate + 1) / 2).clamp(0, 1)


def linear_alphas_bar(steps: int = STEPS) -> torch.Tensor:
    """ᾱ_t of the linear schedule, β from 1e-4 to 0.02 (2006.11239)."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps, dtype=torch.float64), 0)


def digest(weights: dict[str, torch.Tensor]) -> str:
    """sha256 of a network's weights, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + np.ascontiguousarray(weights[name].cpu().float().numpy()).tobytes())
    return found.hexdigest()
