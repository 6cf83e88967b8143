"""σ*: r(x, σ) against closed forms on toys with known p, its gradient, and the ascent against a dense grid."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from certssb_core.smoothing.seeds import standard_normal
from certssb_core.smoothing.sigma_search import (
    Search,
    _top,
    ascend,
    leading_class,
    radius_curve,
    smoothed_radius,
)


class Halfspace(nn.Module):
    """Almost hard: class 0 where the first pixel lies above ``threshold``; p_A(σ) = Φ((x₀ − t)/σ) is known."""

    def __init__(self, threshold: float, sharpness: float = 200.0) -> None:
        super().__init__()
        self.threshold, self.sharpness = threshold, sharpness

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = self.sharpness * (x[:, 0, 0, 0] - self.threshold)
        return torch.stack([score, torch.zeros_like(score)], dim=1)


class Band(nn.Module):
    """Class 0 where the first pixel lies within ±``width``: r(x, σ) rises and falls, with one optimum."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 60.0 * (self.width - x[:, 0, 0, 0].abs())
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def search(**changes) -> Search:
    settings = {"sigma": 0.5, "low": 0.05, "high": 4.0, "candidates": 0, "iterations": 60, "step": 0.1}
    return Search(**(settings | {"draws": 256, "p_cap": 0.0005 ** (1 / 1000)} | changes))


def image(first: float) -> torch.Tensor:
    pixels = torch.zeros(1, 1, 2, 2)
    pixels[0, 0, 0, 0] = first
    return pixels


def test_radius_of_a_halfspace_is_its_distance():
    """For a halfspace r(x, σ) = x₀ − t for every σ, as long as p̄_A stays below p_cap. 20,000 draws, 3 % off at most."""
    noise = standard_normal(20_000, (1, 2, 2), seed=0, purpose="test", member=0)
    for sigma in (0.5, 1.0, 2.0):
        radius = smoothed_radius(Halfspace(0.0), image(0.8), torch.tensor([sigma]), noise, p_cap=0.9999)
        assert radius.item() == pytest.approx(0.8, rel=0.03)


def test_radius_is_capped_where_votes_cannot_certify_more():
    p_cap = 0.0005 ** (1 / 1000)
    noise = standard_normal(500, (1, 2, 2), seed=0, purpose="test", member=0)
    radius = smoothed_radius(Halfspace(0.0), image(50.0), torch.tensor([0.3]), noise, p_cap=p_cap)
    assert radius.item() == pytest.approx(0.3 * stats.norm.ppf(p_cap), rel=1e-6)


def test_gradient_flows_through_the_network_as_well_as_the_factor():
    """Against central differences of the same estimate (relative 1e-4), where detaching would give a positive slope."""
    noise = standard_normal(400, (1, 2, 2), seed=1, purpose="test", member=0).double()
    pixels = image(0.2).double()

    def value(log_sigma: float) -> float:
        sigma = torch.tensor([math.exp(log_sigma)], dtype=torch.float64)
        return smoothed_radius(Band(1.0), pixels, sigma, noise, p_cap=0.9999).item()

    log_sigma = torch.tensor([math.log(1.0)], dtype=torch.float64, requires_grad=True)
    radius = smoothed_radius(Band(1.0), pixels, log_sigma.exp(), noise, p_cap=0.9999)
    (slope,) = torch.autograd.grad(radius.sum(), log_sigma)
    step = 1e-5
    numerical = (value(step) - value(-step)) / (2 * step)
    assert slope.item() == pytest.approx(numerical, rel=1e-4)
    assert slope.item() < 0 < radius.item()  # the detached gradient is the radius itself: it can only grow


def test_sigma_falls_where_it_started_too_large():
    """In a band of half-width 0.5 the optimum lies near 0.2: from σ₀ = 0.7 the ascent must come down to it."""
    ascent = ascend(Band(0.5), image(0.0), search(sigma=0.7), seed=0)
    grid = np.geomspace(0.05, 4.0, 400)
    inside = stats.norm.cdf(0.5 / grid) - stats.norm.cdf(-0.5 / grid)
    cap = search().p_cap
    exact = grid * stats.norm.ppf(np.clip(inside, 1 - cap, cap))
    assert ascent.sigma.item() == pytest.approx(grid[exact.argmax()], rel=0.15)
    assert ascent.path_sigma[0, 0].item() == pytest.approx(0.7)
    assert ascent.sigma.item() < 0.4


@pytest.mark.parametrize(("candidates", "iterations"), [(0, 40), (8, 40), (8, 0)])
def test_regret_against_a_dense_grid_is_small(candidates, iterations):
    """Bands around images of different width: mean exact r at σ* within 3 % of the exact best of a dense grid."""
    firsts = torch.linspace(-0.6, 0.6, 13)
    images = torch.zeros(13, 1, 2, 2)
    images[:, 0, 0, 0] = firsts
    ascent = ascend(Band(1.0), images, search(candidates=candidates, iterations=iterations), seed=2)
    cap = search().p_cap

    def exact(sigma: np.ndarray) -> np.ndarray:
        x = firsts.double().numpy()
        inside = stats.norm.cdf((1 - x) / sigma) - stats.norm.cdf((-1 - x) / sigma)
        return sigma * stats.norm.ppf(np.clip(inside, 1 - cap, cap))

    best = np.max([exact(np.full(13, sigma)) for sigma in np.geomspace(0.05, 4, 300)], axis=0).mean()
    assert 1 - exact(ascent.sigma.numpy()).mean() / best < 0.03


def test_sigma_of_an_image_does_not_depend_on_batch_mates():
    images = torch.cat([image(v) for v in (0.1, 0.4, -0.3, 0.6, 0.0)])
    together = ascend(Band(1.0), images, search(iterations=10), seed=0)
    alone = ascend(Band(1.0), images, search(iterations=10), seed=0, batch_size=1)
    assert torch.allclose(together.sigma, alone.sigma, rtol=1e-6)


def test_sigma_stays_in_its_range_and_the_path_is_whole():
    ascent = ascend(Halfspace(0.0), image(30.0), search(high=0.7, iterations=30, step=0.3), seed=0)
    assert ascent.sigma.item() == pytest.approx(0.7)
    assert ascent.path_sigma.shape == ascent.path_radius.shape == (1, 31)


def test_without_steps_sigma_is_the_top_of_the_parabola_through_the_best_points():
    """Against a parabola fitted by NumPy to the same radii, over log σ; a best point at an end is no middle."""
    points = torch.tensor([0.5, 0.1, 0.2, 0.4, 0.8], dtype=torch.float64)
    radii = torch.tensor([[9.0, 0.1, 0.7, 0.9, 0.3], [0.0, 0.0, 0.1, 0.5, 0.9], [0.0, 0.9, 0.8, 0.1, 0.0]])
    found = _top(points, radii.double()).numpy()
    bend, slope, _ = np.polyfit(np.log([0.2, 0.4, 0.8]), [0.7, 0.9, 0.3], 2)
    assert found[0] == pytest.approx(np.exp(-slope / (2 * bend)), rel=1e-9)
    assert found[1] == pytest.approx(0.8)
    assert 0.1 <= found[2] < 0.15
    few = torch.tensor([[0.2, 0.1, 0.3]], dtype=torch.float64)
    assert _top(points[:3], few).item() == points[2]


def test_without_steps_sigma_stays_in_its_range():
    ascent = ascend(Band(0.5), image(0.0), search(candidates=12, iterations=0, sigma=0.7), seed=0)
    assert 0.1 < ascent.sigma.item() < 0.4
    assert ascent.path_sigma.shape == (1, 1)
    wide = ascend(Halfspace(0.0), image(30.0), search(candidates=4, iterations=0, high=0.7), seed=0)
    assert wide.sigma.item() == pytest.approx(0.7)


def test_anchored_class_is_not_rewarded_for_losing():
    """Far right of the threshold the leading class is 0; anchored at class 1 the radius is its negative."""
    noise = standard_normal(200, (1, 2, 2), seed=0, purpose="test", member=0)
    sigma, cap = torch.tensor([1.0]), 0.999
    lead = smoothed_radius(Halfspace(0.0), image(1.0), sigma, noise, p_cap=cap)
    lose = smoothed_radius(Halfspace(0.0), image(1.0), sigma, noise, anchor=torch.tensor([1]), p_cap=cap)
    assert lose.item() == pytest.approx(-lead.item())
    assert leading_class(Halfspace(0.0), image(1.0), sigma=0.5, draws=64, seed=0).item() == 0


def test_curve_agrees_with_single_values():
    grid = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    images = torch.cat([image(v) for v in (0.0, 0.5)])
    curve = radius_curve(Band(1.0), images, grid, draws=100, p_cap=0.99, seed=4, batch_size=100)
    again = radius_curve(Band(1.0), images, grid[1:2], draws=100, p_cap=0.99, seed=4)
    assert curve.shape == (2, 3)
    assert torch.allclose(curve[:, 1:2], again)
