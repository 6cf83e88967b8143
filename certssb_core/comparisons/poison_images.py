"""Images of a run's poisons before and after noise and denoising."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch

from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.preprocessing import PREPROCESSING

SHOWN = 4
"""Poisons, spread evenly over all of them."""
SHARES = (0.25, 0.5, 1.0)
"""Noise levels, in units of the run's σ."""


def samples(run: Run) -> dict[str, Any]:
    """A few poisons of a finished run: before they were crafted, crafted, noisy, denoised.

    Returns:
        ``before`` and ``poison`` (:func:`packed`), and of every level in ``levels`` ``sigma, noisy, denoised`` with
        ``to_before`` and ``to_poison``: the median L2 distance of all denoised poisons to either.
    """
    config, poison = run.config, run.arrays("poison")
    before = torch.from_numpy(run_inputs(run).dataset.train_images[poison["indices"]])
    crafted = torch.from_numpy(poison["images"])
    shown = np.linspace(0, len(crafted) - 1, min(SHOWN, len(crafted))).astype(int)
    found: dict[str, Any] = {"before": packed(before[shown]), "poison": packed(crafted[shown]), "levels": []}
    for share in SHARES:
        level = share * config.noise.sigma
        sigma = torch.full((len(crafted),), level)
        labels = torch.zeros(len(crafted), dtype=torch.int64)
        law, clean = NOISE_LAWS[config.noise.law], PREPROCESSING[config.noise.preprocessing].apply
        noisy = law.training_set(crafted, labels, sigma, classes=2, seed=config.seed, member=0).images
        denoised = clean(noisy, sigma, config.denoiser)
        found["levels"].append(
            {"sigma": level, "noisy": packed(noisy[shown]), "denoised": packed(denoised[shown])}
            | {"to_before": _apart(denoised, before), "to_poison": _apart(denoised, crafted)}
        )
    return found


def packed(images: torch.Tensor) -> dict[str, Any]:
    """Images as JSON: their ``shape``, and pixels rounded to 8 bits in base64; what lies outside [0, 1] is cut."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return {"shape": list(pixels.shape), "pixels": base64.b64encode(pixels.tobytes()).decode()}


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).flatten(1).norm(dim=1).median())
