"""A worker's end is told for what it was: a package that cannot be loaded, a disk without locks, no shared memory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from certssb_core.config.schema import RunConfig
from certssb_core.errors import EngineError, RunError
from certssb_core.jobs import launch, queue
from certssb_core.jobs.worker import explain
from certssb_core.pipeline.engines import local
from certssb_core.runs import files
from certssb_core.runs.run import Run

ROOT = Path(__file__).parents[2]
REASON = "libcudart.so.12: cannot open shared object file"


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(RunConfig(), "one", tmp_path)


def command(*arguments: str, without_torch: Path) -> subprocess.CompletedProcess:
    """The command line where ``import torch`` fails."""
    (without_torch / "torch.py").write_text(f"raise ImportError({REASON!r})")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(without_torch), str(ROOT)])}
    return subprocess.run(
        [sys.executable, "-m", "certssb_core", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_pytorch_that_cannot_be_loaded_is_a_failure_in_words(tmp_path):
    ended = command("run", "digits-quick", "--name", "x", "--runs-dir", str(tmp_path / "runs"), without_torch=tmp_path)
    assert ended.returncode == 1
    assert REASON in ended.stderr
    assert "Traceback" not in ended.stderr
    status = Run(tmp_path / "runs" / "x").status()
    assert status.state == "failed"
    assert REASON in status.message


def test_doctor_says_that_pytorch_cannot_be_loaded(tmp_path):
    ended = command("doctor", "--json", without_torch=tmp_path)
    assert ended.returncode == 0, ended.stderr
    findings = {finding["name"]: finding for finding in json.loads(ended.stdout)}
    assert findings["torch"]["present"] is False
    assert REASON in findings["torch"]["message"]
    assert findings["data: digits"]["present"] is True


def test_a_command_that_needs_pytorch_ends_in_one_line(tmp_path):
    ended = command("forecast", "digits-quick", "--runs-dir", str(tmp_path / "runs"), without_torch=tmp_path)
    assert ended.returncode == 1
    assert REASON in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_that_cannot_begin_is_told_by_its_last_line(run, monkeypatch):
    monkeypatch.setattr(launch, "program", lambda *_: [sys.executable, "-c", "raise SystemExit('no such package')"])
    with pytest.raises(RunError, match="ended before it began: no such package"):
        launch.start(run)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_folder_without_locks_is_said_to_be_one(run, monkeypatch, number):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for act in (run.delete, lambda: run.rename("two"), lambda: launch.start(run)):
        with pytest.raises(RunError, match="disk without file locks"):
            act()
    with pytest.raises(RunError, match="disk without file locks"):
        queue.submit(run)
    assert run.status().state != "queued", "nobody could ever start it"
    assert not [path for path in run.path.iterdir() if path.suffix == ".lock" and path.stat().st_size], "no soft lock"


def test_a_folder_of_someone_else_is_named_by_everything_that_would_write(run, tmp_path, monkeypatch):
    def refuse(path: object = "", *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    for name in ("mkdir", "touch", "unlink", "rename"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    for act in (
        run.request_stop,
        run.clear_stop,
        run.enter_queue,
        run.leave_queue,
        lambda: run.rename("two"),
        lambda: Run.create(RunConfig(), "two", tmp_path),
    ):
        with pytest.raises(RunError, match="cannot be written: Permission denied"):
            act()


def test_no_shared_memory_is_named_and_not_the_folder_of_the_run(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(local, "ProcessPoolExecutor", refuse)
    with pytest.raises(EngineError, match=r"/dev/shm"):
        local.ProcessEngine(2)


def test_only_an_error_in_the_folder_of_the_run_is_blamed_on_it(run):
    inside = OSError(errno.EIO, "Input/output error", str(run.path / "votes.safetensors"))
    outside = OSError(errno.EIO, "Input/output error", "/somewhere/else")
    assert "the run's folder cannot be written" in explain(inside, run)
    assert "the run's folder" not in explain(outside, run)
    assert "/somewhere/else" in explain(outside, run)
