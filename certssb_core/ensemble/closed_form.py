"""Members in closed form: ridge regression on fixed features of an image's lowest frequencies.

Under Gaussian noise what is left to learn lies in the low frequencies. A member sees its noisy images through the
lowest coefficients of the orthonormal cosine transform (DCT-II), maps them to random cosines (Rahimi and Recht, 2007),
and solves for the output weights. Nothing is iterated: a member takes a fraction of a second.

Notes:
    An orthonormal projection takes N(0, σ²I) to N(0, σ²I) and lengthens no distance. So noise is drawn in the
    projection (108 numbers instead of 3,072), and every certificate in L2 pixel units stands.
    Means and scales are those of the member's own noisy images. Training reads the raw images nowhere, so the member
    is a function of one noisy copy, as the theorem asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

FREQUENCIES = 6
"""Lowest frequencies per axis that are kept."""
FEATURES = 1024
BANDWIDTH = 0.5
"""Spread of the random frequencies, in units of one over the root of the number of coefficients."""
RIDGE = 3e-3
"""Added to the features' covariance."""
FEATURE_SEED = 20_081_203
"""Draws the random frequencies, the same for every member and every run: they know nothing of the data."""


def cosine_basis(side: int, frequencies: int = FREQUENCIES) -> torch.Tensor:
    """The ``frequencies`` lowest rows of the orthonormal DCT-II of length ``side``: ``(frequencies, side)`` float64."""
    place = torch.arange(side, dtype=torch.float64) + 0.5
    rows = [torch.cos(math.pi * place * row / side) * math.sqrt((2 if row else 1) / side) for row in range(frequencies)]
    return torch.stack(rows)


def lowest_frequencies(images: torch.Tensor, frequencies: int = FREQUENCIES) -> torch.Tensor:
    """``(n, C, H, W)`` → their lowest DCT coefficients ``(n, C, k, k)``, an orthonormal projection.

    Images of k rows and columns are taken for coefficients: of all frequencies nothing is left out.
    """
    if images.shape[-1] == frequencies:
        return images
    rows, columns = (cosine_basis(side, frequencies).to(images) for side in images.shape[-2:])
    return rows @ images @ columns.T


def ridge(
    phi: torch.Tensor, labels: torch.Tensor, *, classes: int, strength: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights ``(features, classes)`` and bias of ridge regression on ``phi`` ``(n, features)``; ``phi`` is used up.

    Classes are coded as ±1 against the rest.

    Args:
        strength: added to the diagonal of the features' covariance.
    """
    middle = phi.mean(0)
    phi -= middle
    wanted = 2 * nn.functional.one_hot(labels, classes).to(phi) - 1
    mean = wanted.mean(0)
    gram = phi.T @ phi / len(phi)
    gram.diagonal().add_(strength)
    weights = torch.cholesky_solve(phi.T @ (wanted - mean) / len(phi), torch.linalg.cholesky(gram))
    return weights, mean - middle @ weights


class RidgeOnCosines(nn.Module):
    """Ridge regression on random cosines of the lowest frequencies; takes pixels, or their lowest frequencies.

    Its weights come from :meth:`solve`. As made they are zero, and every class is as likely as another.
    """

    project = staticmethod(lowest_frequencies)

    frequency: torch.Tensor
    phase: torch.Tensor

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        if side <= FREQUENCIES:
            raise RuntimeError(f"{side} pixels a side are too few for {FREQUENCIES} frequencies")
        seen = channels * FREQUENCIES**2
        draws = torch.Generator().manual_seed(FEATURE_SEED)
        frequency = torch.randn(seen, FEATURES, generator=draws) * (BANDWIDTH / math.sqrt(seen))
        phase = torch.rand(FEATURES, generator=draws) * (2 * math.pi)
        self.register_buffer("frequency", frequency, persistent=False)
        self.register_buffer("phase", phase, persistent=False)
        self.centre = nn.Parameter(torch.zeros(seen))
        self.scale = nn.Parameter(torch.ones(seen))
        self.output = nn.Linear(FEATURES, classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images, or their coefficients ``(n, C, k, k)`` → random cosines ``(n, FEATURES)``."""
        return torch.cos(((lowest_frequencies(x).flatten(1) - self.centre) * self.scale) @ self.frequency + self.phase)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.features(x))

    @torch.no_grad()
    def solve(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Set all weights from noisy images, or their coefficients, and labels ``(n,)``; of no images they stay zero.

        float32 throughout, whatever the run's precision.
        """
        if not len(images):
            return
        seen = lowest_frequencies(images).float()
        x = seen.flatten(1)
        self.centre.copy_(x.mean(0))
        self.scale.copy_(1 / x.std(0, correction=0).clamp_min(1e-6))
        phi = self.features(seen)
        weights, bias = ridge(phi, labels, classes=self.output.out_features, strength=RIDGE)
        self.output.weight.copy_(weights.T)
        self.output.bias.copy_(bias)


class NearestMean(nn.Module):
    """Answer with the class whose mean is nearest in the lowest frequencies: for members that see a dozen images.

    A class that a member saw no image of is never its answer, unless it saw none at all.
    """

    FREQUENCIES = 8
    MAPS = 1
    """Maps of so many frequencies a side that a channel becomes."""
    LEAST_SIDE = 8

    @classmethod
    def project(cls, images: torch.Tensor) -> torch.Tensor:
        return lowest_frequencies(images, cls.FREQUENCIES)

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        if side < self.LEAST_SIDE:
            raise RuntimeError(f"{side} pixels a side are fewer than {self.LEAST_SIDE}")
        self.output = nn.Linear(channels * self.MAPS * self.FREQUENCIES**2, classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.project(x).flatten(1))

    @torch.no_grad()
    def solve(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Set the weights so that the largest logit is that of the nearest mean: |x - μ|² less |x|², halved."""
        if not len(images):
            return
        x = self.project(images).flatten(1).float()
        own = nn.functional.one_hot(labels, self.output.out_features).T.to(x)  # (classes, n)
        counts = own.sum(1)
        means = own @ x / counts.clamp_min(1)[:, None]
        self.output.weight.copy_(means)
        self.output.bias.copy_(torch.where(counts > 0, -means.square().sum(1) / 2, -1e6))


def solve_all(networks: Sequence[Any], images: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]) -> None:
    """Solve for every network on its own images; they end in evaluation mode."""
    for network, own, answers in zip(networks, images, labels, strict=True):
        network.solve(own, answers)
        network.eval()
