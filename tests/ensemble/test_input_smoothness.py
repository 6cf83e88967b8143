"""Against closed forms for a linear classifier of one pixel."""

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import expit, ndtr
from scipy.stats import entropy, norm
from torch import nn

from certssb_core.ensemble.input_smoothness import smoothness

SCALE, SLOPE, DRAWS = 0.3, 4.0, 20_000


class Line(nn.Module):
    """Logits (0, 4 (x - 1/2)) of the first pixel of four."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = SLOPE * (x[:, 0, 0, 0] - 0.5)
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def test_the_measures_are_those_of_the_closed_forms():
    points = np.array([0.5, 0.6, 0.9, 1.9])
    images = torch.zeros(4, 1, 2, 2)
    images[:, 0, 0, 0] = torch.from_numpy(points)
    found = smoothness(Line(), images, scale=SCALE, draws=DRAWS, seed=3)
    for row, x in enumerate(points):
        share = ndtr((x - 0.5) / SCALE)
        away, _ = quad(
            lambda z, x=x: norm.pdf(z) * abs(expit(SLOPE * (x + SCALE * z - 0.5)) - expit(SLOPE * (x - 0.5))), -8, 8
        )
        assert abs(found.entropy[row] - entropy([share, 1 - share])) < 0.01
        assert abs(found.doubt[row] - min(share, 1 - share)) < 0.01
        assert abs(found.distance[row] - 2 * away) < 0.01


def test_no_noise_changes_nothing_and_the_batch_plays_no_part(monkeypatch):
    images = torch.rand(7, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    still = smoothness(Line(), images, scale=0.0, draws=5, seed=0)
    assert all((values.abs() < 1e-7).all() for values in vars(still).values())
    whole = smoothness(Line(), images, scale=0.5, draws=40, seed=0)
    monkeypatch.setattr("certssb_core.ensemble.input_smoothness.BATCH", 80)
    parts = smoothness(Line(), images, scale=0.5, draws=40, seed=0)
    for name in vars(whole):
        assert torch.allclose(getattr(whole, name), getattr(parts, name))
