"""Linear discriminants for members that see a few dozen images of several classes.

A nearest class mean measures every direction alike. A discriminant asks less of directions in which images of one class
differ. Of few images that is known only roughly, so the covariance within classes is regularised by a multiple of its
mean variance: a large multiple is the nearest mean.

Logits are linear in a map of the pixels that lengthens no distance, so a distance to a boundary there is a margin in L2
pixel units, exact or smaller than the true one.

Notes:
    :class:`ScatteredDiscriminant` sees the sizes of oriented waves, as the first layer of a scattering network (Mallat,
    2012). The images lie on a torus with a margin of zeros. A bank of filters whose squared gains add up to at most one
    at every frequency lengthens no distance, nor do sizes of complex numbers, nor an orthonormal projection.
"""

import math
from typing import ClassVar

import torch
from torch import nn

from certssb_core.ensemble.closed_form import NearestMean, lowest_frequencies


class Discriminant(NearestMean):
    """Regularised linear discriminant in the lowest frequencies."""

    STRENGTH: ClassVar[float] = 10.0
    """Added to the covariance within classes, in units of its mean variance."""

    @torch.no_grad()
    def solve(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Set the weights: means after the inverse of the covariance, up to a factor, which moves no boundary."""
        super().solve(images, labels)
        if not len(images):
            return
        x = self.project(images).flatten(1).float()
        means = self.output.weight.clone()
        apart = x - means[labels]
        gram = apart @ apart.T  # few images: the inverse is taken among them (Woodbury)
        strength = self.STRENGTH * gram.trace() / x.shape[1]
        gram.diagonal().add_(strength.clamp_min(1e-12))  # of one image a class the nearest mean is left
        weight = means - torch.linalg.solve(gram, apart @ means.T).T @ apart
        bias = -(weight * means).sum(1) / 2
        self.output.weight.copy_(weight)
        self.output.bias.copy_(torch.where(torch.isin(torch.arange(len(bias)).to(labels), labels), bias, -1e6))


class ScatteredDiscriminant(Discriminant):
    """Regularised linear discriminant on sizes of oriented waves: for small changes of the test input, or none.

    It needs far fewer images to tell classes apart, but its margins are smaller.
    """

    STRENGTH = 1.0
    FREQUENCIES = 4
    ORIENTATIONS, SCALES = 8, (1.0, 2.0)
    MAPS = 20
    """A map per wave, and the smooth rest as four."""
    BORDER = 2

    @classmethod
    def project(cls, images: torch.Tensor) -> torch.Tensor:
        """``(n, C, H, W)`` pixels → ``(n, 20 C, 4, 4)``: not linear, and it lengthens no distance."""
        if images.shape[-1] == cls.FREQUENCIES:
            return images
        return torch.cat([cls._scattered(part) for part in images.split(500)])

    @classmethod
    def _scattered(cls, images: torch.Tensor) -> torch.Tensor:
        around = nn.functional.pad(images.float(), (cls.BORDER,) * 4)
        waves, low = (bank.to(around.device) for bank in _filters(around.shape[-1], cls.ORIENTATIONS, cls.SCALES))
        spectrum = torch.fft.fft2(around)[:, :, None]
        sizes = torch.fft.ifft2(spectrum * waves).abs()  # (n, C, waves, side, side)
        shape = torch.fft.ifft2(spectrum * low).real[:, :, 0]
        kept = cls.FREQUENCIES
        smooth = lowest_frequencies(shape, 2 * kept).unflatten(-1, (2, kept)).unflatten(-3, (2, kept))
        smooth = smooth.movedim(-2, -3).reshape(len(images), -1, kept, kept)  # the lowest 8×8 as four blocks
        return torch.cat([lowest_frequencies(sizes.flatten(1, 2), kept), smooth], dim=1)


def _filters(side: int, orientations: int, scales: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Gains of waves ``(orientations · scales, side, side)`` and of the smooth rest ``(1, side, side)``, by frequency.

    On real images their squares add up to at most one at every frequency, to 1e-6 below.
    """
    steps = 2 * math.pi * torch.fft.fftfreq(side, dtype=torch.float64)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    waves = []
    for scale in scales:
        centre = 0.75 * math.pi / scale
        width = centre / 1.6
        for turn in range(orientations):
            x, y = math.cos(math.pi * turn / orientations), math.sin(math.pi * turn / orientations)
            along, beside = across * x + down * y - centre, down * x - across * y
            waves.append(torch.exp(-(along**2 + (beside / 0.8) ** 2) / (2 * width**2)))
    bank, low = torch.stack(waves), torch.exp(-(across**2 + down**2) / (2 * 0.35**2))[None]
    energy = bank.square().sum(0)
    opposite = energy.flip((0, 1)).roll((1, 1), (0, 1))
    most = ((energy + opposite) / 2 + low[0].square()).max().sqrt() * (1 + 1e-6)
    return (bank / most).float(), (low / most).float()
