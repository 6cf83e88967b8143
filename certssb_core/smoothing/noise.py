"""Noise laws: what a member sees of the training set, and of a test input (METHOD §2).

A law is one entry of :data:`NOISE_LAWS`. The certificate is about *one* noisy copy of the training set
per member, so a law draws once per (member, image) and never again: every method is a pure function of
its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from certssb_core.smoothing.seeds import standard_normal


@dataclass(frozen=True)
class TrainingSet:
    """One member's training set: images ``(n, C, H, W)`` float32 and labels ``(n,)`` int64."""

    images: torch.Tensor
    labels: torch.Tensor


class NoiseLaw(Protocol):
    """How one member's copy of the data is drawn. ``sigma`` is the law's scale, one number per image."""

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, seed: int, member: int
    ) -> TrainingSet: ...

    def test_inputs(self, images: torch.Tensor, sigma: torch.Tensor, *, seed: int, member: int) -> torch.Tensor: ...


class GaussianNoise:
    """x + σ z with z ~ N(0, I), unclamped: the clamp would leave the theorem's Gaussian (2003.08904, 2504.21730)."""

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, seed: int, member: int
    ) -> TrainingSet:
        """x_i + σ_i z_{m,i}: noise ``(n, C, H, W)`` of its own for every image; ``sigma`` is ``(n,)``."""
        noise = standard_normal(
            len(images),
            tuple(images.shape[1:]),
            seed=seed,
            purpose="training noise",
            member=member,
            device=images.device,
        )
        noise.mul_(_per_image(sigma, images)).add_(images)
        return TrainingSet(images=noise, labels=labels)

    def test_inputs(self, images: torch.Tensor, sigma: torch.Tensor, *, seed: int, member: int) -> torch.Tensor:
        """x + σ_x u_m: one draw u_m ``(C, H, W)`` per member, the same for every input; ``sigma`` is ``(n,)``."""
        noise = standard_normal(
            1, tuple(images.shape[1:]), seed=seed, purpose="test noise", member=member, device=images.device
        )
        return images + _per_image(sigma, images) * noise


def _per_image(sigma: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return sigma.to(images).view(-1, 1, 1, 1)


NOISE_LAWS: dict[str, NoiseLaw] = {"gaussian": GaussianNoise()}
