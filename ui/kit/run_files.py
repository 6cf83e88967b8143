"""The runs on disk, read once and kept until their files change.

Loaders are keyed by path and modification time: a run that is resumed or made again is read afresh, with
no one having to clear a cache. What they return is shared between sessions and must not be changed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from certssb_core.config.schema import DataConfig, RunConfig
from certssb_core.data.datasets import file_state, load
from certssb_core.errors import ConfigError, DataError, RunError
from certssb_core.jobs import launch
from certssb_core.plain_text import markdown_text
from certssb_core.results.fixed_figures import fixed_settings
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs import data_record, integrity, server_limits
from certssb_core.runs.inputs import Inputs, load_inputs, run_inputs
from certssb_core.runs.makers import makers
from certssb_core.runs.run import Run, default_runs_dir
from certssb_core.store.store import Balls, Entry, Store
from ui.kit import text

T = TypeVar("T")
Row = st.delta_generator.DeltaGenerator
BESIDE_APP = Path(__file__).parents[2]


def runs_dir() -> Path:
    """``CERTSSB_RUNS``, else ``checkpoints/`` beside app.py, from whichever folder the server was started."""
    return default_runs_dir() if os.environ.get("CERTSSB_RUNS") else BESIDE_APP / "checkpoints"


def read_only() -> bool:
    """True if visitors of this server may only look; the core itself refuses all else."""
    return server_limits.current().read_only


def runs() -> list[Run]:
    """All runs whose configuration can be read: those of measurements and studies last, else the newest first."""
    found, auxiliary = [run for run in Run.all(runs_dir()) if not _problem(run)], makers(runs_dir())
    return sorted(found, key=lambda run: run.name in auxiliary)


def own_runs(among: list[Run] | None = None) -> list[Run]:
    """The runs that a person made, newest first: one of a measurement or a study stands for itself alone.

    Args:
        among: those of :func:`runs`, where they have been found already.
    """
    auxiliary = makers(runs_dir())
    return [run for run in (runs() if among is None else among) if run.name not in auxiliary]


def damaged_runs() -> dict[str, str]:
    """Faults of the other runs' configurations, by name."""
    return {run.name: problem for run in Run.all(runs_dir()) if (problem := _problem(run))}


def finished_runs() -> list[Run]:
    """Those of :func:`runs` that have finished, in their order."""
    return [run for run in runs() if run.is_done()]


def _problem(run: Run) -> str:
    try:
        assert run.config
    except ConfigError as error:
        return str(error)
    return ""


def pick_run(
    key: str = "run", *, balls: bool = False, moved_input: bool = False, title: Row | None = None
) -> Run | None:
    """Let the reader choose a finished run; the choice is in the URL under ``key``.

    Args:
        balls: only runs under Gaussian noise, whose certificates are L2 balls.
        moved_input: only runs whose radius is a norm of the test input's change.
        title: takes the run's title; by default it stands under the choice.

    Returns:
        The run; None when there is no such run, after saying so on the page.
    """
    finished = {run.name: run for run in finished_runs()}
    found = {
        name: run
        for name, run in finished.items()
        if (run.config.kind.balls or not balls) and (run.config.kind.moves_input or not moved_input)
    }
    if not found:
        text.no_runs()
        return None
    if (asked := st.query_params.get(key)) and asked not in found and key not in st.session_state:
        _not_here(asked, list(found), key, unit=finished[asked].config.kind.unit if asked in finished else None)
        return None
    if text.arrived() and (held := asked or current()) in found:
        st.session_state[key] = held
    name = st.selectbox(
        "Run", list(found), key=key, bind="query-params", help="A finished experiment; the newest comes first."
    )
    make_current(name)
    run = found[name]
    if run.config.title:
        (title or st).caption(markdown_text(run.config.title))
    return run


def current() -> str | None:
    """Name of the run that the reader looked at last, on whichever page."""
    return st.session_state.get("current-run")


def make_current(name: str) -> None:
    """Open ``name`` on the other pages, too."""
    st.session_state["current-run"] = name


def _not_here(name: str, others: list[str], key: str, *, unit: str | None) -> None:
    """Say that the run of a link is not here, and offer the others; the address stays as it was until one is chosen.

    Args:
        unit: of the run's certificates, where it is there and this page cannot show it.
    """
    if unit is None:
        text.failed(
            "The run that this link names is not here.",
            "It was renamed or deleted, has not finished, or lies on another machine. The address still names it.",
        )
    else:
        text.failed(
            "This page cannot show the run that the link names.",
            f"It certifies {unit}. Look at it on Certify, or choose another run.",
        )
    st.text(name)  # a stranger's link: text, never markup

    def take() -> None:
        st.session_state[key] = st.session_state[f"instead-of-{key}"]

    st.selectbox(
        "Another run", others, index=None, key=f"instead-of-{key}", placeholder="Choose another run", on_change=take
    )


def of_run(file: str, *checked: str, kept: int = 32, spinner: str = "Reading the run …") -> Callable:
    """Keep what a function of a run makes, until the run's ``file`` changes.

    It is shared between sessions and must not be changed: arrays can be large, so nothing is copied.

    Args:
        checked: files that must be as they were written; a damaged one is a RunError.
        kept: results held at once, over all runs.
    """

    def decorate(make: Callable[..., T]) -> Callable[..., T]:
        def made(path: str, modified: int, *settings: Any, **named: Any) -> T:
            run = Run(Path(path))  # ``modified`` is only part of the key
            if checked:
                integrity.check(run, *checked)
            return make(run, *settings, **named)

        made.__module__, made.__qualname__ = make.__module__, make.__qualname__  # Streamlit tells caches apart by these
        held = st.cache_resource(max_entries=kept, show_spinner=spinner)(made)

        @wraps(make)
        def reader(run: Run, *settings: Any, **named: Any) -> T:
            path = run.path / file
            return held(str(run.path.resolve()), path.stat().st_mtime_ns if path.exists() else 0, *settings, **named)

        return reader

    return decorate


@of_run("certificates.csv", "certificates.csv")
def certificates(run: Run) -> pd.DataFrame:
    """certificates.csv: one row per certified input."""
    return run.certificates()


@of_run("metrics.json", "metrics.json")
def metrics(run: Run) -> dict[str, Any]:
    return run.metrics


@of_run("fixed.json", "fixed.json")
def fixed(run: Run) -> dict[str, Any] | None:
    """Settings and figures of the run's fixed ensemble; None where it has not voted."""
    return fixed_settings(run)


@of_run("falsification.json")
def falsification(run: Run) -> dict[str, Any] | None:
    """Result of the last attack on the run's certificates; None if there was none."""
    return run.falsification


def arrays(run: Run, name: str) -> dict[str, Any]:
    """Named arrays of ``name.safetensors``: poison, sigma, votes."""
    return _ARRAYS[name](run)


def _arrays(name: str) -> Callable[[Run], dict[str, Any]]:
    def read(run: Run) -> dict[str, Any]:
        return run.arrays(name)

    read.__qualname__ = f"arrays of {name}"
    return of_run(f"{name}.safetensors", f"{name}.safetensors")(read)


_ARRAYS = {name: _arrays(name) for name in ("poison", "sigma", "votes")}


def inputs(run: Run) -> Inputs:
    """The images and labels that the run was made from, loaded and attacked again.

    Raises:
        DataError: the data is not here, or not what the run was made from.
    """
    if run.config.attack.crafted:
        return _crafted_inputs(run)
    found = inputs_of(run.config)
    try:
        data_record.check(run, found.dataset)
    except DataError:  # files that were replaced in place since they were read
        _inputs.clear()
        found = inputs_of(run.config)
        data_record.check(run, found.dataset)
    return found


@of_run("poison.safetensors")
def _crafted_inputs(run: Run) -> Inputs:
    return run_inputs(run)


def inputs_of(config: RunConfig) -> Inputs:
    """The images and labels that ``config`` describes; settings of noise and training play no part."""
    wanted = RunConfig(data=config.data, attack=config.attack, seed=config.seed)
    return _inputs(wanted.model_dump_json(), file_state(config.data.name, config.data.root))


def class_names(name: str, root: str | None = None, size: int | None = None) -> tuple[str, ...]:
    """All class names of a dataset; none where it is not present."""
    try:
        return _class_names(name, root, size, file_state(name, root))
    except DataError:
        return ()


def run_with_attack(config: RunConfig) -> Run | None:
    """Find the newest finished run with the data, as far as it is recorded, and the attack of ``config``."""
    alike = (
        run
        for run in finished_runs()
        if run.config.attack == config.attack
        and run.config.origin == config.origin
        and run.config.data.model_copy(update={"root": None}) == config.data.model_copy(update={"root": None})
    )
    return next((run for run in alike if _made_from(run, config)), None)


def _made_from(run: Run, config: RunConfig) -> bool:
    """Compare the data that a run recorded with the data that is here; True where nothing was recorded."""
    recorded = data_record.recorded(run)
    return recorded is None or recorded == inputs_of(config).dataset.fingerprint


def run_of_other_origin(run: Run) -> Run | None:
    """The newest finished run over the same test images that was imported, if ``run`` was trained, or the reverse."""

    def data(config: RunConfig) -> DataConfig:
        return config.data.model_copy(update={"root": None, "max_train": None})

    return next(
        (
            other
            for other in finished_runs()
            if (other.config.origin == "trained") != (run.config.origin == "trained")
            and data(other.config) == data(run.config)
            and (other.config.data.max_test is None or other.config.seed == run.config.seed)
        ),
        None,
    )


@st.cache_data(max_entries=1, ttl=3600, show_spinner="Looking at this machine …")
def machine() -> list[dict[str, Any]]:
    """The checks of ``python -m certssb_core doctor --json``, made in another process: they import torch."""
    command = launch.program("doctor", "--json")
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=launch.environment(), encoding="utf-8"
    )
    try:
        return json.loads(finished.stdout)
    except ValueError:
        raise RunError(f"{' '.join(command[1:])} failed: {finished.stderr.strip()[-300:]}") from None


@of_run("votes.safetensors", "votes.safetensors", "sigma.safetensors", "config.json")
def run_votes(run: Run) -> RunVotes:
    """Votes, σ and labels: what a certificate is computed from."""
    return read_run_votes(run)


@of_run("store.sqlite", "store.sqlite")
def balls_and_ledger(run: Run) -> tuple[Balls, list[Entry]]:
    """The stored balls and every decision that led to them, in order of arrival."""
    with Store.read(run.store_path) as store:
        return store.balls(), store.ledger()


@of_run("stream.sqlite")
def stream(run: Run) -> tuple[Balls, list[Entry]]:
    """The balls and decisions of a stream of queries that the run answered, as :func:`balls_and_ledger`."""
    with Store.read(run.stream_path) as store:
        return store.balls(), store.ledger()


def asked_balls(run: Run) -> Balls:
    """The balls that answer a query first: the stored ones, and those of later queries where these are inserted."""
    return balls_and_ledger(run)[0] if run.asked_path == run.store_path else _inserted_balls(run)


@of_run("answered.sqlite")
def _inserted_balls(run: Run) -> Balls:
    with Store.read(run.asked_path) as store:
        return store.balls()


@st.cache_resource(max_entries=4, show_spinner="Reading the images …")
def _inputs(config: str, files: tuple) -> Inputs:
    # ``files`` is only part of the key.
    return load_inputs(RunConfig.model_validate_json(config))


@st.cache_data(max_entries=16, show_spinner="Looking at the dataset …")
def _class_names(name: str, root: str | None, size: int | None, files: tuple) -> tuple[str, ...]:
    return load(name, root=root, size=size, max_train=100, max_test=100).classes
