"""A run is a folder. Everything about it lies there, so it outlives tabs, servers and kills.

    config.json            the resolved, validated config
    manifest.json          versions, device, seeds, sha256 of every file below
    events.jsonl           the log: one JSON object per line, only ever appended to
    poison.safetensors     indices, norms, original_labels of the poisoned training images
    sigma.safetensors      σ* of training, clean and triggered inputs, and the kept ascent paths
    models/*.safetensors   the undefended and the base model
    undefended.safetensors the undefended model's votes on clean and triggered images
    members/*.safetensors  shards: stacked weights of some members, with their votes
    votes.safetensors      votes of all members, mean softmax
    certificates.csv       one row per certified input
    metrics.json           the run's figures
    store.sqlite           the certified balls and the ledger of their insertion
    falsification.json     what an attack on the certificates found, if there was one

A run made by ``import-release`` has ``release.json``, the files it was made of, and none of what the release does not
hold: ``poison``, ``models``, ``undefended``, σ of the training images; their figures in metrics.json are null.

Whether a worker is alive is told by the lock it holds on ``run.lock``: the operating system lets go of
it when the process dies, so neither a recycled process number nor a clock can fool it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import pandas as pd

from certssb_core.experiment import config as configuration
from certssb_core.experiment import files

STAGES = ("data", "undefended", "sigma", "members", "votes", "store")
State = Literal["new", "running", "stopped", "failed", "done"]
_NAME = re.compile(r"\w[\w.-]{0,79}")


class RunError(Exception):
    """A run that cannot be made, found, read or started; the message says what to do."""


@dataclass(frozen=True)
class Status:
    """Where a run stands. ``done`` of ``total`` count the current stage's units (members, images, …)."""

    state: State
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    cause: str = ""


def default_runs_dir() -> Path:
    """``CERTSSB_RUNS``, else ``checkpoints/``."""
    return Path(os.environ.get("CERTSSB_RUNS") or "checkpoints")


class Run:
    """Handle on a run's folder; holds no state of its own beyond what is on disk."""

    UNHASHED = ("events.jsonl", "run.lock", "worker.log", "falsification.json")
    """Files of a run that live on after it: its manifest does not hash them."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    # -- making and finding -------------------------------------------------------------------------

    @classmethod
    def create(cls, config: configuration.RunConfig, name: str, runs_dir: Path | None = None) -> Run:
        """Make the folder ``runs_dir/name`` with its config.

        Raises:
            RunError: the name is not a plain file name, is taken, or the folder cannot be written.
        """
        path = place(name, runs_dir)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            files.write_json(path / "config.json", config.model_dump(mode="json"))
        except FileExistsError:
            raise RunError(f"{path} exists already; choose another name, or resume that run") from None
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from None
        return cls(path)

    @classmethod
    def open(cls, name_or_path: str | Path, runs_dir: Path | None = None) -> Run:
        """Find a run by its name in ``runs_dir`` or by its path.

        Raises:
            RunError: there is no run.
        """
        for path in ((runs_dir or default_runs_dir()) / name_or_path, Path(name_or_path)):
            if (path / "config.json").is_file():
                return cls(path)
        raise RunError(f"no run {str(name_or_path)!r} in {runs_dir or default_runs_dir()}/; `list` shows the runs")

    @classmethod
    def all(cls, runs_dir: Path | None = None) -> list[Run]:
        """All runs of a folder, newest first."""
        found = [path.parent for path in (runs_dir or default_runs_dir()).glob("*/config.json")]
        return [cls(path) for path in sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))]

    def delete(self) -> None:
        """Remove the folder of a run that no worker holds.

        Raises:
            RunError: a worker is on it.
        """
        with self.lock():
            pass
        shutil.rmtree(self.path)

    # -- what it holds ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def config(self) -> configuration.RunConfig:
        return configuration.read(self.path / "config.json")

    def replace_config(self, config: configuration.RunConfig) -> None:
        """Write the config with what ``auto`` stood for; only the run's worker does this."""
        files.write_json(self.path / "config.json", config.model_dump(mode="json"))
        self.__dict__.pop("config", None)

    @property
    def manifest(self) -> dict[str, Any]:
        return self._json("manifest.json")

    @property
    def metrics(self) -> dict[str, Any]:
        return self._json("metrics.json")

    @property
    def store_path(self) -> Path:
        return self.path / "store.sqlite"

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Named arrays of ``name.safetensors``: poison, sigma, votes.

        Raises:
            RunError: the run has not come so far, or the file is damaged.
        """
        try:
            return files.read_arrays(self.path / f"{name}.safetensors")
        except ValueError as error:
            raise RunError(f"{error}; resume the run to make it again") from None

    def certificates(self) -> pd.DataFrame:
        """certificates.csv, one row per certified input.

        Raises:
            RunError: the run has not come so far, or the file is damaged.
        """
        try:
            return pd.read_csv(self.path / "certificates.csv")
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / 'certificates.csv'} cannot be read ({error})") from None

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name} cannot be read ({error}); has the run finished?") from None

    # -- its log ------------------------------------------------------------------------------------

    def log(self, kind: str, **fields: Any) -> None:
        """Append one event; a single write, so that lines of two writers never mix."""
        event = {
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "kind": kind,
        } | fields
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """All events; a line cut off by a kill is passed over."""
        try:
            text = (self.path / "events.jsonl").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        events = []
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "kind" in event:
                events.append(event)
        return events

    def status(self) -> Status:
        """Where the run stands, from its log and its lock."""
        events = self.events()
        last = events[-1] if events else {"kind": "new"}
        progress = next((e for e in reversed(events) if e["kind"] in ("stage", "progress")), {})
        state: State
        if last["kind"] == "finished":
            state = "done"
        elif self.is_locked():
            state = "running"
        elif last["kind"] in ("new", "failed"):
            state = last["kind"]
        else:
            state = "stopped"
        return Status(
            state=state,
            stage=progress.get("stage", ""),
            done=progress.get("done", 0),
            total=progress.get("total", 0),
            seconds_left=progress.get("seconds_left") if state == "running" else None,
            message=last.get("message", ""),
            cause=last.get("cause", ""),
        )

    # -- one worker at a time -----------------------------------------------------------------------

    @contextmanager
    def lock(self, timeout: float = 0.0) -> Iterator[None]:
        """Hold the run; released by the operating system even if this process is killed.

        Raises:
            RunError: another process holds it.
        """
        lock = filelock.FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=timeout)
        except filelock.Timeout:
            raise RunError(f"{self.name} has a worker at this moment; stop it first") from None
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        if not (self.path / "run.lock").exists() or not os.access(self.path, os.W_OK):
            return False
        try:
            with self.lock():
                return False
        except RunError:
            return True

    def request_stop(self) -> None:
        """Ask the worker to stop after the members in hand. Asking, never signalling, cannot hit a stranger."""
        (self.path / "stop").touch()

    def stop_requested(self) -> bool:
        return (self.path / "stop").exists()

    def clear_stop(self) -> None:
        (self.path / "stop").unlink(missing_ok=True)


def place(name: str, runs_dir: Path | None = None) -> Path:
    """Where a run of this name lies.

    Raises:
        RunError: the name is not a plain file name.
    """
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is not a name for a run: letters, digits, '_', '.', '-', at most 80, no leading dot")
    return (runs_dir or default_runs_dir()) / name


def free_name(stem: str, runs_dir: Path | None = None) -> str:
    """``stem``, with the time appended, and a number if that is taken too."""
    name = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidate, number = name, 2
    while ((runs_dir or default_runs_dir()) / candidate).exists():
        candidate, number = f"{name}-{number}", number + 1
    return candidate
