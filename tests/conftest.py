"""A real run on real digits, small enough to be made once per session by the real worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.jobs.launch import start
from certssb_core.pipeline.engines.local import available_cores
from certssb_core.runs.run import Run

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # several test processes share the cores; torch reads it at import
os.environ.setdefault("TRITON_INTERPRET", "1")  # a GPU's kernels, as Python on the CPU; read when they are defined

SMALL = {
    "data.classes": "0,1,7",
    "attack.rate": "0.08",
    "noise.paths": "6",
    "training.members": "12",
    "training.epochs": "10",
    "training.single_epochs": "20",
    "training.batch_size": "64",
    "training.shard_members": "5",
    "training.workers": "1",
    "certification.alpha": "0.1",
    "certification.bound": "clopper-pearson",
    "certification.fixed_draws": "0",
}
"""The digits preset cut down: 430 training and 108 test images, 12 members in shards of 5, 5 and 2, one worker; under
the bound that tests compute by hand."""


def pytest_xdist_auto_num_workers() -> int:
    """``-n auto``: a process per core, but no more than four, as each loads torch and starts runs of its own."""
    return min(available_cores(), 4)


@pytest.fixture(autouse=True)
def own_main_module(monkeypatch):
    """AppTest puts the page in the place of ``__main__``, and a process that is spawned later would run that page."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def make_small_run(runs_dir: Path, name: str, **changes: str) -> Run:
    """A new run with the small settings, not started."""
    return Run.create(override(PRESETS["digits"], SMALL | changes), name, runs_dir)


def finish(run: Run, *, seconds: float = 120) -> Run:
    """Start the run's worker and wait for its end."""
    assert start(run).wait(timeout=seconds) == 0, run.status().message
    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Run:
    return finish(make_small_run(tmp_path_factory.mktemp("runs"), "small"))
