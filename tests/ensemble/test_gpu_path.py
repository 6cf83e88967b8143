"""The GPU's path without a GPU: fake tensors on ``cuda`` find mixed devices, types and shapes; operations are counted.

The way back of a gradient opens the device, and there is none: it is walked on ``meta`` tensors, which have shapes and
types alone.
"""

from collections import Counter
from collections.abc import Iterable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from certssb_core.ensemble import stack, voting
from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.models import MODELS, check_fits
from certssb_core.ensemble.stack import Captured, Stack
from certssb_core.ensemble.training import diverged
from certssb_core.ensemble.voting import near_tie, vote, vote_as_stack
from certssb_core.smoothing import sigma_search
from certssb_core.smoothing.noise import NOISE_LAWS, NoisyInputs
from certssb_core.smoothing.seeds import BLOCK
from certssb_core.smoothing.sigma_search import leading_class, radius_curve, smoothed_radius

IMAGES = {"digits": (1, 8), "mnist": (1, 28), "cifar10": (3, 32), "imagenette": (3, 64)}
IN_CLOSED_FORM = [name for name, network in MODELS.items() if hasattr(network, "solve")]


def fits(name: str, images: str) -> bool:
    channels, side = IMAGES[images]
    try:
        check_fits(name, channels=channels, side=side)
    except ValueError:
        return False
    return True


OWN = {"small-cnn": "digits", "dense": "digits", "mnist-cnn": "mnist", "linear": "mnist", "resnet18": "imagenette"}
"""The images that a network is made for, by default of CIFAR-10. Other images are slow tests, of ResNets exhaustive."""


def pairs(names: Iterable[str]) -> list:
    def marks(name: str, images: str) -> list:
        if OWN.get(name, "cifar10") == images:
            return []
        return [pytest.mark.exhaustive if "resnet" in name else pytest.mark.slow]

    return [
        pytest.param(name, images, marks=marks(name, images))
        for name in names
        for images in IMAGES
        if fits(name, images)
    ]


EVERY, TRAINED = pairs(MODELS), pairs(name for name in MODELS if name not in IN_CLOSED_FORM)
PRECISIONS = [torch.float32, torch.bfloat16]


class Operations(TorchDispatchMode):
    """Counts what reaches the device; views cost nothing there."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view:
            self.names[str(function)] += 1
        return function(*args, **(kwargs or {}))


def made(name: str, images: str, members: int, device: str) -> list[torch.nn.Module]:
    return [moved(MODELS[name](*IMAGES[images], 2), device) for _ in range(members)]


def moved(network: torch.nn.Module, device: str) -> torch.nn.Module:
    """``network.to(device)``, which fake tensors do not bear."""
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            module._parameters[name] = torch.nn.Parameter(weight.detach().to(device))
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
    return network


def zeros(images: str, *shape: int, device: str) -> torch.Tensor:
    channels, side = IMAGES[images]
    return torch.zeros(*shape, channels, side, side, device=device)


def stacked(
    name: str, images: str, members: int, device: str, dtype: torch.dtype = torch.float32, batch: int = 4
) -> tuple[Stack, torch.Tensor]:
    networks = made(name, images, members, device)
    seen = [zeros(images, 8, device=device) for _ in networks]
    labels = [torch.zeros(8, dtype=torch.int64, device=device) for _ in networks]
    return Stack(networks, seen, labels, dtype), torch.zeros(members, batch, dtype=torch.int64, device=device)


@pytest.mark.parametrize(("name", "images"), TRAINED)
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_the_loss_stays_on_the_device(name, images, dtype):
    with FakeTensorMode():
        learner, rows = stacked(name, images, 2, "cuda", dtype)
        loss = learner.loss(rows)
        assert (loss.device.type, loss.dtype, loss.shape) == ("cuda", torch.float32, ())


@pytest.mark.parametrize(("name", "images"), TRAINED)
def test_a_step_has_gradients_in_float32_of_products_in_bfloat16(name, images):
    learner, rows = stacked(name, images, 2, "meta", torch.bfloat16)
    learner.gradients(rows)
    assert all(weights.dtype == weights.grad.dtype == torch.float32 for weights in learner.parameters)
    assert all(weights.shape == weights.grad.shape for weights in learner.parameters)


@pytest.mark.parametrize("name", IN_CLOSED_FORM)
def test_a_closed_form_is_solved_on_the_device(name):
    with FakeTensorMode():
        (network,) = made(name, "cifar10", 1, "cuda")
        network.solve(zeros("cifar10", 9, device="cuda"), torch.zeros(9, dtype=torch.int64, device="cuda"))
        assert vote(network, zeros("cifar10", 5, device="cuda")).hard.device.type == "cuda"


@pytest.mark.parametrize(("name", "images"), EVERY)
def test_votes_stay_on_the_device(name, images):
    with FakeTensorMode():
        networks = made(name, images, 3, "cuda")
        inputs = NoisyInputs(
            NOISE_LAWS["gaussian"],
            zeros(images, 5, device="cuda"),
            torch.ones(5, dtype=torch.float64, device="cuda"),
            zeros(images, 3, 1, device="cuda"),
        )
        weights = stacked_weights(networks)
        ballot = vote_as_stack(networks[0], weights, inputs)
        assert (ballot.hard.device.type, ballot.hard.shape) == ("cuda", (3, 5))
        assert ballot.softmax.shape == (3, 5, 2)
        if name not in IN_CLOSED_FORM:
            cast = {name: tensor.bfloat16() for name, tensor in weights.items()}
            logits = voting.forward_together(networks[0], cast, inputs[slice(0, 5)].bfloat16(), products=True).float()
            rows = near_tie(logits).float().topk(2).indices
            voting._answer_again(networks[0], weights, inputs, logits, rows)
            assert (logits.device.type, logits.shape) == ("cuda", (3, 5, 2))


@pytest.mark.parametrize(("name", "images"), TRAINED)
def test_the_search_for_sigma_stays_on_the_device(name, images, monkeypatch):
    monkeypatch.setattr(sigma_search, "_draws", lambda images, draws, **_: images.new_zeros((draws, *images.shape[1:])))
    with FakeTensorMode():
        (network,), seen = made(name, images, 1, "cuda"), zeros(images, 3, device="cuda")
        anchor = leading_class(network, seen, sigma=0.5, draws=2, seed=0)
        grid = torch.ones(2, dtype=torch.float64, device="cuda")
        with torch.autocast("cuda", torch.bfloat16):
            curve = radius_curve(network, seen, grid, anchor=anchor, draws=2, p_cap=0.99, seed=0)
        assert (curve.device.type, curve.dtype, curve.shape) == ("cuda", torch.float64, (3, 2))
    (network,), seen = made(name, images, 1, "meta"), zeros(images, 3, device="meta")
    sigma = torch.ones(3, dtype=torch.float64, device="meta", requires_grad=True)
    radius = smoothed_radius(network, seen, sigma, zeros(images, 2, device="meta"), p_cap=0.99)
    assert torch.autograd.grad(radius.sum(), sigma)[0].shape == (3,)


class Stream:
    """Stands in for the device's random generator."""

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cuda"

    def manual_seed(self, words: int) -> None:
        assert 0 <= words < 2**63


@pytest.mark.parametrize("law", NOISE_LAWS)
def test_noise_is_drawn_on_the_device(law, monkeypatch):
    monkeypatch.setattr(torch, "Generator", Stream)
    law = NOISE_LAWS[law]
    with FakeTensorMode():
        images = zeros("digits", BLOCK + 3, device="cuda")
        labels = torch.zeros(len(images), dtype=torch.int64, device="cuda")
        sigma = torch.full((len(images),), 0.8, dtype=torch.float64, device="cuda")
        copy = law.training_set(images, labels, sigma, classes=10, seed=0, member=1)
        seen = law.test_inputs(images, sigma, seed=0, member=1)
        assert copy.images.device.type == copy.labels.device.type == seen.device.type == "cuda"
        assert copy.images.shape == seen.shape == images.shape
        assert (copy.images.dtype, copy.labels.dtype, seen.dtype) == (torch.float32, torch.int64, torch.float32)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(
    ("name", "images", "most"),
    [("mnist-cnn", "mnist", 72), ("small-cnn", "digits", 72), ("strided-cnn", "cifar10", 77)],
)
def test_operations_of_a_step_do_not_grow_with_the_members_or_the_batch(name, images, most, dtype):
    found = []
    for members, batch in ((2, 4), (9, 4), (2, 7)):
        learner, rows = stacked(name, images, members, "cpu", dtype, batch)
        with Operations() as operations:
            learner.gradients(rows)
        found.append(operations.names)
    assert found[0] == found[1] == found[2]
    assert found[0].total() <= most
    assert not {name for name in found[0] if "item" in name or "nonzero" in name}, "the host would wait"


def test_operations_of_a_vote_do_not_grow_with_the_members_or_the_images():
    found = []
    for members, count in ((2, 4), (9, 4), (2, 7)):
        networks = made("mnist-cnn", "mnist", members, "cpu")
        inputs = NoisyInputs(
            NOISE_LAWS["gaussian"],
            zeros("mnist", count, device="cpu"),
            torch.ones(count),
            torch.zeros(members, 1, 1, 28, 28),
        )
        weights = stacked_weights(networks)
        with Operations() as operations:
            vote_as_stack(networks[0], weights, inputs)
        found.append(operations.names)
    assert found[0] == found[1] == found[2]
    assert found[0].total() <= 45


def test_a_stack_is_asked_once_for_its_diverged_members():
    found = []
    for members in (2, 9):
        networks = made("mnist-cnn", "mnist", members, "cpu")
        with torch.no_grad():
            networks[1].output.bias[0] = torch.nan
        with Operations() as operations:
            assert diverged(networks) == [member == 1 for member in range(members)]
        found.append(operations.names)
    assert found[0] == found[1]
    assert not [name for name in found[0] if "item" in name or "local_scalar" in name]


class Recorded:
    """Stands in for a captured graph: computes the gradients of the rows that it was captured with."""

    def __init__(self, learner: Stack, seen: torch.Tensor) -> None:
        self.learner, self.seen, self.replayed = learner, seen, 0

    def replay(self) -> None:
        self.replayed += 1
        self.learner.gradients(self.seen)


def test_a_captured_step_sees_the_rows_of_the_day_and_odd_batches_are_computed_as_they_come(monkeypatch):
    learner, rows = stacked("dense", "digits", 2, "cpu")
    learner._images.normal_(generator=torch.Generator().manual_seed(0))
    graphs = []

    def capture(captured, rows):
        seen = rows.clone()
        graphs.append(Recorded(captured._stack, seen))
        return graphs[-1], seen

    monkeypatch.setattr(Captured, "_capture", capture)
    captured = Captured(learner, {4: stack.WORTH_CAPTURING, 3: stack.WORTH_CAPTURING - 1})
    for shift, size in enumerate((4, 4, 3, 4)):
        own = (torch.arange(size) + shift).expand(2, size)
        learner.gradients(own)
        wanted = [weights.grad.clone() for weights in learner.parameters]
        for weights in learner.parameters:
            weights.grad.zero_()
        captured.gradients(own)
        for weights, gradient in zip(captured.parameters, wanted, strict=True):
            assert torch.equal(weights.grad, gradient)
    assert [graph.replayed for graph in graphs] == [3]
    assert rows.shape == (2, 4)
