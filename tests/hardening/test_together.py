"""Several at once: servers and command lines on one folder, writers of one store, locks that nobody holds any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from certssb_core.jobs import queue
from certssb_core.jobs.launch import environment
from certssb_core.runs.run import Run
from certssb_core.store.store import Store
from tests.hardening import faults

SUBMIT = """
import sys
from pathlib import Path
from certssb_core.jobs import queue
from certssb_core.errors import RunError
from certssb_core.runs.run import Run
for run in Run.all(Path(sys.argv[1])):
    try:
        queue.submit(run)
    except RunError:
        pass
"""
INSERT = """
import sys
import numpy as np
from certssb_core.store.store import Store
number, path = int(sys.argv[1]), sys.argv[2]
draws = np.random.default_rng(number)
with Store.open(path) as store:
    for batch in range(6):
        store.insert(
            draws.normal(size=(5, 3)), draws.integers(0, 3, 5), draws.uniform(0.2, 1.5, 5), np.ones(5),
            [f"writer {number}"] * 5, np.arange(5) + 5 * batch,
        )
"""


def at_once(code: str, *arguments: tuple[str, ...]) -> None:
    """One process per tuple of arguments, all at the same time."""
    started = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, given)], env=environment(), stderr=subprocess.PIPE)
        for given in arguments
    ]
    for process in started:
        _, said = process.communicate(timeout=faults.PATIENCE)
        assert process.returncode == 0, said.decode()


@pytest.mark.slow
def test_two_servers_and_five_command_lines_start_each_run_once(tmp_path):
    """Seven processes put the same two runs into the queue; each is worked on once, one after the other."""
    tiny = {
        "training.members": "2",
        "training.epochs": "1",
        "training.single_epochs": "1",
        "noise.train_map": "uniform",
    }
    runs = [faults.new_run(tmp_path, name, **tiny | {"noise.test_map": "uniform"}) for name in ("one", "two")]
    at_once(SUBMIT, *[(tmp_path,)] * 7)
    for run in sorted(runs, key=lambda run: run.status().state != "running"):
        with run.lock(timeout=faults.PATIENCE):
            pass
    queue.start_next(tmp_path)
    for run in runs:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_until_done, run).result(timeout=faults.PATIENCE)
        lines = (run.path / "events.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        assert [event["kind"] for event in events].count("finished") == 1
        assert [event.get("message") for event in events].count("worker started") == 1
        assert not [one for one in run.path.rglob("*.part")]
    times = sorted((events[0]["time"], events[-1]["time"]) for events in (run.events() for run in runs))
    assert times[0][1] <= times[1][0], "they were at work at the same time"


def _until_done(run: Run) -> None:
    while run.status().state != "done":
        if run.status().state == "running":
            with run.lock(timeout=faults.PATIENCE):
                pass


def test_the_store_keeps_its_invariant_under_five_writers(tmp_path):
    path = tmp_path / "store.sqlite"
    Store.open(path).close()
    at_once(INSERT, *[(number, path) for number in range(5)])
    with Store.read(path) as store:
        entries, balls = store.ledger(), store.balls()
    assert [entry.position for entry in entries] == list(range(150))
    assert len({entry.key for entry in entries}) == 150
    centres = balls.centres.astype(np.float64)
    distance = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    gap = distance - balls.radii[:, None] - balls.radii[None]
    assert (gap[balls.labels[:, None] != balls.labels[None]] >= -1e-12).all()
    assert len(np.unique(balls.labels)) == 3


def test_a_lock_whose_holder_is_gone_holds_nothing(tmp_path):
    """The number of a process in the file may be that of a stranger by now; it is not looked at, nor signalled."""
    run = faults.new_run(tmp_path, "stale")
    (run.path / "run.lock").write_text(str(os.getpid()))
    run.log("stage", stage="members", message="members")
    assert run.status().state == "failed"
    with run.lock():
        assert Run(run.path).status().state == "running"
    assert run.status().state == "failed"


def test_those_who_only_ask_do_not_take_each_other_for_a_worker(tmp_path):
    run = faults.new_run(tmp_path, "asked")
    with run.lock():
        pass
    with ThreadPoolExecutor(8) as pool:
        states = [*pool.map(lambda _: Run(run.path).is_locked(), range(2000))]
    assert not any(states)


def test_one_log_of_many_writers_has_whole_lines(tmp_path):
    run = faults.new_run(tmp_path, "log")
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda number: run.log("message", message=f"{number} " * 500), range(200))]
    lines = (run.path / "events.jsonl").read_text().splitlines()
    assert len(lines) == 200
    assert {json.loads(line)["message"].split()[0] for line in lines} == {str(number) for number in range(200)}


@pytest.mark.parametrize("clock", ["1999-01-01T00:00:00", "2199-01-01T00:00:00"])
def test_a_clock_that_was_moved_changes_no_state(tmp_path, clock):
    run = faults.new_run(tmp_path, "clock")
    event = {"time": f"{clock}.000+00:00", "kind": "progress", "stage": "members", "done": 3, "total": 8}
    event["seconds_left"] = 1.0
    (run.path / "events.jsonl").write_text(json.dumps(event) + "\n")
    assert (run.status().state, run.status().done) == ("failed", 3)
    with run.lock():
        assert run.status().state == "running"
