"""Files of the public release: what is read, exactly, and that nothing else is let in."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from certssb_core.ensemble import published_members
from certssb_core.ensemble.models import build
from certssb_core.ensemble.voting import vote
from certssb_core.errors import DataError

ROOT = Path(__file__).parents[2]


def weights(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in published_members.SHAPES.items()}


def their_logit(state, x):
    """The release's network as it is published: convolve, rectify, pool, twice; view; one logit."""
    x = F.max_pool2d(F.relu(F.conv2d(x, state["conv1.weight"], state["conv1.bias"])), 2, 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, state["conv2.weight"], state["conv2.bias"])), 2, 2)
    x = F.relu(x.contiguous().view(len(x), 32 * 4 * 4) @ state["fc.weight"].T + state["fc.bias"])
    return (x @ state["output.weight"].T + state["output.bias"])[:, 0]


def saved(tmp_path, value, name="smoothed_0.model"):
    torch.save(value, tmp_path / name)
    return tmp_path / name


def test_a_member_becomes_the_same_function_with_two_logits(tmp_path):
    """Softmax = sigmoid of their logit, vote = its sign, to float32 rounding (2e-6)."""
    state = weights()
    network = build("mnist-cnn", channels=1, side=28, classes=2, seed=0, member=0)
    network.load_state_dict(published_members.read_member(saved(tmp_path, state)))
    x = (
        torch.rand((200, 1, 28, 28), generator=torch.Generator().manual_seed(1))
        + torch.linspace(-3, 3, 200)[:, None, None, None]
    )
    logit, ballot = their_logit(state, x), vote(network, x)
    assert torch.allclose(ballot.softmax[:, 1], torch.sigmoid(logit), atol=2e-6)
    sure = logit.abs() > 1e-5
    assert torch.equal(ballot.hard[sure], (logit > 0)[sure].to(torch.uint8))
    assert 0 < ballot.hard.float().mean() < 1
    assert (network(x)[:, 0] == 0).all()


def test_sigma_keeps_its_values_and_drops_its_gradient(tmp_path):
    sigma = torch.rand(7) + 0.1
    read = published_members.read_sigma(saved(tmp_path, sigma.requires_grad_(), "s.pth"), count=7)
    assert (read.dtype, read.tolist()) == (np.float64, sigma.detach().double().tolist())


def test_members_are_found_in_order_and_a_gap_is_named(tmp_path):
    folder = tmp_path / "model" / "mnist" / "onepixel" / "sigma0.12"
    folder.mkdir(parents=True)
    for number in (0, 1, 2, 10, *range(3, 10)):
        (folder / f"smoothed_{number}.model").touch()
    paths = published_members.member_paths(tmp_path, trigger="one-pixel", sigma=0.12)
    assert [path.name for path in paths] == [f"smoothed_{number}.model" for number in range(11)]
    (folder / "smoothed_4.model").unlink()
    with pytest.raises(DataError, match=r"smoothed_4\.model is missing"):
        published_members.member_paths(tmp_path, trigger="one-pixel", sigma=0.12)
    with pytest.raises(DataError, match=r"sigma1\.0 holds no members"):
        published_members.member_paths(tmp_path, trigger="one-pixel", sigma=1.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_member_is_named(tmp_path, share):
    path = saved(tmp_path, weights())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"smoothed_0\.model is truncated"):
        published_members.read_member(path)


def _without(name):
    return {key: value for key, value in weights().items() if key != name}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1, 2], "no member"),
        (torch.zeros(3), "no member"),
        (_without("fc.bias"), "no member"),
        (weights() | {"extra": torch.zeros(1)}, "no member"),
        (weights() | {"fc.bias": torch.zeros(511)}, r"fc\.bias is torch\.float32 \(511,\)"),
        (weights() | {"output.weight": torch.zeros(2, 512)}, r"output\.weight"),
        (weights() | {"fc.bias": torch.zeros(512, dtype=torch.float64)}, r"float64"),
        (weights() | {"fc.bias": [0.0] * 512}, r"fc\.bias is list"),
        (weights() | {"fc.bias": torch.full((512,), float("nan"))}, "not numbers"),
    ],
)
def test_a_foreign_member_is_named(tmp_path, value, words):
    with pytest.raises(DataError, match=words):
        published_members.read_member(saved(tmp_path, value))


@pytest.mark.parametrize(
    "value", [torch.ones(6), torch.ones(7).double(), torch.zeros(7), torch.full((7,), float("inf")), {"a": 1}]
)
def test_a_foreign_sigma_is_named(tmp_path, value):
    with pytest.raises(DataError, match=r"s\.pth"):
        published_members.read_sigma(saved(tmp_path, value, "s.pth"), count=7)


def test_missing_and_oversized_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.model is missing"):
        published_members.read_member(tmp_path / "none.model")
    with (tmp_path / "big.model").open("wb") as file:
        file.truncate(published_members.LARGEST_FILE + 1)
    with pytest.raises(DataError, match="larger than"):
        published_members.read_member(tmp_path / "big.model")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_run(tmp_path):
    planted = tmp_path / "planted"
    torch.save(weights() | {"fc.bias": Hostile(planted)}, tmp_path / "a.model")
    (tmp_path / "b.model").write_bytes(pickle.dumps(Hostile(planted)))
    for name in ("a.model", "b.model"):
        with pytest.raises(DataError, match=name):
            published_members.read_member(tmp_path / name)
    assert not planted.exists()


def test_pickles_are_opened_in_one_place_and_with_weights_only():
    loads = [
        (path, call)
        for folder in ("certssb_core", "ui", "pages")
        for path in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("torch.load", "pickle.load", "pickle.loads")
    ]
    ((path, call),) = loads
    assert path.name == "published_members.py"
    assert ast.unparse(next(word.value for word in call.keywords if word.arg == "weights_only")) == "True"
