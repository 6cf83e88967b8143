"""Preprocessing of noisy training images: post-processing of the noise, so certificates stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import torch

from certssb_core.smoothing.denoising.denoisers import denoiser
from certssb_core.smoothing.denoising.diffusion import denoise

Preprocessing = Callable[[torch.Tensor, torch.Tensor, str], torch.Tensor]
"""Noisy images ``(n, C, H, W)``, their noise levels ``(n,)`` and the denoiser's name → images of the same shape."""

PREPROCESSING: dict[str, Preprocessing] = {
    "none": lambda images, sigma, name: images,
    "denoise": lambda images, sigma, name: denoise(denoiser(name), images, sigma),
}
