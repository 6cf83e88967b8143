"""The fixed ensemble: juries, draws, and the coverage of their certificates against an exact smoothed classifier."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import binom, norm
from torch import nn

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.ensemble import juries

SLOPES, PLACES = np.array([1.0, 3.0, 2.0, 5.0, 0.5, 4.0]), np.array([-0.3, 0.1, 0.4, -0.1, 0.8, 0.2])
"""Six members on images of one pixel: class 1 with probability 1 / (1 + exp(-slope (x - place)))."""


class OnePixel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = self.line(x.flatten(1))
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


def weights() -> dict[str, torch.Tensor]:
    slopes = torch.tensor(SLOPES, dtype=torch.float32)
    return {
        "line.weight": slopes.view(6, 1, 1),
        "line.bias": (-slopes * torch.tensor(PLACES, dtype=torch.float32)).view(6, 1),
    }


def drawn(images: torch.Tensor, sigma: float, *, draws: int, jury: int, seed: int, first: int = 0) -> np.ndarray:
    """Votes ``(draws, n)`` on images ``(n, 1, 1, 1)``, put together as a run puts them together."""
    sitting, rows = juries.juries(range(6), jury), range(first, first + len(images))
    counts = juries.draws_per_jury(draws, len(sitting), seed=seed, which="clean", inputs=rows)
    levels, cast = torch.full((len(images),), sigma, dtype=torch.float64), []
    for number, members in enumerate(sitting):
        stream = {"seed": seed, "which": "clean", "first": first, "jury": number}
        seen = juries.noisy(images, levels, counts[:, number], **stream)
        own = {name: tensor[members] for name, tensor in weights().items()}
        hard = juries.jury_softmax(OnePixel(), own, seen).argmax(1).numpy()
        cast.append(np.split(hard, np.cumsum(counts[:, number])[:-1]))
    columns = [np.concatenate(parts) for parts in zip(*cast, strict=True)]
    whole = [
        juries.in_order_of_draws(votes, seed=seed, which="clean", index=first + place)
        for place, votes in enumerate(columns)
    ]
    return np.stack(whole, axis=1).astype(np.uint8)


def thresholds(jury: int) -> np.ndarray:
    """By root finding: the pixel at which each jury's mean probability of class 1 is one half."""

    def mean(x: float, members: list[int]) -> float:
        return float(np.mean(1 / (1 + np.exp(-SLOPES[members] * (x - PLACES[members]))))) - 0.5

    return np.array([brentq(mean, -50, 50, args=(members,)) for members in juries.juries(range(6), jury)])


def test_every_member_sits_in_one_jury_of_like_size():
    for members, size in ((range(10), 3), ([2, 3, 5, 8], 2), (range(5), 20), (range(7), 1)):
        found = juries.juries(members, size)
        assert [member for one in found for member in one] == list(members)
        assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_jury_answers_with_the_mean_of_its_members():
    inputs = torch.linspace(-2, 2, 9).view(9, 1, 1, 1)
    chance = 1 / (1 + np.exp(-SLOPES * (inputs.flatten()[:, None].numpy() - PLACES)))  # (9, 6)
    found = juries.jury_softmax(OnePixel(), weights(), inputs)
    np.testing.assert_allclose(found[:, 1].numpy(), chance.mean(axis=1), atol=1e-6)


def test_draws_of_an_input_do_not_depend_on_its_neighbours():
    images = torch.linspace(-1, 1, 5).view(5, 1, 1, 1)
    together = drawn(images, 0.5, draws=30, jury=2, seed=4)
    np.testing.assert_array_equal(drawn(images[3:], 0.5, draws=30, jury=2, seed=4, first=3), together[:, 3:])
    assert (drawn(images, 0.5, draws=30, jury=2, seed=5) != together).any()


def test_the_order_of_draws_hides_the_juries():
    """The first of 20 draws is one of each of three juries equally often: a chi-squared of 2 degrees below 18.4."""
    inputs = 3000
    counts = juries.draws_per_jury(20, 3, seed=1, which="clean", inputs=range(inputs))
    assert (counts.sum(axis=1) == 20).all()
    first = [
        juries.in_order_of_draws(np.repeat(np.arange(3), row), seed=1, which="clean", index=index)[0]
        for index, row in enumerate(counts)
    ]
    seen = np.bincount(first, minlength=3)
    assert ((seen - inputs / 3) ** 2 / (inputs / 3)).sum() < 18.4


@pytest.mark.parametrize("jury", [1, 2, 6])
def test_certificates_cover_the_exact_smoothed_classifier(jury):
    """Each input is one experiment at the same pixel; the exact probability is a mean of normal tails."""
    experiments, alpha, sigma, pixel = 1500, 0.1, 0.6, 0.75
    places = thresholds(jury)

    def chance(x: float) -> float:
        return float(norm.cdf((x - places) / sigma).mean())

    images = torch.full((experiments, 1, 1, 1), pixel)
    votes = drawn(images, sigma, draws=60, jury=jury, seed=11)
    assert votes.mean() == pytest.approx(chance(pixel), abs=4 * 0.5 / np.sqrt(votes.size))
    reach = pixel - brentq(lambda x: chance(x) - 0.5, -5, 5)  # moved farther, the exact answer is class 0
    bounds = BOUNDS["joint"].from_votes(votes, classes=2, alpha=alpha)
    decided = bounds.prediction >= 0
    radius = sigma * norm.ppf(np.clip(bounds.p_a_lower, 0.5, None))
    wrong = decided & ((bounds.prediction == 0) | (bounds.p_a_lower > chance(pixel)))
    assert wrong.sum() <= binom.isf(1e-4, experiments, alpha)  # 1 in 10,000 by chance
    assert (decided & (bounds.prediction == 1) & (radius > reach)).sum() <= binom.isf(1e-4, experiments, alpha)
    assert decided.mean() > 0.9
