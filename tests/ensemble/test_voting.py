"""Voting: hard votes and softmax against a plain loop, and independence of the voting batch."""

import pytest
import torch

from certssb_core.ensemble.models import build
from certssb_core.ensemble.voting import vote, vote_together


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
