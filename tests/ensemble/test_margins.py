"""Distances to the nearest boundary against plain geometry in float64, and against changes of that size."""

import numpy as np
import pytest
import torch

from certssb_core.certify.margin_votes import MOST, STEP, in_steps
from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.closed_form import NearestMean
from certssb_core.ensemble.margins import margins as linear_margins
from certssb_core.ensemble.voting import vote, vote_together


@pytest.fixture
def member() -> NearestMean:
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 4
    centres = torch.rand(4, 1, 12, 12, generator=draws)
    network = NearestMean(1, 12, 4)
    network.solve(centres[labels] + 0.1 * torch.randn(40, 1, 12, 12, generator=draws), labels)
    return network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(60, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def _distances(network: NearestMean, images: torch.Tensor) -> np.ndarray:
    """Distances to the nearest mean's bisectors: an image's distance to them is that of its coefficients."""
    means = network.output.weight.detach().numpy().astype(float)
    points = network.project(images).flatten(1).numpy().astype(float)
    squares = ((points[:, None] - means) ** 2).sum(axis=2)
    found = []
    for row in squares:
        own = row.argmin()
        others = [c for c in range(len(means)) if c != own]
        found.append(min((row[c] - row[own]) / (2 * np.linalg.norm(means[c] - means[own])) for c in others))
    return np.array(found)


def test_margins_are_distances_to_the_bisectors_rounded_down(member, images):
    found, exact = vote(member, images, margins=True).margin.numpy(), _distances(member, images)
    assert (found <= exact).all()
    np.testing.assert_allclose(found, exact, atol=2e-3)
    steps = in_steps(found)
    assert (steps * STEP <= found).all()
    assert (found < (steps + 1) * STEP).all()
    assert len(set(steps.tolist())) > 10


def test_no_change_within_the_margin_alters_the_answer_and_one_just_beyond_it_does(member, images):
    ballot = vote(member, images, margins=True)
    answers, margins = ballot.hard.long(), ballot.margin
    weight = member.output.weight.detach()
    flipped = torch.zeros(len(images), dtype=torch.bool)
    for rival in range(4):
        direction = weight[rival] - weight[answers]
        direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-9)
        change = torch.einsum("nij,ik,jl->nkl", direction.view(-1, 8, 8), *[_basis()] * 2)[:, None]
        inside = vote(member, images + margins.view(-1, 1, 1, 1).float() * change).hard
        assert torch.equal(inside.long(), answers)
        beyond = vote(member, images + (margins + 2e-3).view(-1, 1, 1, 1).float() * change).hard
        flipped |= beyond.long() != answers
    assert flipped.all()


def _basis() -> torch.Tensor:
    from scipy.fft import dct

    return torch.from_numpy(dct(np.eye(12), norm="ortho", axis=0)[:8]).float()


def test_members_together_have_the_margins_they_have_alone(member, images):
    other = NearestMean(1, 12, 4)
    other.solve(images[:8], torch.arange(8) % 4)
    together = vote_together(member, stacked_weights([member, other]), torch.stack([images, images]), margins=True)
    for place, network in enumerate((member, other)):
        alone = vote(network, images, margins=True)
        assert torch.equal(together.of(place).hard, alone.hard)
        assert torch.allclose(together.of(place).margin, alone.margin, atol=1e-4)


def test_a_class_that_was_not_seen_is_far_and_a_tie_has_no_margin(images):
    network = NearestMean(1, 12, 2)
    network.solve(images[:3], torch.zeros(3, dtype=torch.int64))
    assert (in_steps(vote(network, images, margins=True).margin.numpy()) == MOST).all()
    logits, weight = torch.tensor([[1.0, 1.0], [2.0, 1.0]]), torch.ones(2, 5)
    assert linear_margins(logits, weight, torch.zeros(2)).tolist() == [0, torch.inf]


def test_nobody_asks_for_margins_by_accident(member, images):
    assert vote(member, images).margin is None
