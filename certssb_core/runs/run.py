"""A run is a folder. Everything about it lies there, so it outlives tabs, servers and kills.

    config.json            the resolved, validated config
    data.json              class names; number and sha256 of the training and the test images with their labels
    manifest.json          versions, device, seeds, sha256 of every file below
    events.jsonl           the log: one JSON object per line, only ever appended to
    poison.safetensors     indices, norms, original_labels of the poisoned training images
    sigma.safetensors      σ* of training, clean and triggered inputs, and the kept ascent paths
    models/*.safetensors   the undefended and the base model
    undefended.safetensors the undefended model's votes on clean and triggered images
    members/*.safetensors  shards: stacked weights of some members, with their votes
    votes.safetensors      votes of all members, mean softmax
    denoiser.json          name and sha256 of the denoiser, where there is one
    certificates.csv       one row per certified input; radius in the unit of the kind of certificate
    metrics.json           the run's figures
    store.sqlite           the certified balls and the ledger of their insertion, where certificates are balls
    falsification.json     what an attack on the certificates found, if there was one
    answered.sqlite        the store with the balls of later queries, where whoever serves lets them insert
    tags.json              words that people gave the run, to find it again
    stream.sqlite          a store of its own with a stream of queries that the run answered, where one was made
    protected              there where the run must not be renamed or deleted: it ships with the project
    queued                 since when the run waits for another one to end, while it does

A run made by ``import-release`` has ``release.json``, the files it was made of, and none of what the release does not
hold: ``poison``, ``models``, ``undefended``, σ of the training images; their figures in metrics.json are null.

Its log, its lock and how it is stopped are those of every job (:mod:`certssb_core.runs.job`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import unicodedata
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from certssb_core.config import schema as configuration
from certssb_core.config.parse import read_config
from certssb_core.errors import NameTakenError, RunError
from certssb_core.runs import files
from certssb_core.runs.files import PUBLISHED_SEED, SECRET
from certssb_core.runs.job import Job, State, Status

__all__ = ["STAGES", "Run", "RunError", "State", "Status", "default_runs_dir", "free_name", "place"]

Made = TypeVar("Made")

STAGES = ("data", "undefended", "sigma", "members", "votes", "store")
_NAME = re.compile(r"\w[\w.-]{0,79}")
_MOST_BYTES = 200  # a name of a file has at most 255 on every common system
_MOST_OF_STEM = 50  # leaves room for the time and a number
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}


SILENT_MINUTES = 10.0
"""How long a worker may say nothing before somebody should look."""


def default_runs_dir() -> Path:
    """``CERTSSB_RUNS``, else ``checkpoints/``."""
    return Path(os.environ.get("CERTSSB_RUNS") or "checkpoints").expanduser()


class Run(Job):
    """Handle on a run's folder; holds no state of its own beyond what is on disk."""

    WORKER = "worker"
    UNHASHED = (
        "events.jsonl",
        "run.lock",
        "worker.log",
        "falsification.json",
        "scratch.safetensors",
        "answered.sqlite",
        "stream.sqlite",
        "tags.json",
        "protected",
        PUBLISHED_SEED,
    )
    """Files of a run that live on after it: its manifest does not hash them."""

    # -- making and finding -------------------------------------------------------------------------

    @classmethod
    def create(
        cls, config: configuration.RunConfig, name: str | None, runs_dir: Path | None = None, *, stem: str = "run"
    ) -> Run:
        """Make the folder ``runs_dir/name`` with its config, whose paths no longer depend on the working folder.

        Args:
            name: None: one is made up of ``stem`` and the time.

        Raises:
            RunError: the name is not a plain file name, is taken, or the folder cannot be written.
        """
        if name is None:
            folder = runs_dir or default_runs_dir()
            return under_free_name(stem, folder, lambda free: cls.create(config, free, folder))
        path, config = place(name, runs_dir), config.with_full_paths()
        taken = f"{path} exists already; choose another name, or resume that run"
        files.make_folder(path, "config.json", config.model_dump(mode="json"), taken=taken)
        return cls(path)

    @classmethod
    def open(cls, name_or_path: str | Path, runs_dir: Path | None = None) -> Run:
        """Find a run by its name in ``runs_dir`` or by its path.

        Raises:
            RunError: there is no run.
        """
        for path in ((runs_dir or default_runs_dir()) / name_or_path, Path(name_or_path)):
            with contextlib.suppress(OSError):  # no system has a file of such a name
                if (path / "config.json").is_file():
                    return cls(path)
        raise RunError(f"no run {str(name_or_path)!r} in {runs_dir or default_runs_dir()}/; `list` shows the runs")

    @classmethod
    def all(cls, runs_dir: Path | None = None) -> list[Run]:
        """All runs of a folder, newest first; then those that ship with the project, by name."""

        def order(run: Run) -> tuple[bool, float, str]:
            shipped = run.protected
            return shipped, 0.0 if shipped else -run.path.stat().st_mtime, run.name

        found = (runs_dir or default_runs_dir()).glob("*/config.json")
        return sorted((cls(path.parent) for path in found), key=order)

    def rename(self, name: str) -> Run:
        """Give the folder of a run that no worker holds another name; the run under it.

        Raises:
            RunError: it is protected, a worker is on it, the name is not a plain file name, or it is taken.
        """
        self.check_unprotected()
        target = place(name, self.path.parent)
        if target.exists():
            raise RunError(f"{target} exists already; choose another name")
        self.at_rest()
        with files.writing(self.path):
            return Run(self.path.rename(target))

    # -- what it holds ------------------------------------------------------------------------------

    @cached_property
    def config(self) -> configuration.RunConfig:
        path = self.path.absolute() / "config.json"
        try:
            found = path.stat()
        except OSError:
            return read_config(path)  # says why it cannot be read
        return _config(path, (found.st_mtime_ns, found.st_size, found.st_ino))

    @property
    def runs_dir(self) -> Path:
        return self.path.parent

    def remaining(self) -> dict[configuration.RunConfig, int]:
        """Configs still to run, read anew because the worker may replace the file."""
        return {read_config(self.path / "config.json"): 1}

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
    def falsification(self) -> dict[str, Any] | None:
        """Result of the last attack on the certificates; None if there was none."""
        return self._json("falsification.json") if (self.path / "falsification.json").exists() else None

    @property
    def denoiser(self) -> dict[str, Any]:
        """Name and sha256 of the denoiser that its members' training images went through."""
        return self._json("denoiser.json")

    @property
    def noise_seed(self) -> int:
        """Seed of members, noise and draws: the public seed, or the run's secret one.

        Raises:
            RunError: it is secret, and not here: the run has not started, or came as a capsule.
        """
        if self.config.noise_seed == "public":
            return self.config.seed
        for name in (SECRET, PUBLISHED_SEED):
            if (self.path / name).exists():
                return int(self._json(name)["seed"])
        raise RunError(f"{self.name}: the seed of its noise is secret, and was not published")

    @property
    def store_path(self) -> Path:
        return self.path / "store.sqlite"

    @property
    def answered_path(self) -> Path:
        """The store that queries insert into, made at the first of them: the run's own results stay as they are."""
        return self.path / "answered.sqlite"

    @property
    def stream_path(self) -> Path:
        """The store of a stream of queries (:mod:`certssb_core.query.stream`)."""
        return self.path / "stream.sqlite"

    @property
    def asked_path(self) -> Path:
        """The store that answers a query first."""
        return self.answered_path if self.answered_path.exists() else self.store_path

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
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.path / name} cannot be read ({error}); has the run finished?") from None
        if not isinstance(found, dict):
            raise RunError(f"{self.path / name} holds {type(found).__name__}, not what a run writes")
        return found

    # -- where it stands ---------------------------------------------------------------------------

    def status(self) -> Status:
        """State of the run, from its log and its lock."""
        events = self.events()
        last = events[-1] if events else {}
        progress: dict[str, Any] = next((e for e in reversed(events) if e["kind"] in ("stage", "progress")), {})
        state = self.standing(events)
        if state not in ("done", "running") and self.queued_at() is not None:
            state = "queued"
        return Status(
            state=state,
            stage=progress.get("stage", ""),
            done=progress.get("done", 0),
            total=progress.get("total", 0),
            seconds_left=progress.get("seconds_left") if state == "running" else None,
            message=self.last_words(events, state),
            cause=last.get("cause", ""),
            silence=self._silence(events) if state == "running" else "",
        )

    def _silence(self, events: list[dict[str, Any]]) -> str:
        minutes = (time.time() - (self.path / "events.jsonl").stat().st_mtime) / 60 if events else 0.0
        if minutes < SILENT_MINUTES:
            return ""
        process = next((event["process"] for event in reversed(events) if "process" in event), None)
        named = f"process {process}" if process else "the worker's process"
        return (
            f"No word from the worker for {minutes:.0f} minutes. Members of a large network take long; if it hangs and "
            f"does not stop when asked, end {named} on the machine it was started on. What is finished is kept, and "
            "resume goes on."
        )

    # -- its place in the queue ---------------------------------------------------------------------

    def enter_queue(self) -> None:
        """Wait behind those that wait already; one that does keeps its place."""
        if self.queued_at() is None:
            with files.writing(self.path):
                files.write_text(self.path / "queued", str(time.time_ns()))

    def leave_queue(self) -> None:
        with files.writing(self.path):
            (self.path / "queued").unlink(missing_ok=True)

    def queued_at(self) -> int | None:
        """Time at which the run was queued, in nanoseconds; None if it does not wait."""
        try:
            return int((self.path / "queued").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


@lru_cache(maxsize=4096)
def _config(path: Path, version: tuple[int, int, int]) -> configuration.RunConfig:
    # ``version`` is only part of the key: a list of a thousand runs is drawn without reading a thousand files.
    return read_config(path)


def place(name: str, runs_dir: Path | None = None) -> Path:
    """Folder of a run of this name.

    Raises:
        RunError: the name is not a plain file name.
    """
    plain = _NAME.fullmatch(name) and not name.endswith(".") and unicodedata.is_normalized("NFC", name)
    if not plain or len(name.encode()) > _MOST_BYTES or name.partition(".")[0].upper() in _DEVICES:
        raise RunError(f"{name!r} is not a name for a run: letters, digits, '_', '.', '-', at most 80, no leading dot")
    return (runs_dir or default_runs_dir()) / name


def under_free_name(stem: str, folder: Path, make: Callable[[str], Made]) -> Made:
    """Let ``make`` use a name that is free in ``folder``, and another one if somebody else is faster.

    Args:
        stem: any text; what no name may hold is replaced.
    """
    while True:
        with contextlib.suppress(NameTakenError):
            return make(free_name(stem, folder))


def free_name(stem: str, folder: Path) -> str:
    """``stem`` as far as a name may hold it, with the time appended, and a number if that is taken too."""
    plain = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", stem)).strip("-.") or "run"
    while len(plain) > _MOST_OF_STEM or len(plain.encode()) > _MOST_BYTES - 30:
        plain = plain[:-1]
    name = f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
    if plain.partition(".")[0].upper() in _DEVICES:
        name = f"run-{name}"
    candidate, number = name, 2
    while (folder / candidate).exists():
        candidate, number = f"{name}-{number}", number + 1
    return candidate
