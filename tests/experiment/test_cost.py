"""The estimate of a run's cost against hand-worked numbers."""

from __future__ import annotations

import pytest

from certssb_core.experiment import files
from certssb_core.experiment.config import RunConfig, override
from certssb_core.experiment.cost import estimate
from certssb_core.experiment.run import Run

MEASURED = {"data": 1.0, "undefended": 10.0, "sigma": 20.0, "members": 100.0, "votes": 2.0, "store": 3.0}
BASE = override(
    RunConfig(),
    {
        "training.members": "50",
        "training.epochs": "4",
        "training.single_epochs": "10",
        "noise.iterations": "10",
        "noise.draws": "8",
    },
)


@pytest.fixture
def measured(tmp_path) -> Run:
    run = Run.create(BASE, "measured", tmp_path)
    seconds = MEASURED | {"total": sum(MEASURED.values())}
    files.write_json(run.path / "metrics.json", {"seconds": seconds, "peak_memory_bytes": 5_000})
    run.log("finished")
    return run


def test_the_same_setting_costs_the_same(measured):
    cost = estimate(BASE, [measured])
    assert cost.seconds == pytest.approx(136.0)
    assert (cost.peak_memory_bytes, cost.reference) == (5_000, "measured")


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        ({"training.members": "100"}, 136.0 + 100 + 2),  # twice the members, twice the votes
        ({"training.epochs": "2"}, 136.0 - 50),
        ({"training.single_epochs": "30"}, 136.0 + 20),
        ({"noise.iterations": "5", "noise.draws": "32"}, 136.0 + 20),
        ({"noise.train_map": '"uniform"', "noise.test_map": '"uniform"'}, 136.0 - 20),
    ],
)
def test_each_stage_scales_with_its_work(measured, change, seconds):
    assert estimate(override(BASE, change), [measured]).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "change", [{"data.classes": "0,1"}, {"training.batch_size": "8"}, {"training.model": "resnet18"}]
)
def test_another_kind_of_run_says_nothing(measured, change):
    assert estimate(override(BASE, change), [measured]) is None


def test_an_unfinished_run_says_nothing(measured):
    measured.log("stopped")
    assert estimate(BASE, [measured]) is None


def test_a_damaged_run_says_nothing(measured):
    (measured.path / "metrics.json").write_text("{")
    assert estimate(BASE, [measured]) is None
