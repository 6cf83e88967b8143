"""Real runs, real faults: what is done to a run, and what must be true afterwards. Used by the tests and by
``python -m tests.hardening``, which does it more often.

A run here is the digits preset cut down until it takes a second or two beside the start of its processes.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble import shards
from certssb_core.errors import StoreError
from certssb_core.jobs.launch import environment, start
from certssb_core.runs.job import DIED
from certssb_core.runs.run import STAGES, Run
from certssb_core.store.store import Store
from certssb_core.verification import verify

ROOT = Path(__file__).parents[2]
CUT_DOWN = {
    "data.classes": "0,1,7",
    "data.max_train": "150",
    "data.max_test": "45",
    "attack.rate": "0.08",
    "noise.paths": "4",
    "noise.iterations": "3",
    "noise.candidates": "3",
    "training.members": "8",
    "training.epochs": "3",
    "training.single_epochs": "4",
    "training.batch_size": "64",
    "training.shard_members": "3",
    "training.workers": "1",
    "certification.alpha": "0.2",
}
PATIENCE = 240.0
"""Seconds after which a worker that should have ended is a failure."""

KINDS = (
    "config.json",
    "events.jsonl",
    "poison.safetensors",
    "sigma.safetensors",
    "undefended.safetensors",
    "votes.safetensors",
    "certificates.csv",
    "metrics.json",
    "manifest.json",
    "store.sqlite",
    "models/base.safetensors",
    "models/undefended.safetensors",
    "members/shard-000000-000002.safetensors",
    "members/shard-000006-000007.safetensors",
)
"""Every kind of file in a finished run."""


def new_run(folder: Path, name: str, **changes: str) -> Run:
    return Run.create(override(PRESETS["digits"], CUT_DOWN | changes), name, folder)


def finish(run: Run) -> Run:
    """Take ``run`` to its end as `resume` does."""
    code = start(run).wait(timeout=PATIENCE)
    assert code == 0, f"the worker ended with {code}: {run.status().message}; {worker_log(run)}"
    return Run(run.path)


def worker_log(run: Run) -> str:
    return (run.path / "worker.log").read_text(errors="replace")[-2000:]


def assert_same_results(run: Run, reference: Run) -> None:
    """Votes, certificates and the store's decisions are those of the undisturbed run, and all of it verifies."""
    one, two = run.arrays("votes"), reference.arrays("votes")
    assert set(one) == set(two)
    for name in one:
        assert np.array_equal(one[name], two[name]), name
    assert run.certificates().equals(reference.certificates())
    failed = [finding for finding in verify(run) if finding.outcome == "failed"]
    assert not failed, failed
    assert not list(run.path.rglob(".*.part")), "half a file was left"


def finished_members(run: Run) -> set[int]:
    return shards.finished(run.path / "members")


def stored(run: Run) -> int:
    """Entries of the ledger on disk; those of an earlier stage are none."""
    if not run.store_path.exists():
        return 0
    try:
        with Store.open(run.store_path) as store:
            return len(store.ledger())
    except StoreError:
        return 0


@contextmanager
def at_work(run: Run) -> Iterator[subprocess.Popen]:
    """The run's worker; ended, with its children, if it is still there in the end."""
    worker = start(run)
    try:
        yield worker
    finally:
        kill(worker)


def kill(worker: subprocess.Popen, *, group: bool = True) -> None:
    """``kill -9`` of the worker and its children, or of the worker alone: its children have to leave by themselves."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL) if group else os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=PATIENCE)


def wait_for(run: Run, worker: subprocess.Popen, stage: str, since: int) -> bool:
    """Wait until the worker's log, from event ``since`` on, shows ``stage``; False if it ended before."""
    while True:
        if any(event.get("stage") == stage for event in run.events()[since:]):
            return True
        try:
            worker.wait(timeout=0.005)
            return False
        except subprocess.TimeoutExpired:
            continue


def kill_once(run: Run, stage: str, delay: float, *, group: bool) -> str:
    """Start the worker, kill it ``delay`` seconds into ``stage``, and see that nothing finished is lost.

    Returns:
        the stage that it was killed in, or ``end`` if it had finished.
    """
    members, entries, since = finished_members(run), stored(run), len(run.events())
    with at_work(run) as worker:
        if wait_for(run, worker, stage, since):
            try:
                worker.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                kill(worker, group=group)
    status = run.status()
    assert status.state in ("done", "new") or status.message == DIED, f"{status}: {worker_log(run)}"
    assert finished_members(run) >= members, "a finished member was lost"
    assert stored(run) >= entries, "a stored ball was lost"
    return status.stage if status.message == DIED else "end"


def durations(run: Run) -> dict[str, float]:
    return {event["stage"]: event["seconds"] for event in run.events() if event["kind"] == "stage_done"}


def kills(folder: Path, reference: Run, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """``count`` kills in runs that are each killed until they have finished; yields (stage, what it was killed in).

    Every run that ends is compared with the undisturbed one.
    """
    draws, took, made, done = random.Random(seed), durations(reference), 0, 0
    while done < count:
        made += 1
        run = new_run(folder, f"killed-{made}")
        for stage in (STAGES[made % len(STAGES)], *draws.sample(STAGES, len(STAGES))):
            if done == count:
                break
            hit = kill_once(run, stage, draws.uniform(0, took[stage]), group=draws.random() < 0.5)
            done += hit != "end"
            yield stage, hit
            if hit == "end":
                break
        assert_same_results(run if run.status().state == "done" else finish(run), reference)
        run.delete()


def flip(path: Path, draws: random.Random) -> None:
    """One bit of a file becomes another."""
    content = bytearray(path.read_bytes())
    content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, draws: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(draws.randrange(path.stat().st_size))


def remove(path: Path, draws: random.Random) -> None:
    path.unlink()


DAMAGE = {"flip": flip, "truncate": truncate, "remove": remove}

LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.{what}, ({value}, {value}))
sys.argv = ["certssb_core", "worker", {path!r}]
runpy.run_module("certssb_core", run_name="__main__")
"""


def work_under(run: Run, what: str, value: int) -> int:
    """The run's worker and its children under a resource limit; its exit code."""
    code = LIMITED.format(what=what, value=value, path=str(run.path.resolve()))
    with (run.path / "worker.log").open("ab") as log:
        return subprocess.run(
            [sys.executable, "-c", code], stdout=log, stderr=log, env=environment(), timeout=PATIENCE, check=False
        ).returncode


STARTER = """
import os, sys
from pathlib import Path
from certssb_core.jobs.launch import start
from certssb_core.runs.run import Run
print(start(Run(Path(sys.argv[1]))).pid, flush=True)
sys.stdin.read()
"""


def started_by_a_server_that_is_killed(run: Run) -> None:
    """A server's process starts the worker and is killed with ``kill -9``; the worker goes on to its end."""
    server = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(run.path.resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    worker = int(server.stdout.readline())
    kill(server)
    server.stdin.close()
    server.stdout.close()
    assert os.getsid(worker) == worker, "the worker has a session of its own"
    ended = os.pidfd_open(worker)
    try:
        assert select.select([ended], [], [], PATIENCE)[0], "the worker goes on for ever"
    finally:
        os.close(ended)
    assert run.status().state == "done", worker_log(run)
