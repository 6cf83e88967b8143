"""Preprocess noisy training images. This is post-processing of the noise, so certificates do not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Preprocessing:
    """An entry of :data:`PREPROCESSING`.

    Attributes:
        title: for people.
        apply: noisy images ``(n, C, H, W)``, their noise levels ``(n,)`` and the denoiser's name → images of the same
            shape.
        needs_denoiser: True where the run needs a denoiser; gaussian_only: True where the noise must be Gaussian.
    """

    title: str
    apply: Callable[[torch.Tensor, torch.Tensor, str], torch.Tensor]
    needs_denoiser: bool = False
    gaussian_only: bool = False


def _denoise(images: torch.Tensor, sigma: torch.Tensor, name: str) -> torch.Tensor:
    from certssb_core.smoothing.denoising.denoisers import denoiser
    from certssb_core.smoothing.denoising.diffusion import denoise

    return denoise(denoiser(name), images, sigma)


PREPROCESSING: dict[str, Preprocessing] = {
    "none": Preprocessing("None", lambda images, sigma, name: images),
    "denoise": Preprocessing("Diffusion denoising", _denoise, needs_denoiser=True, gaussian_only=True),
}
