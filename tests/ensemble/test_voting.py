"""Voting: hard votes and softmax against a plain loop, and independence of the voting batch."""

import pytest
import torch

from certssb_core.ensemble.models import build
from certssb_core.ensemble.voting import vote


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
