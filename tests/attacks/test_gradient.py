"""The gradient search against linear members, whose nearest flip is known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.attacks.gradient import alignment, rival_lead, search, unit

SHAPE = (1, 4, 4)


@pytest.fixture
def linear():
    """Weights w, three points, their signed distances to the plane w·x = 0.3 and the classes there."""
    generator = torch.Generator().manual_seed(3)
    w = torch.randn(16, generator=generator)
    points = torch.rand((3, *SHAPE), generator=generator)
    distance = (points.flatten(1) @ w - 0.3) / w.norm()
    return w, points, distance, (distance > 0).long()


def voter(w, shift=0.0):
    """Logits (0, w·x - 0.3 + shift)."""
    return lambda x: torch.stack([torch.zeros(len(x)), x.flatten(1) @ w - 0.3 + shift], dim=1)


@pytest.mark.parametrize(("share", "flips"), [(0.97, False), (1.03, True)])
@pytest.mark.parametrize("centred", [True, False])
def test_finds_a_flip_exactly_where_the_plane_is_within_reach(linear, share, flips, centred):
    w, points, distance, labels = linear
    start = torch.zeros_like(points) if centred else torch.randn(points.shape, generator=torch.manual_seed(1))
    radius = share * distance.abs().double()
    found = search([voter(w)] * 2, points, labels, radius, start, steps=30)
    assert ((found.lead > 0) == flips).all()
    moved = (found.points.double() - points.double()).flatten(1)
    assert (moved.norm(dim=1) < radius).all()
    assert F.cosine_similarity(moved, -distance.sign()[:, None] * w.double()).min() > 0.99


def test_the_lead_is_that_of_the_average_not_of_any_member(linear):
    w, points, _, labels = linear
    voters = [voter(w, shift) for shift in (-4.0, 0.0, 9.0)]
    mean = np.mean([F.softmax(one(points), dim=1).numpy() for one in voters], axis=0)
    own = mean[np.arange(3), labels]
    assert rival_lead(voters, points, labels).numpy() == pytest.approx(np.log((1 - own) / own), abs=1e-4)


def test_keeps_the_best_point_seen_even_with_no_steps(linear):
    w, points, _, labels = linear
    found = search([voter(w)], points, labels, torch.ones(3).double(), torch.zeros_like(points), steps=0)
    assert torch.equal(found.points, points)


def test_alignment_is_the_gradient_of_the_cosine_between_the_two_losses_gradients():
    """Against central differences of the cosine, a plain loop in float64; relative 1e-5."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    images, victims = torch.rand((2, *SHAPE)).double(), torch.rand((4, *SHAPE)).double()
    labels, goal = torch.tensor([0, 2]), torch.ones(4, dtype=torch.long)

    def gradient(x, y):
        network.requires_grad_(True)
        network.zero_grad()
        F.cross_entropy(network(x), y).backward()
        return np.concatenate([weight.grad.numpy().ravel() for weight in network.parameters()])

    def cosine(x):
        a, b = gradient(victims, goal), gradient(x, labels)
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    direction = alignment([network], images, labels, victims, goal)
    for place in [(0, 0, 1, 2), (1, 0, 3, 3)]:
        step = torch.zeros_like(images)
        step[place] = 1e-5
        assert direction[place].item() == pytest.approx(
            (cosine(images + step) - cosine(images - step)) / 2e-5, rel=1e-5
        )


def test_unit_changes_have_norm_one_and_zero_stays_zero():
    changes = torch.stack([torch.full(SHAPE, 3.0), torch.zeros(SHAPE)])
    assert unit(changes).flatten(1).norm(dim=1).tolist() == pytest.approx([1.0, 0.0])
