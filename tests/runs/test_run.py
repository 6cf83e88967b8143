"""Run folders: names, state from log and lock, damage."""

import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.runs.run import Run, default_runs_dir, free_name


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(RunConfig(), "one", tmp_path)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", ".hidden", "x" * 81, "a b", "nul\x00"])
def test_names_that_are_no_plain_file_names_are_refused(name, tmp_path):
    with pytest.raises(RunError, match="is not a name for a run"):
        Run.create(RunConfig(), name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_given_once(run, tmp_path):
    with pytest.raises(RunError, match="exists already"):
        Run.create(RunConfig(), "one", tmp_path)
    assert free_name("one", tmp_path) != "one"
    assert Run.create(RunConfig(), "größe_2.b-c", tmp_path).name == "größe_2.b-c"


def test_runs_are_found_by_name_and_path(run, tmp_path):
    assert Run.open("one", tmp_path).path == run.path
    assert Run.open(run.path).config == run.config
    assert [found.name for found in Run.all(tmp_path)] == ["one"]
    with pytest.raises(RunError, match="no run 'two'"):
        Run.open("two", tmp_path)


def test_state_follows_the_log(run):
    assert run.status().state == "new"
    run.log("stage", stage="members")
    run.log("progress", stage="members", done=3, total=9, seconds_left=4.0)
    status = run.status()
    assert (status.state, status.stage, status.done, status.total) == ("failed", "members", 3, 9)
    assert "without a word" in status.message, "nobody holds the lock, and nobody said why"
    assert status.seconds_left is None  # nobody is at work
    run.log("stopped", message="on request")
    assert (run.status().state, run.status().message) == ("stopped", "on request")
    run.log("failed", message="no data", cause="data")
    assert (run.status().state, run.status().message, run.status().cause) == ("failed", "no data", "data")
    run.log("finished", message="finished")
    assert run.status().state == "done"


def test_a_line_cut_off_by_a_kill_is_passed_over(run):
    run.log("progress", stage="members", done=1, total=2)
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"kind": "prog')
    assert len(run.events()) == 1
    assert run.status().done == 1


def test_events_are_not_trusted(run):
    (run.path / "events.jsonl").write_text('[]\n3\n"x"\n{"nokind": 1}\n' + json.dumps({"kind": "message"}) + "\n")
    assert run.events() == [{"kind": "message"}]


def _hold(path, held, release):
    with Run(path).lock():
        held.set()
        release.wait(30)


def test_the_lock_tells_whether_a_worker_is_alive_even_when_it_was_killed(run):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(run.path, held, release))
    holder.start()
    assert held.wait(30)
    run.log("stage", stage="members")
    assert run.status().state == "running"
    with pytest.raises(RunError, match="has a worker"):
        run.delete()
    holder.kill()
    holder.join()
    assert run.status().state == "failed"
    run.delete()
    assert not run.path.exists()


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x10" + b"\x00" * 7 + b"{}"])
def test_missing_and_damaged_files_are_named(run, content):
    if content is not None:
        for name in ("votes.safetensors", "metrics.json"):
            (run.path / name).write_bytes(content)
    with pytest.raises(RunError, match=r"votes\.safetensors is missing or damaged"):
        run.arrays("votes")
    with pytest.raises(RunError, match=r"metrics\.json"):
        _ = run.metrics


def test_stop_requests_are_files_not_signals(run):
    run.request_stop()
    assert run.stop_requested()
    run.clear_stop()
    assert not run.stop_requested()


def test_a_renamed_run_is_the_same_under_another_name(run, tmp_path):
    config = run.config
    run.log("finished")
    renamed = run.rename("two")
    assert renamed.path == tmp_path / "two"
    assert (renamed.config, renamed.status().state) == (config, "done")
    assert [found.name for found in Run.all(tmp_path)] == ["two"]


@pytest.mark.parametrize("name", ["../out", "", "taken"])
def test_a_name_that_cannot_be_given_changes_nothing(run, tmp_path, name):
    Run.create(RunConfig(), "taken", tmp_path)
    with pytest.raises(RunError, match=r"not a name|exists already"):
        run.rename(name)
    assert run.path.is_dir()


def test_a_run_at_work_is_neither_renamed_nor_deleted(run):
    with run.lock():
        with pytest.raises(RunError, match="has a worker"):
            run.rename("two")
        with pytest.raises(RunError, match="has a worker"):
            run.delete()
    assert run.path.is_dir()


def test_a_worker_that_says_nothing_for_long_is_told_with_its_process(run):
    with run.lock():
        run.log("message", message="worker started", process=4711)
        run.log("stage", stage="members")
        assert run.status().silence == ""
        events = run.path / "events.jsonl"
        os.utime(events, (time.time() - 3600, time.time() - 3600))
        assert "for 60 minutes" in run.status().silence
        assert "process 4711" in run.status().silence
        os.utime(events, (time.time() + 3600, time.time() + 3600))
        assert run.status().silence == "", "a clock that was moved is no silence"
    os.utime(events, (time.time() - 3600, time.time() - 3600))
    assert run.status().silence == "", "nobody is at work"


def test_size_counts_every_file(run):
    before = run.size()
    (run.path / "members").mkdir()
    (run.path / "members" / "part").write_bytes(b"x" * 1000)
    assert run.size() == before + 1000


def test_a_queued_run_waits_until_it_runs_or_is_withdrawn(run):
    run.log("stopped")
    run.enter_queue()
    since = run.queued_at()
    run.enter_queue()
    assert (run.status().state, run.queued_at()) == ("queued", since)
    with run.lock():
        assert run.status().state == "running"
    run.leave_queue()
    assert run.status().state == "stopped"


@pytest.mark.parametrize(
    "stem", ["run (1)", "my config", "", "...", "-x", "con", "a/b\x00", "gro\u0308ße" * 30, "𝕏" * 60, "\ud800"]
)
def test_a_made_up_name_is_always_a_name(stem, tmp_path):
    assert Run.create(RunConfig(), None, tmp_path, stem=stem).path.is_dir()


def test_made_up_names_of_the_same_moment_are_all_given(tmp_path, monkeypatch):
    """Sixteen starts at once, of which the clock tells no two apart."""
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    together = threading.Barrier(16)

    def start(_: int) -> str:
        together.wait()
        return Run.create(RunConfig(), None, tmp_path, stem="digits").name

    with ThreadPoolExecutor(16) as pool:
        names = [*pool.map(start, range(16))]
    assert len(set(names)) == 16


def test_paths_are_settled_when_the_run_is_made(tmp_path, monkeypatch):
    (tmp_path / "denoisers").mkdir()
    (tmp_path / "denoisers" / "mine").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    config = override(RunConfig(), {"data.root": "imgs", "noise.denoiser": "denoisers/mine"})
    made = Run.create(config, "one", tmp_path).config
    assert made.data.root == str(tmp_path / "imgs")
    assert made.noise.denoiser == str(tmp_path / "denoisers" / "mine")
    config = override(RunConfig(), {"data.root": "~/imgs", "noise.denoiser": "someone/model"})
    made = Run.create(config, "two", tmp_path).config
    assert (made.data.root, made.noise.denoiser) == (str(tmp_path / "imgs"), "someone/model")
    monkeypatch.setenv("CERTSSB_RUNS", "~/runs")
    assert default_runs_dir() == tmp_path / "runs"


def test_either_end_of_a_log_is_read_without_the_rest(tmp_path, monkeypatch):
    run = Run.create(RunConfig(), "long", tmp_path)
    run.log("stage", stage="data")
    for done in range(400):
        run.log("progress", stage="members", done=done, total=400, seconds_left=None)
    run.log("finished")
    with (run.path / "events.jsonl").open("a") as log:
        log.write('{"kind": "progr')  # cut off by a kill
    monkeypatch.setattr(Run, "events", lambda self: pytest.fail("the whole log is read"))
    assert run.first_event()["kind"] == "stage"
    assert run.last_event()["kind"] == "finished"
    assert run.is_done()


def test_a_log_with_a_last_line_longer_than_its_end_is_still_read(tmp_path):
    run = Run.create(RunConfig(), "wordy", tmp_path)
    run.log("finished", message="x" * 100_000)
    assert run.is_done()
    assert not Run.create(RunConfig(), "silent", tmp_path).is_done()
