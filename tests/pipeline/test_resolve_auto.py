"""What is settled before a run starts: how many members are trained as one computation."""

import numpy as np
import pytest
import torch

from certssb_core.pipeline.resolve_auto import MOST_TOGETHER, group_size, resolve_together
from tests.conftest import make_small_run

IMAGES = np.zeros((400, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("members", "fit", "wanted"),
    [(1000, 300, 250), (10, 50, 10), (5, 0, 1), (7, 3, 3), (10_000, 5000, 1000), (1, 1, 1)],
)
def test_groups_fit_and_are_of_like_size(members, fit, wanted):
    size = group_size(members, memory=fit * 1_000 + 999, each=1_000)
    assert size == wanted <= max(min(fit, MOST_TOGETHER), 1)


def test_memory_below_nothing_trains_members_one_by_one():
    assert group_size(100, memory=-5, each=1_000) == 1


def test_on_the_cpu_members_are_trained_alone_unless_asked_otherwise(tmp_path):
    run = make_small_run(tmp_path, "alone", **{"training.device": "cpu"})
    resolve_together(run, IMAGES, classes=3)
    assert run.config.training.together == 1
    run = make_small_run(tmp_path, "asked", **{"training.device": "cpu", "training.together": "6"})
    resolve_together(run, IMAGES, classes=3)
    assert run.config.training.together == 6


def test_on_a_gpu_its_free_memory_decides(tmp_path, monkeypatch):
    def planned(name: str, free: int) -> int:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, free))
        settings = {"training.device": "cuda", "training.model": "small-cnn", "training.members": "500"}
        run = make_small_run(tmp_path, name, **settings)
        resolve_together(run, IMAGES, classes=3)
        return run.config.training.together

    assert planned("tiny", 2**20) == 1
    assert 1 < planned("small", 2**30) < 500
    assert planned("large", 2**37) == 500
