"""Members in closed form that see shapes: ridge regression on how strongly patches answer to fixed filters, and where.

A member sees its noisy images through their lowest 16 frequencies a side, which is an orthonormal projection, laid out
as pixels again. Fixed random filters slide over them. Their positive and negative parts are averaged over nine regions
(Coates, Lee and Ng, 2011), and the output weights are solved for. Filters come in mirrored pairs whose averages are
added, so that an image and its mirror image have one set of features.

Notes:
    Noise is drawn in the projection, as for :class:`.closed_form.RidgeOnCosines`, and the same holds of certificates.
    Means and scales are those of the features of the member's own noisy images.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.ensemble.closed_form import cosine_basis, lowest_frequencies, ridge

SIDE = 16
"""Lowest frequencies per axis that are kept, and pixels a side that they are laid out as."""
FILTERS = 64
"""Random filters; each is used with its mirror image."""
PATCH = 6
"""Pixels a side of a filter."""
REGIONS = 3
"""Regions a side over which the filters' answers are averaged."""
STRENGTH = 0.3
"""Added to the covariance of the features, each of variance one."""
FILTER_SEED = 20_110_411
"""Draws the filters, the same for every member and every run: they know nothing of the data."""
BATCH = {"cpu": 64, "cuda": 4096}
"""Images whose answers are held at once: as many as a processor's cache takes, or as keep a GPU at work."""


class RidgeOnPatches(nn.Module):
    """Ridge regression on averaged answers of random filters; takes pixels, or their lowest frequencies.

    Its weights come from :meth:`solve`. As made they are zero, and every class is as likely as another.
    """

    filters: torch.Tensor
    layout: torch.Tensor
    regions: torch.Tensor

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        if side <= SIDE:
            raise RuntimeError(f"{side} pixels a side are too few for {SIDE} frequencies")
        draws = torch.Generator().manual_seed(FILTER_SEED)
        filters = F.normalize(torch.randn(FILTERS, channels, PATCH, PATCH, generator=draws).flatten(1)).view(
            FILTERS, channels, PATCH, PATCH
        )
        self.register_buffer("filters", torch.cat([filters, filters.flip(-1)]), persistent=False)
        self.register_buffer("layout", cosine_basis(SIDE, SIDE).float(), persistent=False)
        self.register_buffer("regions", _averages(SIDE - PATCH + 1, REGIONS), persistent=False)
        self.output = nn.Linear(2 * FILTERS * REGIONS**2, classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @staticmethod
    def project(images: torch.Tensor) -> torch.Tensor:
        return lowest_frequencies(images, SIDE)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images, or their coefficients ``(n, C, k, k)`` → averaged answers ``(n, 2 · FILTERS · REGIONS²)``."""
        pixels = self.layout.T @ self.project(x) @ self.layout
        answers = F.conv2d(pixels, self.filters)
        both, positive = self._averaged(answers), self._averaged(F.relu(answers))
        return torch.cat([positive, positive - both], 1).flatten(1)

    def _averaged(self, answers: torch.Tensor) -> torch.Tensor:
        averages = self.regions @ answers @ self.regions.T
        plain, mirrored = averages.split(FILTERS, dim=1)
        return plain + mirrored.flip(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.features(x))

    @torch.no_grad()
    def solve(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Set all weights from noisy images, or their coefficients, and labels ``(n,)``; of no images they stay zero.

        float32 throughout, whatever the run's precision.
        """
        if not len(images):
            return
        parts = self.project(images).float().split(BATCH[images.device.type])
        phi = torch.cat([self.features(some) for some in parts])
        scale = 1 / phi.std(0, correction=0).clamp_min(1e-6)
        weights, bias = ridge(phi.mul_(scale), labels, classes=self.output.out_features, strength=STRENGTH)
        self.output.weight.copy_((scale[:, None] * weights).T)
        self.output.bias.copy_(bias)


def _averages(length: int, regions: int) -> torch.Tensor:
    """Rows that average ``length`` positions over ``regions`` stretches, which may share a position."""
    rows = torch.zeros(regions, length)
    for row in range(regions):
        stretch = slice(row * length // regions, -(-(row + 1) * length // regions))
        rows[row, stretch] = 1 / len(range(length)[stretch])
    return rows
