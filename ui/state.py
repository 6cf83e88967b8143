"""The runs on disk, read once and kept until their files change.

Loaders are keyed by path and modification time: a run that is resumed or made again is read afresh, with
no one having to clear a cache. What they return is shared between sessions and must not be changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from certssb_core.certify.store import Balls, Entry, Store
from certssb_core.data.datasets import DataError, load
from certssb_core.experiment import certification
from certssb_core.experiment.config import RunConfig
from certssb_core.experiment.inputs import Inputs, load_inputs
from certssb_core.experiment.run import Run, RunError, State, default_runs_dir
from ui import text


def runs_dir() -> Path:
    return default_runs_dir()


def runs() -> list[Run]:
    """All runs, newest first."""
    return Run.all(runs_dir())


def pick_run(key: str = "run", states: Sequence[State] = ("done",)) -> Run | None:
    """Let the reader choose a run in one of ``states``; the choice is in the URL under ``key``.

    Returns:
        The run; None when there is no such run, after saying so on the page.
    """
    found = {run.name: run for run in runs() if run.status().state in states}
    if not found:
        text.no_runs()
        return None
    name = st.selectbox(
        "Run", list(found), key=key, bind="query-params", help="A finished experiment; the newest comes first."
    )
    run = found[name]
    if run.config.title:
        st.caption(run.config.title)
    return run


def certificates(run: Run) -> pd.DataFrame:
    """certificates.csv: one row per certified input."""
    return _load("certificates", run, "certificates.csv")


def metrics(run: Run) -> dict[str, Any]:
    return _load("metrics", run, "metrics.json")


def arrays(run: Run, name: str) -> dict[str, Any]:
    """Named arrays of ``name.safetensors``: poison, sigma, votes."""
    return _load(name, run, f"{name}.safetensors")


def inputs(run: Run) -> Inputs:
    """The images and labels of the run, made again from its config."""
    return inputs_of(run.config)


def inputs_of(config: RunConfig) -> Inputs:
    """The images and labels that ``config`` describes; settings of noise and training play no part."""
    return _inputs(RunConfig(data=config.data, attack=config.attack, seed=config.seed).model_dump_json())


def class_names(name: str, root: str | None = None, size: int | None = None) -> tuple[str, ...]:
    """All class names of a dataset; none where it is not present."""
    try:
        return _class_names(name, root, size)
    except DataError:
        return ()


def run_with_attack(config: RunConfig) -> Run | None:
    """The newest finished run with the data and the attack of ``config``."""
    return next(
        (
            run
            for run in runs()
            if run.config.attack == config.attack
            and run.config.origin == config.origin
            and run.config.data.model_copy(update={"root": None}) == config.data.model_copy(update={"root": None})
            and run.status().state == "done"
        ),
        None,
    )


@st.cache_data(max_entries=1, ttl=3600, show_spinner="Looking at this machine …")
def machine() -> list[dict[str, Any]]:
    """The checks of ``python -m certssb_core doctor --json``, made in another process: they import torch."""
    command = [sys.executable, "-m", "certssb_core", "doctor", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    try:
        return json.loads(finished.stdout)
    except ValueError:
        raise RunError(f"{' '.join(command[1:])} failed: {finished.stderr.strip()[-300:]}") from None


def voted(run: Run) -> certification.Voted:
    """Votes, σ and labels: what a certificate is computed from."""
    return _load("voted", run, "votes.safetensors")


def balls_and_ledger(run: Run) -> tuple[Balls, list[Entry]]:
    """The stored balls and every decision that led to them, in order of arrival."""
    return _load("store", run, "store.sqlite")


def _read_store(run: Run) -> tuple[Balls, list[Entry]]:
    with Store.open(run.store_path) as store:
        return store.balls(), store.ledger()


_READERS: dict[str, Callable[[Run], Any]] = {
    "certificates": Run.certificates,
    "metrics": lambda run: run.metrics,
    "poison": lambda run: run.arrays("poison"),
    "sigma": lambda run: run.arrays("sigma"),
    "votes": lambda run: run.arrays("votes"),
    "voted": certification.voted,
    "store": _read_store,
}


def _load(reader: str, run: Run, file: str) -> Any:
    path = run.path / file
    return _read(reader, str(run.path.resolve()), path.stat().st_mtime_ns if path.exists() else 0)


@st.cache_resource(max_entries=32, show_spinner="Reading the run …")
def _read(reader: str, path: str, modified: int) -> Any:
    # ``modified`` is only part of the key. A cached resource is shared, not copied: arrays can be large.
    return _READERS[reader](Run(Path(path)))


@st.cache_resource(max_entries=4, show_spinner="Reading the images …")
def _inputs(config: str) -> Inputs:
    return load_inputs(RunConfig.model_validate_json(config))


@st.cache_data(max_entries=16, show_spinner="Looking at the dataset …")
def _class_names(name: str, root: str | None, size: int | None) -> tuple[str, ...]:
    return load(name, root=root, size=size, max_train=100, max_test=100).classes
