"""Discriminants against scikit-learn's, and the map that must lengthen no distance against plain distances."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble.closed_form import NearestMean
from certssb_core.ensemble.discriminant import Discriminant, ScatteredDiscriminant, _filters
from certssb_core.ensemble.voting import vote
from certssb_core.errors import ConfigError


def some(count: int, side: int = 28, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of three noisy shapes, and their labels."""
    draws = torch.Generator().manual_seed(seed)
    shapes = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(count) % 3
    return shapes[labels] + 0.4 * torch.randn(count, 1, side, side, generator=draws), labels


def test_it_is_scikit_learns_with_the_covariance_of_few_images():
    """Scikit-learn is told the regularised covariance; priors are equal, as a member's classes are not counted."""
    images, labels = some(45)
    network = Discriminant(1, 28, 3)
    network.solve(images, labels)
    x, y = NearestMean.project(images).flatten(1).double().numpy(), labels.numpy()
    apart = x - np.stack([x[y == label].mean(0) for label in range(3)])[y]
    covariance = apart.T @ apart / len(x)
    covariance += 10 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))

    class Told:
        def fit(self, rows):
            self.covariance_ = covariance

    oracle = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Told(), priors=[1 / 3] * 3).fit(x, y)
    tested, _ = some(300, seed=1)
    theirs = oracle.decision_function(NearestMean.project(tested).flatten(1).double().numpy())
    ours = network(tested).detach().double().numpy()
    lead, expected = ours - ours[:, :1], theirs - theirs[:, :1]
    factor = (lead * expected).sum() / (expected**2).sum()
    np.testing.assert_allclose(lead, factor * expected, atol=2e-4 * np.abs(lead).max())
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.99


@pytest.mark.parametrize("network", [Discriminant, ScatteredDiscriminant])
def test_a_class_that_was_not_seen_is_no_answer_and_no_images_are_no_opinion(network):
    member = network(1, 28, 4)
    assert not member(some(5)[0]).any()
    member.solve(*some(30))
    assert 3 not in vote(member, some(60, seed=2)[0]).hard
    member.solve(some(30)[0][:0], torch.zeros(0, dtype=torch.int64))
    alone = network(1, 28, 4)
    alone.solve(some(1)[0], torch.tensor([2]))
    assert set(vote(alone, some(20)[0]).hard.tolist()) == {2}


@pytest.mark.parametrize("side", [8, 28, 32])
def test_the_scattered_map_lengthens_no_distance(side):
    draws = torch.Generator().manual_seed(side)
    one, far = torch.rand(60, 1, side, side, generator=draws), torch.rand(60, 1, side, side, generator=draws)
    near = one + 0.01 * torch.randn(60, 1, side, side, generator=draws)
    wave = one + 0.1 * torch.cos(torch.arange(side) * torch.linspace(0.1, 3.1, 60)[:, None, None, None])
    for other in (far, near, wave):
        apart = (
            (ScatteredDiscriminant.project(one) - ScatteredDiscriminant.project(other)).flatten(1).double().norm(dim=1)
        )
        assert (apart <= (one - other).flatten(1).double().norm(dim=1)).all()
        assert (apart > 0).all()
    assert ScatteredDiscriminant.project(one).shape == (60, 20, 4, 4)
    for name in (ScatteredDiscriminant, NearestMean):
        assert torch.equal(name.project(name.project(one)), name.project(one))


@pytest.mark.parametrize("side", [12, 32, 33])
def test_squared_gains_add_up_to_one_at_most(side):
    """On both of a frequency and its opposite together: the spectrum of a real image is as large on either."""
    energy = torch.cat(_filters(side, 8, (1.0, 2.0))).double().square().sum(0).numpy()
    places = np.arange(side)
    both = (energy + energy[np.ix_(-places % side, -places % side)]) / 2
    assert 0.999 < both.max() <= 1


@pytest.mark.parametrize("network", [Discriminant, ScatteredDiscriminant])
def test_no_change_below_the_margin_alters_an_answer(network):
    """Steps against the nearest boundary, by the gradient of the lead over every other class."""
    member = network(1, 28, 3)
    member.solve(*some(45))
    images, _ = some(40, seed=3)
    ballot = vote(member, images, margins=True)
    for rival in range(3):
        x = images.clone().requires_grad_()
        logits = member(x)
        own = logits.gather(1, ballot.hard.long()[:, None])[:, 0]
        (slope,) = torch.autograd.grad((logits[:, rival] - own).sum(), x)
        for share in (0.5, 0.999):
            step = slope / slope.flatten(1).norm(dim=1).clamp_min(1e-9)[:, None, None, None]
            moved = images + (share * ballot.margin).float()[:, None, None, None] * step
            assert (vote(member, moved).hard == ballot.hard).all()


def test_it_takes_no_noise():
    with pytest.raises(ConfigError, match="takes no noise"):
        override(PRESETS["subset-mnist-01-noise"], {"training.model": "scattered-discriminant"})
