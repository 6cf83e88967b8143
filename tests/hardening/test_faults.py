"""A bounded share of ``python -m tests.hardening``: kills, damage, full disks, missing memory, servers that die."""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys

import pytest

from certssb_core.ensemble import shards
from certssb_core.jobs.launch import start
from certssb_core.jobs.worker import explain
from certssb_core.pipeline import pipeline
from certssb_core.runs import integrity
from certssb_core.runs import run as run_folder
from certssb_core.runs.run import Run
from tests.hardening import damage, faults

SEED = 20261120


@pytest.fixture
def copied(undisturbed, tmp_path) -> Run:
    return Run(shutil.copytree(undisturbed.path, tmp_path / "copied"))


def interrupted(run: Run) -> Run:
    """A finished run as a kill after its members leaves it."""
    for name in ("metrics.json", "manifest.json", "certificates.csv"):
        (run.path / name).unlink()
    log = [line for line in (run.path / "events.jsonl").read_text().splitlines() if '"finished"' not in line]
    (run.path / "events.jsonl").write_text("\n".join(log) + "\n")
    return run


def test_a_run_needs_no_network(undisturbed):
    """Its worker and the processes under it would have failed at the first socket of a network: see the fixture."""
    assert undisturbed.status().state == "done"
    probe = subprocess.run(
        [sys.executable, "-c", "import sitecustomize, socket; socket.create_connection(('127.0.0.1', 9))"],
        env=os.environ | {"PYTHONPATH": str(undisturbed.path.parent / "hook")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "this run asked for the network" in probe.stderr


@pytest.mark.slow
def test_kills_lose_nothing_and_change_nothing(undisturbed, tmp_path):
    hits = [hit for _, hit in faults.kills(tmp_path, undisturbed, 4, SEED)]
    assert len([hit for hit in hits if hit != "end"]) == 4


@pytest.mark.slow
def test_members_trained_together_vote_as_alone_and_a_kill_changes_nothing(undisturbed, tmp_path):
    """In groups of 4, as on a GPU; shards of 3 cut through them: some of a group is there when it is made again."""
    groups = {"training.together": "4"}
    whole = faults.finish(faults.new_run(tmp_path, "groups", **groups))
    assert whole.manifest["device"]["together"] == 4
    for name in ("votes/clean/uniform", "votes/triggered/sample-specific"):
        assert (undisturbed.arrays("votes")[name] == whole.arrays("votes")[name]).mean() > 0.98  # rounding turns few
    killed = faults.new_run(tmp_path, "killed", **groups)
    with faults.at_work(killed) as worker:
        while worker.poll() is None and len(faults.finished_members(killed)) < 4:
            select.select([], [], [], 0.01)
    (killed.path / "members" / "part-000003.safetensors").unlink(missing_ok=True)  # as if the power had gone
    faults.assert_same_results(faults.finish(killed), whole)
    assert not list((killed.path / "members").glob("part-*"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for a process of someone else")
def test_a_worker_outlives_the_server_that_started_it(undisturbed, tmp_path):
    run = faults.new_run(tmp_path, "orphan")
    faults.started_by_a_server_that_is_killed(run)
    faults.assert_same_results(Run(run.path), undisturbed)


@pytest.mark.slow
def test_a_full_disk_is_said_and_resumed_from(undisturbed, tmp_path):
    """No file may grow past 40 kB: the images of the run do not fit."""
    run = faults.new_run(tmp_path, "full")
    assert faults.work_under(run, "RLIMIT_FSIZE", 40_000) == 1
    status = run.status()
    assert (status.state, status.message.partition(" (")[0]) == ("failed", "the disk is full")
    assert "resume" in status.message
    assert not list(run.path.rglob("*.part"))
    faults.assert_same_results(faults.finish(run), undisturbed)


@pytest.mark.slow
def test_a_full_file_system_is_said_and_resumed_from(undisturbed, tmp_path):
    """A real one of 300 kB, which a run of a megabyte does not fit into; then it grows."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if not shutil.which("mount") or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        run = faults.new_run(small, "full")
        assert start(run).wait(timeout=faults.PATIENCE) == 1
        assert "disk is full" in run.status().message
        assert not list(run.path.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        faults.assert_same_results(faults.finish(run), undisturbed)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@pytest.mark.slow
def test_a_worker_that_hangs_is_told_and_ending_it_loses_nothing(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "SILENT_MINUTES", 0.001)
    run = faults.new_run(tmp_path, "hung")
    with faults.at_work(run) as worker:
        hung = False
        while worker.poll() is None and not hung:
            if len(faults.finished_members(run)) >= 2:
                os.kill(worker.pid, signal.SIGSTOP)
                hung = True
        assert hung
        kept = faults.finished_members(run)
        for _ in range(600):
            if told := run.status().silence:
                break
            select.select([], [], [], 0.05)
        named = int(re.search(r"end process (\d+)", told)[1])
        assert named == worker.pid
        run.request_stop()
        assert worker.poll() is None, "it follows no request"
        os.kill(named, signal.SIGKILL)
        worker.wait(timeout=180)
    assert run.status().state == "failed"
    assert kept <= faults.finished_members(run)
    faults.assert_same_results(faults.finish(run), undisturbed)


@pytest.mark.parametrize("kind", faults.KINDS)
def test_no_number_of_a_damaged_run_is_shown(undisturbed, tmp_path, kind):
    draws = random.Random(SEED)
    for way in faults.DAMAGE:
        assert damage.after(undisturbed, tmp_path / "damaged", kind, way, draws) in ("told", "harmless")


def test_damage_that_nobody_looked_for_would_be_noticed(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(integrity, "check", lambda run, *names: None)
    found = [damage.after(undisturbed, tmp_path / "d", "metrics.json", "flip", random.Random(s)) for s in range(12)]
    assert "wrong" in found


UNFINISHED = (
    "poison.safetensors",
    "sigma.safetensors",
    "undefended.safetensors",
    "votes.safetensors",
    "store.sqlite",
    "models/base.safetensors",
    "members/shard-000000-000002.safetensors",
)


@pytest.mark.slow
def test_resume_makes_damaged_results_again(copied, undisturbed):
    """All at once: a bit flipped in one, one cut, one gone, and half a file of a kill beside them."""
    run, draws = interrupted(copied), random.Random(SEED)
    for place, name in enumerate(UNFINISHED):
        faults.DAMAGE[("flip", "truncate", "remove")[place % 3]](run.path / name, draws)
    (run.path / "members" / ".part-000009.safetensors.x.part").write_bytes(b"half")
    run = faults.finish(run)
    told = " ".join(event["message"] for event in run.events() if event["kind"] == "damaged")
    assert "poison.safetensors is not what was written" in told
    faults.assert_same_results(run, undisturbed)


def test_a_part_whose_bits_flipped_is_made_again(copied):
    folder = copied.path / "members"
    stacked = shards.read(folder / "shard-000000-000002.safetensors")
    shards.save_part(shards.part_path(folder, 0), {name: tensor[0] for name, tensor in stacked.items() if tensor.ndim})
    draws = random.Random(SEED)
    content = bytearray(shards.part_path(folder, 0).read_bytes())
    content[-draws.randrange(1, 100)] ^= 1
    shards.part_path(folder, 0).write_bytes(content)
    pipeline.Pipeline(copied)._drop_damaged_parts(folder)
    assert not shards.part_path(folder, 0).exists()
    assert copied.events()[-1]["kind"] == "damaged"


def test_too_little_memory_is_said(copied):
    torch_says = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
    for error in (MemoryError(), torch_says, OSError(28, "No space left on device")):
        assert "resume" in explain(error, copied)
    assert explain(KeyError("x"), copied) == "KeyError: 'x' (details in worker.log)"


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="needs another user to be")
def test_a_folder_that_may_only_be_read_is_read(copied, tmp_path):
    """As a user who may not write: the run's state and store are there, and starting it is refused in words."""
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    code = (
        "import os, sys, json; from pathlib import Path; from certssb_core.store.store import Store; "
        "from certssb_core.runs.run import Run, RunError; os.setgid(65534); os.setuid(65534); "
        "run = Run(Path(sys.argv[1])); store = Store.read(run.store_path); said = ''\n"
        "try:\n    Run.create(run.config, 'new', run.path.parent)\nexcept RunError as error:\n    said = str(error)\n"
        "print(json.dumps([run.status().state, len(store), said]))"
    )
    for parent in tmp_path.parents:
        if not os.stat(parent).st_mode & 0o001:
            pytest.skip("the folder for tests cannot be entered by another user")
    done = subprocess.run(
        [sys.executable, "-c", code, str(copied.path)], capture_output=True, text=True, check=False, cwd=faults.ROOT
    )
    state, balls, said = json.loads(done.stdout)
    assert state == "done"
    assert balls > 0
    assert "cannot be written" in said
