"""Attacks on an ensemble by gradient: a test input inside a ball, or training images along a direction.

The smoothed classifier's probabilities are an expectation over members. A sample of them stands for it while
searching; whoever judges what is found should be asked about it for the first time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

Voter = Callable[[torch.Tensor], torch.Tensor]
"""One member under its own test noise: points ``(n, C, H, W)`` → logits ``(n, classes)``, differentiable."""

INSIDE = 1e-3
"""Points stay this share of the radius away from the sphere: the promise is about the open ball."""


@dataclass(frozen=True)
class Found:
    """Result of a search.

    Attributes:
        points: ``(n, C, H, W)`` float32, within (1 - INSIDE) of the radius up to float32 rounding.
        lead: ``(n,)`` log p̄_B − log p̄_A there; positive where another class B leads among the voters.
    """

    points: torch.Tensor
    lead: torch.Tensor


def rival_lead(voters: Sequence[Voter], points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """log p̄_B − log p̄_A ``(n,)``: A in ``labels`` ``(n,)``, B the strongest other class, p̄ the mean softmax."""
    votes = torch.stack([F.log_softmax(voter(points).float(), dim=1) for voter in voters])  # (M, n, classes)
    mean = votes.logsumexp(0) - math.log(len(voters))
    own = mean.gather(1, labels[:, None]).squeeze(1)
    return mean.scatter(1, labels[:, None], -math.inf).amax(1) - own


def search(
    voters: Sequence[Voter],
    images: torch.Tensor,
    labels: torch.Tensor,
    radius: torch.Tensor,
    start: torch.Tensor,
    *,
    steps: int,
) -> Found:
    """Look for a change of every image, smaller than its radius, under which another class leads.

    Ascent on :func:`rival_lead` by normalised gradients (projected gradient, 1706.06083), through the average over
    members and not through any single one (1906.04584); the step falls linearly to zero and the best point seen is
    kept. Pixels may leave [0, 1]: so may the attacker of the theorem.

    Args:
        images: ``(n, C, H, W)``; labels: ``(n,)`` int64, the certified classes.
        radius: ``(n,)``, L2 pixel units.
        start: ``(n, C, H, W)`` changes to start from; longer ones are cut to the ball.
        steps: gradient steps.
    """
    room = (radius * (1 - INSIDE)).to(images).view(-1, 1, 1, 1)
    change = _cut(start, room)
    points, best = images + change, torch.full_like(radius, -math.inf, dtype=images.dtype)
    for step in range(steps + 1):
        change.requires_grad_(step < steps)
        moved = images + change
        lead = rival_lead(voters, moved, labels)
        better = lead.detach() > best
        points = torch.where(better.view(-1, 1, 1, 1), moved.detach(), points)
        best = torch.where(better, lead.detach(), best)
        if step < steps:
            (gradient,) = torch.autograd.grad(lead.sum(), change)
            stride = room / 2 * (1 - step / steps)
            change = _cut(change.detach() + stride * unit(gradient), room)
    return Found(points=points, lead=best)


def alignment(
    networks: Sequence[nn.Module],
    images: torch.Tensor,
    labels: torch.Tensor,
    victims: torch.Tensor,
    goal: torch.Tensor,
) -> torch.Tensor:
    """Directions that move training images so that training on them pulls ``victims`` towards ``goal``.

    The gradient, with respect to the images, of the cosine between the weights' gradient on the training images
    and on the attacker's wish (gradient matching, 2009.02276), averaged over networks.

    Args:
        images: ``(k, C, H, W)`` training images with their labels ``(k,)``.
        victims: ``(v, C, H, W)`` with the classes ``(v,)`` that the attacker wants for them.

    Returns:
        ``(k, C, H, W)``.
    """
    direction = torch.zeros_like(images)
    for network in networks:
        weights = tuple(network.requires_grad_(True).parameters())
        wanted = torch.autograd.grad(F.cross_entropy(network(victims), goal), weights)
        moved = images.clone().requires_grad_(True)
        given = torch.autograd.grad(F.cross_entropy(network(moved), labels), weights, create_graph=True)
        sought, found = (torch.cat([part.flatten() for part in parts]) for parts in (wanted, given))
        direction += torch.autograd.grad(F.cosine_similarity(sought, found, dim=0), moved)[0]
        network.requires_grad_(False)
    return direction


def unit(changes: torch.Tensor) -> torch.Tensor:
    """Every change ``(n, C, H, W)`` at L2 norm 1; zero stays zero."""
    return changes / _norms(changes).clamp_min(torch.finfo(changes.dtype).tiny)


def _cut(changes: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    norms = _norms(changes)
    return torch.where(norms > room, changes * (room / norms.clamp_min(1e-30)), changes)


def _norms(changes: torch.Tensor) -> torch.Tensor:
    return changes.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
