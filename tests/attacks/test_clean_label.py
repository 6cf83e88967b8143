"""Clean-label poisons on a toy whose features are known: a fixed projection of the pixels, then one linear layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.attacks.clean_label import CRAFTS, WATERMARK, Plan, features
from certssb_core.data.poisoning import METHODS

VICTIMS = [method for method in CRAFTS if METHODS[method].victims]


class Projected(nn.Module):
    """Five numbers of sixteen pixels, all positive, then two logits."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        self.register_buffer("projection", torch.rand(16, 5, generator=draws))
        self.output = nn.Linear(5, 2)
        with torch.no_grad():
            self.output.weight.copy_(torch.randn(2, 5, generator=draws))
            self.output.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(x.flatten(1) @ self.projection)


def plan(method: str, **changes) -> Plan:
    draws = torch.Generator().manual_seed(7)
    images = 0.3 + 0.4 * torch.rand(8, 1, 4, 4, generator=draws)
    networks = [Projected(seed).requires_grad_(False) for seed in range(2)]
    victims = METHODS[method].victims
    settings = {"budget": 0.6, "steps": 80} | changes
    return Plan(networks=networks, bases=images[:6], target=0, aims=images[6:], victims=victims, **settings)


@pytest.mark.parametrize("method", CRAFTS)
def test_poisons_stay_within_the_budget_and_are_images_and_come_out_the_same_again(method):
    given = plan(method, budget=0.25, steps=15)
    before = given.bases.clone()
    poisons = CRAFTS[method](given)
    assert torch.equal(given.bases, before)
    assert not poisons.requires_grad
    change = (poisons - before).flatten(1).norm(dim=1)
    assert (change <= 0.25 * (1 + 1e-5)).all()
    assert (change > 0.01).all()
    assert 0 <= poisons.min() <= poisons.max() <= 1
    assert torch.equal(poisons, CRAFTS[method](plan(method, budget=0.25, steps=15)))


def test_features_are_what_the_last_layer_is_given():
    network, images = Projected(0), torch.rand(3, 1, 4, 4)
    assert torch.equal(features(network, images), images.flatten(1) @ network.projection)
    assert not network.output._forward_pre_hooks


def misses(given: Plan, poisons: torch.Tensor, mixture: torch.Tensor, wanted: torch.Tensor) -> float:
    """How far mixtures of the poisons' features lie from what is wanted, over networks, at worst."""
    apart = []
    for network in given.networks:
        found, goal = (images.flatten(1) @ network.projection for images in (poisons, wanted))
        apart.append(((mixture @ found - goal).norm(dim=1) / goal.norm(dim=1)).max().item())
    return max(apart)


def test_a_feature_collision_meets_its_victim_where_only_the_network_looks():
    given = plan("feature-collision")
    poisons, wanted = CRAFTS["feature-collision"](given), given.aims[torch.arange(6) % 2]
    assert misses(given, poisons, torch.eye(6), wanted) < 0.01 < misses(given, given.bases, torch.eye(6), wanted)
    assert (poisons - wanted).flatten(1).norm(dim=1).min() > 0.1, "it does not look like the victim"


def test_the_mean_of_a_polytope_meets_its_victim():
    given = plan("bullseye-polytope")
    mean = torch.tensor([[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]]) / 3
    poisons = CRAFTS["bullseye-polytope"](given)
    assert misses(given, poisons, mean, given.aims) < 0.01 < misses(given, given.bases, mean, given.aims)


def test_some_mixture_of_a_convex_polytope_meets_its_victim():
    given = plan("convex-polytope", budget=0.3)
    poisons = CRAFTS["convex-polytope"](given)
    for victim in (0, 1):
        simplex = torch.cartesian_prod(*[torch.linspace(0, 1, 21)] * 2)
        simplex = simplex[simplex.sum(1) <= 1]
        weights = torch.zeros(len(simplex), 6)
        weights[:, [victim, victim + 2]] = simplex
        weights[:, victim + 4] = 1 - simplex.sum(1)
        wanted = given.aims[victim : victim + 1]
        best, before = (min(misses(given, some, w[None], wanted) for w in weights) for some in (poisons, given.bases))
        assert best < min(0.05, before)


def test_hidden_triggers_meet_the_nearest_triggered_image():
    given = plan("hidden-trigger", budget=1.0)
    poisons = CRAFTS["hidden-trigger"](given)
    for network in given.networks:
        found, aims = (images.flatten(1) @ network.projection for images in (poisons, given.aims))
        assert (torch.cdist(found, aims).amin(1) / aims.norm(dim=1).min()).max() < 0.03


@pytest.mark.parametrize("method", ["gradient-matching", "sleeper-agent"])
def test_matched_gradients_point_where_the_attacker_wants(method):
    given = plan(method)

    def cosine(images: torch.Tensor) -> float:
        total = 0.0
        for network in given.networks:
            sides = []
            for some in (images, given.aims):
                layer = network.output.weight.detach().clone().requires_grad_(True)
                logits = (some.flatten(1) @ network.projection) @ layer.T + network.output.bias
                loss = F.cross_entropy(logits, torch.zeros(len(some), dtype=torch.int64))
                residual = torch.autograd.grad(loss, (logits,), retain_graph=True)[0].sum(0)
                sides.append(torch.cat([torch.autograd.grad(loss, layer)[0].flatten(), residual]))
            total += F.cosine_similarity(*sides, dim=0).item()
        return total / 2

    poisons = CRAFTS[method](given)
    assert cosine(poisons) > cosine(given.start())
    assert cosine(poisons) > 0.99


def test_images_made_hard_are_taken_for_another_class_more_often():
    given = plan("clean-label-backdoor")
    poisons = CRAFTS["clean-label-backdoor"](given)
    before, after = (
        torch.stack([network(images).softmax(1)[:, 0] for network in given.networks]).log().sum(0)
        for images in (given.bases, poisons)
    )
    assert (after < before - 0.1).all()


def test_poisons_start_with_their_victim_blended_in():
    given = plan(VICTIMS[0], budget=100.0)
    assert torch.allclose(given.start()[3], (1 - WATERMARK) * given.bases[3] + WATERMARK * given.aims[1])
    assert torch.equal(plan("sleeper-agent").start(), given.bases)
