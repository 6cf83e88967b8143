"""Measurements: which runs they need, how they are taken up, stopped and continued, and what is refused."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from certssb_core.comparisons import worker as measuring
from certssb_core.comparisons.measurement import KINDS, Kind, Measurement, MeasurementConfig, taken_up
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.errors import ConfigError, RunError
from certssb_core.jobs import queue, run_sequence, worker
from certssb_core.jobs.launch import start
from certssb_core.runs.files import read_arrays
from certssb_core.runs.run import Run
from tests.conftest import SMALL, make_small_run

NAMES = ("one", "two", "three")
RUNS = {name: override(PRESETS["digits"], {"seed": str(seed)}) for seed, name in enumerate(NAMES)}


@pytest.fixture
def kind(monkeypatch) -> list[dict[str, Run]]:
    """In place of ``compare``: what it concluded from."""
    seen: list[dict[str, Run]] = []

    def conclude(name: str, runs: dict[str, Run]) -> dict[str, Any]:
        seen.append(runs)
        return {"suite": name, "seeds": [run.config.seed for run in runs.values()]}

    monkeypatch.setitem(KINDS, "compare", Kind("T", "field", {"all": "All"}, lambda name: RUNS, conclude))
    return seen


@pytest.fixture
def submitted(monkeypatch) -> list[str]:
    """In place of the queue: runs that are submitted finish at once, but for those that were told something else."""
    names: list[str] = []

    def submit(run: Run) -> None:
        names.append(run.name)
        run.log("finished")

    monkeypatch.setattr(queue, "submit", submit)
    monkeypatch.setattr(run_sequence, "_POLL_SECONDS", 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return names


@pytest.fixture
def measurement(tmp_path, kind) -> Measurement:
    return Measurement.prepare("compare", "all", tmp_path)


def test_runs_are_made_in_their_order_and_the_result_lies_beside_them(measurement, kind, submitted, tmp_path):
    assert measuring.work(measurement)
    assert submitted == list(NAMES) == list(kind[0])
    assert json.loads((tmp_path / "field-all.json").read_text()) == {"suite": "all", "seeds": [0, 1, 2]}
    assert measurement.result() == {"suite": "all", "seeds": [0, 1, 2]}
    status = measurement.status()
    assert (status.state, status.done, status.total) == ("done", 3, 3)


def test_finished_runs_are_taken_up_and_nothing_is_left(measurement, kind, submitted, tmp_path):
    Run.create(RUNS["two"], "two", tmp_path).log("finished")
    assert measurement.remaining() == {RUNS["one"]: 1, RUNS["three"]: 1}
    assert measuring.work(measurement)
    assert submitted == ["one", "three"]
    assert not measurement.remaining()


def test_asked_again_it_concludes_again_and_counts_from_the_beginning(measurement, kind, submitted, tmp_path):
    measuring.work(measurement)
    again = Measurement.prepare("compare", "all", tmp_path)
    assert (again.status().state, again.status().done) == ("new", 0)
    assert measuring.work(again)
    assert (len(kind), submitted) == (2, list(NAMES))


def test_a_stop_keeps_what_is_there_and_continues(measurement, submitted, monkeypatch):
    finish = queue.submit

    def stop_at_two(run: Run) -> None:
        finish(run)
        if run.name == "two":
            measurement.request_stop()

    monkeypatch.setattr(queue, "submit", stop_at_two)
    assert not measuring.work(measurement)
    status = measurement.status()
    assert (status.state, status.stage, status.done) == ("stopped", "two", 1)
    assert not measurement.stop_requested()
    with pytest.raises(RunError, match=r"field-all\.json is missing; make it again with `compare`"):
        measurement.result()
    monkeypatch.setattr(queue, "submit", finish)
    assert measuring.work(measurement)
    assert submitted == list(NAMES), "none was made twice"


def test_a_run_that_fails_is_named_with_its_reason(measurement, monkeypatch, submitted):
    monkeypatch.setattr(queue, "submit", lambda run: run.log("failed", message="no MNIST here"))
    assert not measuring.work(measurement)
    assert measurement.status().state == "failed"
    assert measurement.status().message == "one did not come to its end: no MNIST here"


def test_a_run_with_other_settings_is_not_taken_up_and_says_which(tmp_path):
    changes = {"noise.sigma": "0.31", "training.epochs": "3", "title": "Other words, which are no setting"}
    other = override(make_small_run(tmp_path, "mine").config, changes)
    with pytest.raises(RunError, match=r"has other settings than are wanted \(noise.sigma, training.epochs\)"):
        taken_up("mine", other, tmp_path)


def test_what_auto_came_to_stand_for_is_no_other_setting(small_run):
    wanted = override(PRESETS["digits"], SMALL)
    assert wanted.training.device == "auto" != small_run.config.training.device
    assert taken_up(small_run.name, wanted, small_run.path.parent).path == small_run.path


@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_all_suites_can_lie_in_one_folder(kind):
    runs = {}
    for suite in KINDS[kind].suites:
        for name, config in KINDS[kind].plan(suite).items():
            assert runs.setdefault(name, config) == config, "a name that two suites share is of the same run"
    with pytest.raises(RunError, match="'mars' is no"):
        KINDS[kind].plan("mars")


def test_a_damaged_description_is_told(measurement):
    (measurement.path / "measurement.json").write_text('{"kind": "compare"}')
    with pytest.raises(ConfigError, match="is no measurement's description"):
        measurement.status()


def test_one_worker_at_a_time(measurement, monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "LOCK_SECONDS", 0)
    with measurement.lock():
        with pytest.raises(RunError, match="has a worker"):
            measuring.work(measurement)
        with pytest.raises(RunError, match="has a worker"):
            Measurement.prepare("compare", "all", tmp_path)


@pytest.mark.slow
def test_a_real_measurement_survives_the_kill_of_its_worker(tmp_path):
    """Real processes: the worker is killed, its run goes on; the next worker takes that run up."""
    changes = {"noise.train_map": "uniform", "noise.test_map": "uniform", "noise.paths": "0", "training.members": "1"}
    runs = {
        name: make_small_run(tmp_path / "drafts", name, **changes, **{"attack.rate": rate}).config
        for name, rate in (("none", "0"), ("strong", "0.1"))
    }
    measurement = Measurement.prepare("smoothness", "real", tmp_path, runs)
    assert MeasurementConfig.model_validate_json((measurement.path / "measurement.json").read_text()).runs == runs
    worker, run = start(measurement), Run(tmp_path / "none")
    while not run.is_locked() and run.status().state != "done":
        assert worker.poll() is None, (measurement.path / "worker.log").read_text()
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert measurement.status().state == "failed"
    assert start(measurement).wait(timeout=300) == 0, measurement.status().message
    assert [attack["run"] for attack in measurement.result()["attacks"]] == list(runs)
    assert sum(event.get("message") == "worker started" for event in run.events()) == 1, "it was never started again"
    assert len(read_arrays(run.path / "votes.safetensors")) > 0
