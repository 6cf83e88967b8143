"""Search for σ*: for every image the σ at which a smoothed base classifier certifies most (docs/method.md §3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from certssb_core.smoothing.seeds import standard_normal


@dataclass(frozen=True)
class SearchResult:
    """σ* of n images, and the path that the search took.

    Attributes:
        sigma: ``(n,)`` float64, within [sigma_min, sigma_max].
        path_sigma: ``(n, 1 + T)`` float64: σ₀, then σ before each of the T ascent steps.
        path_radius: ``(n, 1 + T)`` float64, the estimate of r(x, σ) there, in L2 pixel units.
    """

    sigma: torch.Tensor
    path_sigma: torch.Tensor
    path_radius: torch.Tensor


def smoothed_radius(
    network: nn.Module,
    images: torch.Tensor,
    sigma: torch.Tensor,
    noise: torch.Tensor,
    *,
    anchor: torch.Tensor | None = None,
    p_cap: float,
) -> torch.Tensor:
    """r(x, σ) = σ/2 [Φ⁻¹(min(p̄_A, p_cap)) − Φ⁻¹(max(p̄_B, 1 − p_cap))], differentiable in ``sigma``.

    The gradient flows through the network (x + σ z is a reparameterisation) as well as through the factor σ.

    Args:
        images: ``(n, C, H, W)``; sigma: ``(n,)``; noise: ``(K, C, H, W)``, the same K draws for every image, so
            that an image's value does not depend on its batch mates.
        anchor: ``(n,)`` int64, class A of each image, from :func:`leading_class`; default: the leading one.

    Returns:
        ``(n,)`` float64; negative where another class than A leads.

    Notes:
        A is anchored at the class that leads at σ₀. Under very large noise a network answers one class whatever
        the image; letting A follow the lead would reward that with an unbounded radius for the wrong answer.
    """
    mean = _mean_softmax(network, images, sigma, noise)
    if anchor is None:
        anchor = mean.argmax(1)
    p_a = mean.gather(1, anchor[:, None]).squeeze(1)
    p_b = mean.scatter(1, anchor[:, None], -1.0).amax(1)
    quantile = torch.special.ndtri
    p_a, p_b = p_a.clamp(1 - p_cap, p_cap), p_b.clamp(1 - p_cap, p_cap)
    return sigma.double() / 2 * (quantile(p_a) - quantile(p_b))


def _mean_softmax(network: nn.Module, images: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """p̄(σ) ``(n, classes)`` float64: softmax of ``images + σ · noise``, averaged over the draws."""
    n, draws = len(images), len(noise)
    noisy = images[:, None] + sigma.to(images.dtype).view(n, 1, 1, 1, 1) * noise[None]  # (n, K, C, H, W)
    logits = network(noisy.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    return logits.double().softmax(1).view(n, draws, -1).mean(1)


@torch.no_grad()
def leading_class(
    network: nn.Module, images: torch.Tensor, *, sigma: float, draws: int, seed: int, batch_size: int = 64
) -> torch.Tensor:
    """Class A of every image ``(n,)``: the one that leads at σ₀."""
    noise = _draws(images, draws, seed=seed, step=-2)
    return torch.cat(
        [
            _mean_softmax(network, batch, batch.new_full((len(batch),), sigma), noise).argmax(1)
            for batch in images.split(batch_size)
        ]
    )


def _draws(images: torch.Tensor, draws: int, *, seed: int, step: int) -> torch.Tensor:
    return standard_normal(
        draws, tuple(images.shape[1:]), seed=seed, purpose="sigma draws", member=step, device=images.device
    )


@dataclass(frozen=True)
class Search:
    """Settings of the search for σ*.

    Attributes:
        sigma: σ₀, where it starts; low, high: the range of σ*.
        candidates: points of a log grid over the range, tried before the ascent; 0 starts it at σ₀.
        iterations, step: Adam steps on log σ, and their size. Without steps σ* is read off the grid alone.
        draws: noise draws K per step and candidate.
        p_cap: the largest probability that the votes could certify under their bound, in (1/2, 1).
    """

    sigma: float
    low: float
    high: float
    candidates: int
    iterations: int
    step: float
    draws: int
    p_cap: float


def ascend(
    network: nn.Module, images: torch.Tensor, search: Search, *, seed: int, batch_size: int = 64
) -> SearchResult:
    """Maximise r(x, σ) over σ for every image: the best of a coarse grid, then Adam ascent on log σ.

    The grid finds the right hill (r can have several), the ascent its top. Every step takes fresh draws, common
    to all images; the step size falls to zero along a cosine, and the answer is the mean of log σ over the last
    quarter of the steps, which averages the draws' noise out. Without steps the answer is the top of a parabola through
    the grid's best point and its neighbours: no gradient is needed, and many draws cost little.

    Args:
        network: the base classifier, in evaluation mode; its weights are not changed.
        images: ``(n, C, H, W)`` pixels in [0, 1].

    Returns:
        the σ* and the path of every image; a pure function of the image, the network, ``search`` and ``seed``.
    """
    network.requires_grad_(False)
    parts = [_ascend_batch(network, batch, search, seed) for batch in images.split(batch_size)]
    return SearchResult(
        sigma=torch.cat([part.sigma for part in parts]),
        path_sigma=torch.cat([part.path_sigma for part in parts]),
        path_radius=torch.cat([part.path_radius for part in parts]),
    )


def _ascend_batch(network: nn.Module, images: torch.Tensor, search: Search, seed: int) -> SearchResult:
    n = len(images)
    anchor = leading_class(network, images, sigma=search.sigma, draws=search.draws, seed=seed)
    start = torch.full((n,), search.sigma, dtype=torch.float64, device=images.device)
    grid = torch.from_numpy(np.geomspace(search.low, search.high, search.candidates))
    points = torch.cat([start[:1].cpu(), grid]).to(images.device)
    grid_radii = radius_curve(network, images, points, anchor=anchor, draws=search.draws, p_cap=search.p_cap, seed=seed)
    log_sigma = points[grid_radii.argmax(1)].log().requires_grad_(True)
    path_sigma, path_radius = [start], [grid_radii[:, 0]]

    optimiser = torch.optim.Adam([log_sigma], lr=search.step, betas=(0.8, 0.95), maximize=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(search.iterations, 1))
    bounds = torch.tensor([search.low, search.high], dtype=torch.float64, device=images.device).log()
    for number in range(search.iterations):
        noise = _draws(images, search.draws, seed=seed, step=number)
        radius = smoothed_radius(network, images, log_sigma.exp(), noise, anchor=anchor, p_cap=search.p_cap)
        path_sigma.append(log_sigma.detach().exp())
        path_radius.append(radius.detach())
        (log_sigma.grad,) = torch.autograd.grad(radius.sum(), log_sigma)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            log_sigma.clamp_(*bounds)
    path = torch.stack(path_sigma, dim=1)  # (n, 1 + T)
    last = max(1, search.iterations // 4) if search.iterations else 0
    sigma = path[:, -last:].log().mean(1).exp() if last else _top(points, grid_radii)
    return SearchResult(sigma=sigma, path_sigma=path, path_radius=torch.stack(path_radius, dim=1))


def _top(points: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
    """The top of each image's r(x, σ) ``(n,)``, from σ₀ and a log grid ``(1 + G,)`` and the radii ``(n, 1 + G)`` there.

    It lies on the parabola through the grid's best point and both its neighbours, over log σ, and never beyond them.
    """
    if len(points) < 4:
        return points[radii.argmax(1)]
    grid, radii = points[1:].log(), radii[:, 1:]
    middle = radii.argmax(1).clamp(1, len(grid) - 2)
    left, centre, right = (radii.gather(1, middle[:, None] + side).squeeze(1) for side in (-1, 0, 1))
    bend = left - 2 * centre + right
    places = torch.where(bend < 0, (left - right) / (2 * bend), (right - left).sign()).clamp(-1, 1)
    return (grid[middle] + places * (grid[1] - grid[0])).exp()


@torch.no_grad()
def radius_curve(
    network: nn.Module,
    images: torch.Tensor,
    grid: torch.Tensor,
    *,
    anchor: torch.Tensor | None = None,
    draws: int,
    p_cap: float,
    seed: int,
    batch_size: int = 2048,
) -> torch.Tensor:
    """r(x, σ) at every σ of ``grid`` ``(G,)``, from ``draws`` common draws: ``(n, G)`` float64."""
    noise = _draws(images, draws, seed=seed, step=-1)
    rows = max(1, batch_size // draws)
    curves = []
    for start in range(0, len(images), rows):
        batch = images[start : start + rows]
        classes = None if anchor is None else anchor[start : start + rows]
        columns = [
            smoothed_radius(network, batch, value.expand(len(batch)), noise, anchor=classes, p_cap=p_cap)
            for value in grid
        ]
        curves.append(torch.stack(columns, dim=1))
    return torch.cat(curves)
