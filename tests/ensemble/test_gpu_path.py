"""The GPU's path without a GPU: fake tensors on ``cuda`` find mixed devices and shapes; operations are counted."""

from collections import Counter

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.models import MODELS
from certssb_core.ensemble.training import Stack
from certssb_core.ensemble.voting import vote_together

SIDES = {"small-cnn": (1, 8), "dense": (1, 8), "linear": (1, 28), "mnist-cnn": (1, 28), "resnet18": (3, 64)}
TRAINED = [name for name, network in MODELS.items() if not hasattr(network, "solve")]


class Operations(TorchDispatchMode):
    """Counts what reaches the device; views cost nothing there."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view:
            self.names[str(function)] += 1
        return function(*args, **(kwargs or {}))


def made(name: str, members: int, device: str) -> list[torch.nn.Module]:
    with torch.device(device):
        return [MODELS[name](*SIDES.get(name, (3, 32)), 2) for _ in range(members)]


def stack(name: str, members: int, device: str, batch: int = 4) -> tuple[Stack, torch.Tensor]:
    channels, side = SIDES.get(name, (3, 32))
    networks = made(name, members, device)
    images = [torch.zeros(8, channels, side, side, device=device) for _ in networks]
    labels = [torch.zeros(8, dtype=torch.int64, device=device) for _ in networks]
    return Stack(networks, images, labels, torch.float32), torch.zeros(members, batch, dtype=torch.int64, device=device)


@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_stays_on_the_device(name):
    """The way back is not walked: autograd opens the device, and there is none."""
    with FakeTensorMode():
        learner, rows = stack(name, 2, "cuda")
        loss = learner.loss(rows)
        assert (loss.device.type, loss.dtype, loss.shape) == ("cuda", torch.float32, ())


@pytest.mark.parametrize("name", TRAINED)
def test_votes_stay_on_the_device(name):
    channels, side = SIDES.get(name, (3, 32))
    with FakeTensorMode():
        networks = made(name, 3, "cuda")
        seen = torch.zeros(3, 5, channels, side, side, device="cuda")
        ballot = vote_together(networks[0], stacked_weights(networks), seen)
        assert (ballot.hard.device.type, ballot.hard.shape) == ("cuda", (3, 5))
        assert ballot.softmax.shape == (3, 5, 2)


@pytest.mark.parametrize(("name", "most"), [("mnist-cnn", 70), ("small-cnn", 70), ("strided-cnn", 75)])
def test_operations_of_a_step_do_not_grow_with_the_members_or_the_batch(name, most):
    found = []
    for members, batch in ((2, 4), (9, 4), (2, 7)):
        learner, rows = stack(name, members, "cpu", batch)
        with Operations() as operations:
            learner.loss(rows).backward()
        found.append(operations.names)
    assert found[0] == found[1] == found[2]
    assert found[0].total() <= most
