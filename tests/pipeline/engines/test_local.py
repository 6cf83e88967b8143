"""Worker processes: how they start, what they share, and how they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from certssb_core.errors import EngineError
from certssb_core.pipeline.engines import local

ROOT = Path(__file__).parents[3]

forked = pytest.mark.skipif(not local.FORKS, reason="workers are spawned here")


@pytest.fixture
def engine():
    made = local.ProcessEngine(2)
    yield made
    made.close()


def surroundings(_: int) -> tuple[int, int, str]:
    return os.getppid(), torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def loaded_before(_: int) -> bool:
    """A module that is imported anew lies behind those that were there when the process started."""
    return list(sys.modules).index("torch._dynamo") < list(sys.modules).index("multiprocessing.queues")


def end(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def test_workers_have_one_thread_each_and_the_caller_keeps_its_own(monkeypatch, request):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    engine = request.getfixturevalue("engine")  # started now
    found = {result for _, result in engine.map(surroundings, [(n,) for n in range(8)])}
    assert {(threads, variable) for _, threads, variable in found} == {(1, "1")}
    assert os.environ["OMP_NUM_THREADS"] == "7"


@forked
def test_workers_are_forked_from_one_process_that_has_loaded_torch(engine):
    (parent,) = {parent for _, (parent, *_) in engine.map(surroundings, [(n,) for n in range(8)])}
    assert parent != os.getpid()
    assert all(loaded for _, loaded in engine.map(loaded_before, [(n,) for n in range(4)]))


def test_a_worker_that_dies_is_told(engine):
    with pytest.raises(EngineError, match="a worker process was killed"):
        list(engine.map(end, [(n,) for n in range(6)]))


@pytest.mark.slow
def test_a_long_way_to_temporary_files_is_no_obstacle(tmp_path):
    """The name of a socket holds 108 bytes: where that is too few, workers are spawned."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    script = (
        "from certssb_core.pipeline.engines import local\n"
        "if __name__ == '__main__':\n"
        "    engine = local.ProcessEngine(2)\n"
        "    print(sorted(result for _, result in engine.map(pow, [(2, n) for n in range(4)])))\n"
        "    engine.close()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.stdout.split("\n")[0] == "[1, 2, 4, 8]", ended.stderr


@forked
def test_what_cannot_be_loaded_is_told(monkeypatch, tmp_path):
    """The process that others are forked from ends, as for a system library that is damaged."""
    (tmp_path / "damaged.py").write_text("raise OSError('damaged')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(local, "PRELOADED", ["damaged"])
    forkserver = pytest.importorskip("multiprocessing.forkserver")
    monkeypatch.setattr(forkserver, "_forkserver", forkserver.ForkServer())
    for name in ("ensure_running", "connect_to_new_process", "set_forkserver_preload"):
        monkeypatch.setattr(forkserver, name, getattr(forkserver._forkserver, name))
    with pytest.raises(EngineError, match="cannot be started"):
        local.ProcessEngine(1)
