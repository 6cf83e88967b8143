"""The job panel in each state of a run."""

from __future__ import annotations

import os

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.runs import files
from certssb_core.runs.run import STAGES, Run, Status
from ui.kit import jobs


def show_panel(path: str) -> None:
    from certssb_core.runs.run import Run
    from ui.kit import jobs

    jobs.panel(Run(path))


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(RunConfig(), "mine", tmp_path)


def panel(run: Run) -> AppTest:
    app = AppTest.from_function(show_panel, args=(str(run.path),), default_timeout=180).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.markdown, *app.caption))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_duration(seconds, expected):
    assert jobs.duration(seconds) == expected


def test_progress_text_says_what_is_known():
    status = Status("running", "members", 1234, 5000, 61.0)
    assert jobs.progress_text(status) == "members 1,234 of 5,000, about 61 s left"
    assert jobs.progress_text(Status("running", "votes")) == "votes"


def test_a_running_run_shows_its_stage_and_can_be_stopped(run):
    run.log("stage", stage="members")
    run.log("progress", stage="members", done=3, total=8, seconds_left=12.0)
    with run.lock():
        app = panel(run)
        text = words(app)
        assert all(f"✓ {stage}" in text for stage in STAGES[: STAGES.index("members")])
        assert "**members**" in text
        app.button(key="stop-mine").click().run()
        assert run.stop_requested()
        assert app.button(key="stop-mine").disabled


def test_the_newest_accuracy_is_shown(run):
    run.log("progress", stage="members", done=1, total=8, accuracy=0.5)
    run.log("progress", stage="members", done=3, total=8, accuracy=0.905)
    run.log("stopped")
    assert "Mean accuracy of the members so far: **90.5%**" in words(panel(run))


def test_a_stopped_run_can_be_resumed(run, monkeypatch):
    resumed = []
    monkeypatch.setattr("certssb_core.jobs.queue.submit", lambda run: resumed.append(run.name))
    run.log("stage", stage="members")
    run.log("stopped")
    panel(run).button(key="resume-mine").click().run()
    assert resumed == ["mine"]


def test_a_failed_run_says_why_and_what_to_do(run):
    run.log("failed", message="MNIST is not in data")
    error = panel(run).error[0].value
    assert "MNIST is not in data" in error
    assert "Resume" in error


def test_a_run_that_cannot_start_says_why(run, monkeypatch):
    def refuse(run: Run) -> None:
        raise RunError("mine is running already")

    monkeypatch.setattr("certssb_core.jobs.queue.submit", refuse)
    run.log("stopped")
    assert "running already" in panel(run).button(key="resume-mine").click().run().error[0].value


def test_a_finished_run_is_neither_stopped_nor_resumed(run):
    run.log("finished")
    assert {button.key for button in panel(run).button} == {"duplicate-mine", "rename-mine", "delete-mine"}


def test_a_running_run_can_be_duplicated_but_not_moved(run):
    run.log("stage", stage="members")
    with run.lock():
        assert {button.key for button in panel(run).button} == {"stop-mine", "duplicate-mine"}


def test_a_queued_run_says_its_place_and_can_be_withdrawn(run, tmp_path):
    first = Run.create(RunConfig(), "before", tmp_path)
    first.enter_queue()
    run.enter_queue()
    app = panel(run)
    assert "number **2** in the queue" in words(app)
    app.button(key="withdraw-mine").click().run()
    assert run.status().state == "new"


def test_the_log_is_readable(run):
    run.log("progress", stage="members", done=3, total=8, seconds_left=12.34567)
    assert "progress members  done 3, total 8, seconds_left 12.35" in panel(run).code[0].value


def test_the_newest_line_comes_first_and_checksums_are_left_out(run):
    run.log("stage", stage="data", message="data")
    run.log("wrote", file="poison.safetensors", sha256="0" * 64)
    run.log("stage", stage="members", message="members")
    log = panel(run).code[0].value.splitlines()
    assert ["members" in log[0], "data" in log[-1], len(log)] == [True, True, 2]


def test_the_vote_so_far_and_the_noise_are_drawn_while_a_run_is_at_work(run):
    labels = np.array([0, 1, 1, 0])
    (run.path / "members").mkdir()
    files.write_arrays(run.path / "scratch.safetensors", {"test_labels": labels, "classes": np.array(2)})
    for member in range(3):
        votes = {f"votes/{name}/sample-specific": labels.astype(np.uint8)[None] for name in ("clean", "triggered")}
        files.write_arrays(run.path / "members" / f"part-{member:06d}.safetensors", votes)
    levels = {name: np.linspace(0.1, 0.4, 10) for name in ("train", "clean", "triggered")}
    files.write_arrays(run.path / "sigma.safetensors", levels)
    run.log("stage", stage="members")
    with run.lock():
        app = panel(run)
    assert "Of the first 3 members most are right on **100.0%** of the clean" in words(app)
    assert len(app.get("plotly_chart")) == 2


def test_a_silent_worker_is_told(run):
    run.log("stage", stage="members")
    with run.lock():
        os.utime(run.path / "events.jsonl", (0, 0))
        assert "No word from the worker" in panel(run).warning[0].value


@pytest.mark.parametrize("last", ["new", "stopped", "failed"])
def test_a_panel_at_rest_sees_a_worker_that_someone_else_starts(run, monkeypatch, last):
    """It looks again by itself, and its buttons are those of the state that the lock tells."""
    every = []
    original = jobs.st.fragment

    def fragment(function, *, run_every):
        every.append(run_every)
        return original(function, run_every=run_every)

    monkeypatch.setattr("ui.kit.jobs.st.fragment", fragment)
    if last != "new":
        run.log(last, message="")
    app = panel(run)
    assert every[-1]
    with run.lock():
        app.run()
        assert "stop-mine" in {button.key for button in app.button}
        assert "resume-mine" not in {button.key for button in app.button}
