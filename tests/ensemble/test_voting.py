"""Voting: hard votes and softmax against a plain loop, and independence of the voting batch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.ensemble import voting
from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.models import build, max_pool
from certssb_core.ensemble.voting import LEAD, SHARE, near_tie, vote, vote_as_stack, vote_together
from certssb_core.smoothing.noise import NOISE_LAWS, NoisyInputs


@pytest.fixture(scope="module")
def network():
    return build("mnist-cnn", channels=1, side=28, classes=3, seed=0, member=0)


@pytest.fixture(scope="module")
def inputs():
    return torch.rand(37, 1, 28, 28, generator=torch.Generator().manual_seed(2))


def test_votes_are_the_argmax_of_each_image_alone(network, inputs):
    ballot = vote(network, inputs)
    with torch.no_grad():
        logits = torch.cat([network(one) for one in inputs.split(1)])
    assert torch.equal(ballot.hard, logits.argmax(1).to(torch.uint8))
    assert torch.allclose(ballot.softmax, logits.softmax(1), atol=1e-5)
    assert torch.allclose(ballot.softmax.sum(1), torch.ones(37), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 5, 37, 1000])
def test_votes_do_not_depend_on_the_batch_size(network, inputs, batch_size):
    whole, split = vote(network, inputs), vote(network, inputs, batch_size=batch_size)
    assert torch.equal(whole.hard, split.hard)
    assert torch.allclose(whole.softmax.log(), split.softmax.log(), atol=1e-4)


def test_voting_is_done_in_evaluation_mode(network, inputs):
    network.train()
    vote(network, inputs)
    assert not network.training


@pytest.mark.parametrize("model", ["mnist-cnn", "cifar-preact-resnet18"])
def test_members_together_answer_as_each_alone(inputs, model):
    members = [build(model, channels=1, side=28, classes=3, seed=0, member=member) for member in range(3)]
    weights = {name: torch.stack([one.state_dict()[name] for one in members]) for name in members[0].state_dict()}
    seen = inputs[:6].view(3, 2, 1, 28, 28)
    together = vote_together(members[0], weights, seen)
    alone = [vote(network, own) for network, own in zip(members, seen, strict=True)]
    assert torch.equal(together.hard, torch.stack([ballot.hard for ballot in alone]))
    assert torch.allclose(together.softmax, torch.stack([ballot.softmax for ballot in alone]), atol=1e-5)


@pytest.mark.parametrize("side", [8, 9, 24])
def test_two_maxima_are_a_pooling(side):
    x = torch.randn(3, 5, side, side + 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(max_pool(x), F.max_pool2d(x, 2))
    assert torch.equal(max_pool(x), F.max_pool2d(x, 2))


def test_a_lead_is_near_a_tie_by_the_size_of_the_logits():
    logits = torch.tensor([[0.0, 0.2, -3.0], [8.0, 10.0, 0.0], [0.0, 1.0, 0.0], [1.0, float("nan"), 0.0]])
    assert near_tie(logits).tolist() == [True, False, False, True]
    assert near_tie(torch.tensor([[99.0, 100.0]])).tolist() == [True]


class Disagreeing(nn.Module):
    """Class 1 leads by ``lead`` in bfloat16, class 0 in float32; ``lead`` is the first pixel."""

    def forward(self, x):
        lead = x[:, 0, 0, 0].float()
        first = torch.zeros_like(lead) if torch.is_autocast_enabled("cpu") else 2 * lead
        return torch.stack([first, lead], 1)


def test_near_ties_are_answered_in_float32_and_clear_leads_as_they_are():
    inputs = torch.tensor([0.05, 2.0, 0.2])[:, None, None, None]
    assert vote(Disagreeing(), inputs, precision="bfloat16").hard.tolist() == [0, 1, 0]
    assert vote(Disagreeing(), inputs).hard.tolist() == [0, 0, 0]


MODELS_AND_INPUTS = [
    ("small-cnn", 1, 8),
    ("linear", 1, 28),
    ("dense", 1, 28),
    ("mnist-cnn", 1, 28),
    ("strided-cnn", 3, 32),
    pytest.param("cifar-resnet-16-32-64", 3, 32, marks=pytest.mark.slow),
    pytest.param("cifar-preact-resnet18", 3, 32, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("model", "channels", "side"), MODELS_AND_INPUTS)
@pytest.mark.parametrize("largest", [2.0, 30.0])
def test_rounding_moves_no_lead_by_as_much_as_counts_as_near(model, channels, side, largest):
    """Random weights, output scaled so that the largest logit is ``largest``; each image counts."""
    draws = torch.Generator().manual_seed(1)
    network = build(model, channels=channels, side=side, classes=2, seed=0, member=3).eval()
    images = torch.rand(32, channels, side, side, generator=draws)
    images = images + torch.randn(images.shape, generator=draws)
    with torch.inference_mode():
        if model == "linear":  # its weights start at zero
            network.output.weight.normal_(generator=draws)
        network.output.bias.zero_()
        network.output.weight.mul_(largest / network(images).abs().max())
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(images.to(torch.bfloat16)).float()
    moved = ((exact[:, 0] - exact[:, 1]) - (rough[:, 0] - rough[:, 1])).abs()
    assert moved.max() > 0
    assert (moved < LEAD + SHARE * exact.abs().amax(1)).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("law", ["gaussian", "gaussian-training", "flips"])
def test_a_stack_votes_as_each_alone(inputs, law, precision, monkeypatch):
    monkeypatch.setitem(voting.STACKED_PIXELS, "cpu", 3 * 784 * 10)  # ten images at a time
    members = [build("mnist-cnn", channels=1, side=28, classes=3, seed=0, member=member) for member in range(3)]
    for network in members:
        network.output.weight.data.mul_(30)  # most leads are clear, some are not
    images, law = (inputs > 0.5).float(), NOISE_LAWS[law]
    sigma = torch.linspace(0.6, 0.9, len(images))
    draws = [law.test_draw(images, seed=4, member=member) for member in range(3)]
    together = NoisyInputs(law, images, sigma, torch.stack(draws))
    stack = vote_as_stack(members[0], stacked_weights(members), together, precision=precision)
    for place, network in enumerate(members):
        own = law.test_inputs(images, sigma, seed=4, member=place)
        assert torch.equal(own, NoisyInputs(law, images, sigma, draws[place])[slice(None)])
        exact = vote(network, own)
        for ballot in (vote(network, NoisyInputs(law, images, sigma, draws[place]), precision=precision), stack):
            hard, softmax = (
                (ballot.hard, ballot.softmax) if ballot is not stack else (stack.hard[place], stack.softmax[place])
            )
            assert torch.equal(hard, exact.hard)
            assert torch.allclose(softmax, exact.softmax, atol=1e-5 if precision == "float32" else 0.03)


def test_a_stack_votes_in_smaller_parts_where_the_memory_ends(inputs, monkeypatch):
    members = [build("mnist-cnn", channels=1, side=28, classes=3, seed=0, member=member) for member in range(2)]
    law, sigma = NOISE_LAWS["gaussian"], torch.full((len(inputs),), 0.5)
    draws = torch.stack([law.test_draw(inputs, seed=4, member=member) for member in range(2)])
    under = NoisyInputs(law, inputs, sigma, draws)
    whole = vote_as_stack(members[0], stacked_weights(members), under, precision="bfloat16")
    real, asked = voting.forward_together, []

    def of_few(network, weights, seen, **how):
        asked.append((seen.dtype, seen.shape[1]))
        if seen.shape[1] > 9:
            raise RuntimeError("CUDA out of memory")
        return real(network, weights, seen, **how)

    monkeypatch.setattr(voting, "forward_together", of_few)
    parts = vote_as_stack(members[0], stacked_weights(members), under, precision="bfloat16")
    assert {kind for kind, count in asked if count > 9} == {torch.bfloat16, torch.float32}
    assert torch.equal(parts.hard, whole.hard)
    assert torch.allclose(parts.softmax, whole.softmax, atol=1e-3)
