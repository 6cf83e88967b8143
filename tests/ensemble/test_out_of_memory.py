"""Chunks that do not fit are halved, and nothing else is hidden by that."""

import pytest
import torch

from certssb_core.data import readers, system_memory
from certssb_core.ensemble.models import build
from certssb_core.ensemble.out_of_memory import halving
from certssb_core.ensemble.voting import vote


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError("CUDA out of memory")],
)
def test_the_chunk_is_halved_until_it_fits(error):
    tried = []

    def work(chunk: int) -> int:
        tried.append(chunk)
        if chunk > 5:
            raise error
        return chunk

    assert halving(work, 40) == 5
    assert tried == [40, 20, 10, 5]


@pytest.mark.parametrize(("error", "fits"), [(MemoryError(), 0), (RuntimeError("shapes differ"), 3)])
def test_what_never_fits_or_is_another_error_is_raised(error, fits):
    def work(chunk: int) -> None:
        if chunk > fits:
            raise error

    with pytest.raises(type(error)):
        halving(work, 8)


def test_votes_are_cast_in_what_fits(monkeypatch):
    network, inputs = build("dense", channels=1, side=8, classes=3, seed=0, member=0), torch.rand(50, 1, 8, 8)
    whole, forward = vote(network, inputs), network.forward

    def small(x):
        if len(x) > 16:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return forward(x)

    monkeypatch.setattr(network, "forward", small)
    assert torch.equal(vote(network, inputs).hard, whole.hard)


def test_memory_is_asked_before_it_is_taken(monkeypatch):
    assert system_memory.memory() > 2**28
    monkeypatch.setattr(readers, "memory", lambda: 10**6)
    monkeypatch.setattr(readers, "decode", lambda *_: pytest.fail("an image was read"))
    with pytest.raises(MemoryError):
        readers._read_files(readers.np.array(["x"] * 100), 64, readers.np.arange(100))
