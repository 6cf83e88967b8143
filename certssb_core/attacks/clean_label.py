"""Clean-label poisons: images that keep their label and look like their class, changed so that training misleads.

An attacker who knows the data and the network, but not its seed, trains surrogates and searches by gradient for changes
of at most a given L2 norm. Four attacks make a few poisons for each victim, a test image as it is; three plant a
trigger. Every function is a pure function of its arguments.

Notes:
    The papers bound single pixels or fine-tune a known feature extractor; here the bound is the L2 norm that
    certificates are about, and the defender trains from the start, which is harder for the first three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.attacks.gradient import alignment, unit

WATERMARK = 0.5
"""Opacity at which a poison starts with its victim blended in, as 1804.00792 does (at 0.3) where a defender trains from
the start."""

STRIDES = 10
"""Steps of the search that would cross the budget, at its begin."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Order for poisons: the attacker's models, the images to change and the aims.

    Attributes:
        networks: surrogates in evaluation mode.
        bases: ``(k, C, H, W)`` training images of the target class, the poisons as they start; target: that class.
        aims: ``(v, C, H, W)`` what is to be taken for the target class: victims, or images with the trigger.
        victims: whether aims are victims, which share the poisons out among them; else a trigger is planted.
        budget: largest L2 norm of a change; steps: of the search.
        seed: of what a search draws; ours draw nothing.
    """

    networks: Sequence[nn.Module]
    bases: torch.Tensor
    target: int
    aims: torch.Tensor
    victims: bool
    budget: float
    steps: int
    seed: int = 0

    @property
    def group(self) -> torch.Tensor:
        """``(k,)`` int64, the victim that each poison works on."""
        return torch.arange(len(self.bases), device=self.bases.device) % len(self.aims)

    def start(self) -> torch.Tensor:
        """The bases, each with its victim blended in where there are victims."""
        if not self.victims:
            return self.bases.clone()
        return within(self.bases + WATERMARK * (self.aims[self.group] - self.bases), self)


def feature_collision(plan: Plan) -> torch.Tensor:
    """Each poison looks like its victim to the last hidden layer (1804.00792)."""
    wanted = [features(network, plan.aims) for network in plan.networks]

    def loss(poisons: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return reduce(
            torch.add,
            (
                _distance(features(network, poisons), aims[plan.group])
                for network, aims in zip(plan.networks, wanted, strict=True)
            ),
        )

    return _descend(plan, loss)


def bullseye_polytope(plan: Plan) -> torch.Tensor:
    """The mean of a victim's poisons lies where the victim does (2005.00191)."""
    members = F.one_hot(plan.group, len(plan.aims)).float()
    return _polytope(plan, lambda extra: (members / members.sum(0).clamp_min(1)).T)


def convex_polytope(plan: Plan) -> torch.Tensor:
    """A mixture of a victim's poisons, whichever serves best, lies where the victim does (1905.05897).

    Notes:
        The weights of the mixture are a softmax found along with the poisons, not by a search of its own in each step.
    """
    apart = F.one_hot(plan.group, len(plan.aims)).T == 0  # (v, k)
    return _polytope(plan, lambda extra: extra.expand(apart.shape).masked_fill(apart, -torch.inf).softmax(1))


def _polytope(plan: Plan, weights: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    used = plan.group.unique()
    wanted = [features(network, plan.aims) for network in plan.networks]

    def loss(poisons: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        mixture = weights(extra)[used]
        return reduce(
            torch.add,
            (
                _distance(mixture @ features(network, poisons), aims[used])
                for network, aims in zip(plan.networks, wanted, strict=True)
            ),
        )

    return _descend(plan, loss)


def hidden_trigger(plan: Plan) -> torch.Tensor:
    """Each poison looks like the nearest triggered image to the last hidden layer; no trigger is seen (1910.00033)."""
    wanted = [features(network, plan.aims) for network in plan.networks]

    def loss(poisons: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        total = poisons.new_zeros(())
        for network, aims in zip(plan.networks, wanted, strict=True):
            found = features(network, poisons)
            with torch.no_grad():
                nearest = torch.cdist(found, aims).argmin(1)
            total = total + _distance(found, aims[nearest])
        return total

    return _descend(plan, loss)


def gradient_matching(plan: Plan) -> torch.Tensor:
    """Training on the poisons moves weights as training on the mislabelled aims would (2009.02276, 2106.08970)."""
    goal = torch.full((len(plan.aims),), plan.target, device=plan.bases.device)
    labels = torch.full((len(plan.bases),), plan.target, device=plan.bases.device)
    poisons = plan.start()
    for step in range(plan.steps):
        towards = alignment(plan.networks, poisons, labels, plan.aims, goal)
        stride = plan.budget / STRIDES * (1 - step / plan.steps)
        poisons = within(poisons + stride * unit(towards), plan)
    return poisons


def away_from_class(plan: Plan) -> torch.Tensor:
    """Images that are hard to recognise as what they are, so that a trigger on them is learned instead (1912.02771)."""
    labels = torch.full((len(plan.bases),), plan.target, device=plan.bases.device)

    def loss(poisons: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return -reduce(torch.add, (F.cross_entropy(network(poisons), labels) for network in plan.networks))

    return _descend(plan, loss)


CRAFTS: dict[str, Callable[[Plan], torch.Tensor]] = {
    "feature-collision": feature_collision,
    "convex-polytope": convex_polytope,
    "bullseye-polytope": bullseye_polytope,
    "gradient-matching": gradient_matching,
    "sleeper-agent": gradient_matching,
    "hidden-trigger": hidden_trigger,
    "clean-label-backdoor": away_from_class,
}
"""By the attack's name in the config: from a plan to poisons ``(k, C, H, W)`` in [0, 1]."""

STAMPED = ("clean-label-backdoor",)
"""Attacks whose poisons carry the trigger too."""


def within(poisons: torch.Tensor, plan: Plan) -> torch.Tensor:
    """No farther from the bases than the budget, and images: shortening a change keeps it between two images."""
    change = poisons.clamp(0, 1) - plan.bases
    norm = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return plan.bases + change * (plan.budget / norm.clamp_min(plan.budget))


def features(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Inputs of the last linear layer: ``(n, d)``, differentiable."""
    seen: list[torch.Tensor] = []
    handle = last_layer(network).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        network(images)
    finally:
        handle.remove()
    return seen[0]


def last_layer(network: nn.Module) -> nn.Linear:
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def _distance(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Squared distance of rows, each in units of what is wanted, summed."""
    return ((found - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(1e-12)).sum()


def _descend(plan: Plan, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Normalised gradient descent within the budget, its step falling to zero; ``extra`` ``(k,)`` is found with it."""
    poisons = plan.start()
    extra = torch.zeros(len(poisons), device=poisons.device)
    for step in range(plan.steps):
        poisons.requires_grad_(True)
        extra.requires_grad_(True)
        value = loss(poisons, extra)
        slope, lean = torch.autograd.grad(value, (poisons, extra), allow_unused=True)
        stride = plan.budget / STRIDES * (1 - step / plan.steps)
        poisons = within(poisons.detach() - stride * unit(slope), plan)
        extra = extra.detach() if lean is None else extra.detach() - lean
    return poisons
