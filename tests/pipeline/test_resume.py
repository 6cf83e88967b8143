"""Kill and stop: whatever happens to the worker, resuming ends with the votes of an undisturbed run."""

import os
import signal
import subprocess

import numpy as np
import pytest

from certssb_core.errors import RunError
from certssb_core.jobs.launch import start
from tests.conftest import finish, make_small_run


def run_until(run, stage: str, done: int, deadline: float = 90.0) -> subprocess.Popen:
    """Start the worker and return once its log shows ``done`` units of ``stage``."""
    worker = start(run)
    for _ in range(int(deadline / 0.02)):
        try:
            pytest.fail(f"the worker ended early with {worker.wait(timeout=0.02)}")
        except subprocess.TimeoutExpired:
            status = run.status()
            if status.stage == stage and status.done >= done:
                return worker
    pytest.fail(f"{stage} {done} not reached")


def assert_same_votes(run, other) -> None:
    one, two = run.arrays("votes"), other.arrays("votes")
    assert set(one) == set(two)
    for name in one:
        assert np.array_equal(one[name], two[name]), name
    assert run.certificates().equals(other.certificates())


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "done"), [("sigma", 64), ("members", 7)])
def test_kill_and_resume_end_with_the_same_votes(small_run, tmp_path, stage, done):
    run = make_small_run(tmp_path, "killed")
    worker = run_until(run, stage, done)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=180)
    assert (run.status().state, "without a word" in run.status().message) == ("failed", True)
    assert_same_votes(finish(run), small_run)


@pytest.mark.slow
def test_a_requested_stop_keeps_finished_members_and_resumes(small_run, tmp_path):
    run = make_small_run(tmp_path, "stopped")
    worker = run_until(run, "members", 2)
    with pytest.raises(RunError, match="running already"):
        start(run)
    run.request_stop()
    assert worker.wait(timeout=180) == 1
    status = run.status()
    assert (status.state, status.message) == ("stopped", "stopped on request; resume continues it")
    assert list((run.path / "members").glob("*.safetensors"))
    assert_same_votes(finish(run), small_run)


def test_a_finished_run_is_not_started_again(small_run):
    with pytest.raises(RunError, match="done already"):
        start(small_run)


def test_missing_data_fails_in_plain_words(tmp_path):
    run = make_small_run(
        tmp_path, "no-data", **{"data.name": "image-folder", "data.root": str(tmp_path), "data.size": "8"}
    )
    assert start(run).wait(timeout=180) == 1
    status = run.status()
    assert (status.state, status.cause) == ("failed", "data")
    assert "train" in status.message
    assert "Traceback" not in (run.path / "worker.log").read_text()
