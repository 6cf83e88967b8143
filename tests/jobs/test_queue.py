"""The queue: order, who starts the next one, and what happens where nobody could."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import filelock
import pytest

from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.jobs import launch
from certssb_core.jobs import queue as waiting
from certssb_core.runs.run import Run
from tests.conftest import make_small_run

TINY = {"training.members": "2", "training.epochs": "1", "training.single_epochs": "1", "noise.iterations": "1"}


@pytest.fixture
def started(monkeypatch):
    """Names of the runs that were started, by a worker that holds the run, or that cannot begin in ``fail``."""
    names, held, fail = [], [], set()

    def start(run: Run) -> None:
        names.append(run.name)
        if run.name in fail:
            raise RunError("no room")
        run.leave_queue()
        lock = run.lock()
        lock.__enter__()
        held.append(lock)
        run.log("message", message="worker started")

    monkeypatch.setattr(waiting, "start", start)
    yield names, held, fail
    for lock in held:
        lock.__exit__(None, None, None)


@pytest.fixture
def runs(tmp_path) -> list[Run]:
    return [Run.create(RunConfig(), name, tmp_path) for name in ("c", "a", "b")]


def test_the_first_starts_and_the_others_wait_in_the_order_they_came(tmp_path, runs, started):
    names, held, _ = started
    for run in runs:
        waiting.submit(run)
    assert names == ["c"]
    assert [run.name for run in waiting.waiting(tmp_path)] == ["a", "b"]
    assert [run.status().state for run in runs] == ["running", "queued", "queued"]
    assert waiting.start_next(tmp_path) is None, "one is at work"
    held.pop().__exit__(None, None, None)
    assert waiting.start_next(tmp_path).name == "a"
    assert names == ["c", "a"]


def test_a_queued_run_keeps_its_place_and_can_be_withdrawn(tmp_path, runs, started):
    for run in (*runs, runs[1]):
        if run.status().state != "running":
            waiting.submit(run)
    assert [run.name for run in waiting.waiting(tmp_path)] == ["a", "b"]
    runs[1].leave_queue()
    assert runs[1].status().state == "new"
    assert [run.name for run in waiting.waiting(tmp_path)] == ["b"]


def test_a_run_that_cannot_be_started_makes_way_and_says_why(tmp_path, runs, started):
    names, _, fail = started
    fail.add("c")
    for run in runs:
        run.enter_queue()
    assert waiting.start_next(tmp_path).name == "a"
    assert names == ["c", "a"]
    assert (runs[0].status().state, runs[0].status().message) == ("failed", "no room")


def test_a_run_that_has_begun_is_not_withdrawn_but_stopped(tmp_path, runs, started):
    runs[0].enter_queue()
    with runs[0].lock():  # its worker has begun, and not yet taken it from the queue
        waiting.withdraw(runs[0])
        assert runs[0].stop_requested()
    runs[1].enter_queue()
    waiting.withdraw(runs[1])
    assert (runs[1].status().state, runs[1].stop_requested()) == ("new", False)


def test_a_run_whose_worker_is_starting_is_still_queued(tmp_path, runs, monkeypatch):
    """From the moment its turn comes until its worker holds the lock, nobody sees a run at rest."""
    seen = []

    def spawn(run: Run) -> None:
        seen.append(run.status().state)
        raise RunError("not in this test")

    monkeypatch.setattr(launch, "_spawn", spawn)
    runs[0].enter_queue()
    assert waiting.start_next(tmp_path) is None
    assert seen == ["queued"]
    assert runs[0].status().state == "failed"


def test_a_run_at_work_or_finished_is_not_queued(runs, started):
    waiting.submit(runs[0])
    with pytest.raises(RunError, match="running already"):
        waiting.submit(runs[0])
    runs[1].log("finished")
    with pytest.raises(RunError, match="done already"):
        waiting.submit(runs[1])


def test_a_run_between_the_queue_and_its_lock_is_waited_for(tmp_path, runs):
    """Someone has taken the run from the queue, and its worker has not yet its lock: it is not at rest."""
    run = runs[0]
    queue = filelock.FileLock(tmp_path / ".queue.lock", thread_local=False)
    queue.acquire()
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(waiting.settled, run)
        with pytest.raises(TimeoutError):
            seen.result(timeout=0.2)
        with run.lock():
            queue.release()
            assert seen.result(timeout=180).state == "running"


def test_a_damaged_mark_queues_nothing(tmp_path, runs):
    (runs[0].path / "queued").write_text("soon")
    assert runs[0].status().state == "new"
    assert waiting.waiting(tmp_path) == []


def test_a_folder_that_does_not_exist_has_no_queue(tmp_path):
    assert waiting.start_next(tmp_path / "nowhere") is None


@pytest.mark.slow  # the browser tests see it happen
def test_the_worker_that_ends_starts_the_next_one(tmp_path):
    """Real workers: when the first has ended, the second is at work or done."""
    first, second = (make_small_run(tmp_path, name, **TINY) for name in ("first", "second"))
    worker = launch.start(first)
    second.enter_queue()
    assert worker.wait(timeout=120) == 0
    assert second.status().state in ("running", "done")
    with second.lock(timeout=120):
        assert second.status().state == "done"
