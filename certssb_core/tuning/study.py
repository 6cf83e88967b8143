"""A study: a search over settings, whose trials are runs.

    .studies/NAME/study.json     the validated description
    .studies/NAME/journal.log    Optuna's own journal of the trials; any Optuna tool reads it
    .studies/NAME/events.jsonl   the log

It lies in the folder of the runs. Every trial is an ordinary run there, ``NAME-001`` and so on. The journal holds a
trial from the moment it is proposed, whole or not at all, so a kill neither loses nor doubles one.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, field_validator, model_validator

from certssb_core.config.schema import Group, RunConfig
from certssb_core.errors import ConfigError, RunError
from certssb_core.results.attack_verdict import caution
from certssb_core.runs import files, server_limits
from certssb_core.runs.job import Job
from certssb_core.runs.makers import STUDIES
from certssb_core.runs.run import Run, State, Status, default_runs_dir, place, under_free_name
from certssb_core.tuning.ranges import Range, check

if TYPE_CHECKING:
    import optuna

_TRIAL_STATES: dict[str, State] = {"RUNNING": "running", "COMPLETE": "done", "FAIL": "failed"}


@dataclass(frozen=True)
class Objective:
    """One number of a finished run that a study improves.

    Attributes:
        title: with its unit; the title of an axis.
        key: where metrics.json holds it.
        maximise: whether more is better.
    """

    title: str
    key: tuple[str, str]
    maximise: bool

    def read(self, metrics: dict[str, Any]) -> float:
        """Its value in ``metrics``.

        Raises:
            RunError: the run has no such number.
        """
        group, name = self.key
        value = (metrics.get(group) or {}).get(name)
        if value is None or not np.isfinite(value):
            raise RunError(f"metrics.json holds no {group}.{name}")
        return float(value)


OBJECTIVES = {
    "accuracy": Objective("clean accuracy (share)", ("clean", "accuracy"), True),
    "radius": Objective("average certified radius (L2 pixel units)", ("clean", "average_certified_radius"), True),
    "seconds": Objective("time of the run (s)", ("seconds", "total"), False),
}
ObjectiveName = Literal["accuracy", "radius", "seconds"]


class StudyConfig(Group):
    """Everything that determines a study. Its proposals follow from it and from the values of earlier trials."""

    base: RunConfig = Field(description="What the trials share.")
    ranges: dict[str, Range] = Field(description="What they differ in, by the dotted name of the setting.")
    objectives: tuple[ObjectiveName, ...] = Field(
        ("accuracy", "radius"), description="Two or three numbers to improve; seconds makes proposals depend on timing."
    )
    trials: int = Field(20, ge=1, le=10_000, description="Number of trials, failed ones included.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the proposals.")

    @field_validator("objectives")
    @classmethod
    def _several(cls, names: tuple[ObjectiveName, ...]) -> tuple[ObjectiveName, ...]:
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"a study weighs two or three different objectives ({', '.join(OBJECTIVES)})")
        return names

    @model_validator(mode="after")
    def _possible(self) -> StudyConfig:
        check(self.ranges, self.base)
        return self


def describe(**values: Any) -> StudyConfig:
    """A validated :class:`StudyConfig`.

    Raises:
        ConfigError: one line per value that does not fit.
    """
    try:
        return StudyConfig(**values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            message, key = problem["msg"].removeprefix("Value error, "), ".".join(map(str, problem["loc"]))
            lines.append(f"{key}: {message} (given: {problem['input']!r:.80})" if key else message)
        raise ConfigError("\n".join(lines)) from None


@dataclass(frozen=True)
class Trial:
    """One proposal and its outcome; ``values`` are there once its run has finished."""

    number: int
    run: str
    state: State
    settings: dict[str, Any]
    values: dict[str, float] = field(default_factory=dict)
    message: str = ""


class Study(Job):
    """Handle on a study's folder."""

    WORKER = "study-worker"

    @classmethod
    def create(cls, config: StudyConfig, name: str | None, runs_dir: Path | None = None) -> Study:
        """Make the study's folder with its description; a name is made up where there is none.

        Raises:
            RunError: the name is not a plain file name or is taken, or the folder cannot be written.
        """
        runs_dir = runs_dir or default_runs_dir()
        if name is None:
            return under_free_name("study", runs_dir / STUDIES, lambda free: cls.create(config, free, runs_dir))
        path = place(name, runs_dir / STUDIES)
        config = config.model_copy(update={"base": config.base.with_full_paths()})
        place(trial_name(name, config.trials), runs_dir)
        if any(runs_dir.glob(f"{name}-[0-9][0-9][0-9]*")):
            raise RunError(f"there are runs named {name}-… already; choose another name")
        taken = f"study {name} exists already; choose another name, or continue it"
        files.make_folder(path, "study.json", config.model_dump(mode="json"), taken=taken)
        return cls(path)

    @classmethod
    def open(cls, name: str, runs_dir: Path | None = None) -> Study:
        """Find a study by its name.

        Raises:
            RunError: there is none.
        """
        path = place(name, (runs_dir or default_runs_dir()) / STUDIES)
        if not (path / "study.json").is_file():
            raise RunError(f"no study {name!r} in {path.parent}/; `study` lists them")
        return cls(path)

    @classmethod
    def all(cls, runs_dir: Path | None = None) -> list[Study]:
        """All studies of a folder of runs, newest first."""
        found = [path.parent for path in ((runs_dir or default_runs_dir()) / STUDIES).glob("*/study.json")]
        return [cls(path) for path in sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))]

    @property
    def runs_dir(self) -> Path:
        return self.path.parent.parent

    @property
    def journal(self) -> Path:
        return self.path / "journal.log"

    @cached_property
    def config(self) -> StudyConfig:
        """Its description.

        Raises:
            ConfigError: study.json is damaged.
        """
        try:
            return describe(**json.loads((self.path / "study.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"{self.path / 'study.json'} is no study's description: {error}") from None

    def remaining(self) -> dict[RunConfig, int]:
        """Number of trials still to run, under the config that they share."""
        return {self.config.base: self.config.trials - self.status().done}

    def make_ready(self) -> None:
        require_optuna()
        super().make_ready()

    def extend(self, trials: int) -> None:
        """Let a study at rest make ``trials`` in all.

        Raises:
            ConfigError: that is no number of trials.
            RunError: a worker is on it, or it has made more already.
        """
        server_limits.check_writable()
        if trials < len(self.trials()):
            raise RunError(f"study {self.name} has made {len(self.trials())} trials already")
        config = describe(**self.config.model_dump() | {"trials": trials})
        with self.lock():
            files.write_json(self.path / "study.json", config.model_dump(mode="json"))
            self.log("extended", trials=trials)
        self.__dict__.pop("config", None)

    def optuna(self) -> optuna.Study | None:
        """The journal as Optuna's study; None before the first trial.

        Raises:
            RunError: Optuna is not installed, or the journal is damaged.
        """
        require_optuna()
        if not self.journal.exists():
            return None
        import optuna
        from optuna.storages.journal import JournalFileBackend

        try:
            return optuna.load_study(
                study_name=self.name, storage=optuna.storages.JournalStorage(JournalFileBackend(str(self.journal)))
            )
        except KeyError:
            return None
        except Exception as error:
            raise RunError(f"{self.journal} cannot be read ({error})") from None

    def trials(self) -> list[Trial]:
        """All trials in the order they were proposed."""
        found = self.optuna()
        reasons = {event["number"]: event.get("message", "") for event in self.events() if event["kind"] == "told"}
        return [
            Trial(
                number=trial.number + 1,
                run=trial.user_attrs["run"],
                state=_TRIAL_STATES[trial.state.name],
                settings=trial.params,
                values=dict(zip(self.config.objectives, trial.values or (), strict=False)),
                message=reasons.get(trial.number + 1, ""),
            )
            for trial in (found.get_trials(deepcopy=False) if found else ())
        ]

    def status(self) -> Status:
        """State of the study; ``done`` of ``total`` count trials, ``stage`` is the run at work."""
        events = self.events()
        state = self.standing(events)
        progress: dict[str, Any] = next((event for event in reversed(events) if event["kind"] == "trial"), {})
        return Status(
            state=state,
            stage=progress.get("run", ""),
            done=len({event["number"] for event in events if event["kind"] == "told"}),
            total=self.config.trials,
            message=self.last_words(events, state),
        )


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        RunError: Optuna is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise RunError("tuning needs the package Optuna, which is not installed: pip install 'optuna>=4'")


def trial_name(study: str, number: int) -> str:
    """Name of the run of trial ``number``, counted from 1."""
    return f"{study}-{number:03d}"


def table(study: Study, trials: list[Trial]) -> pd.DataFrame:
    """One row per trial.

    Returns:
        Columns ``trial, run, state``, one per setting, one per objective (NaN until there is a value), ``front``
        (whether no other trial is better in one objective and as good in the rest), ``message``: what failed, or the
        gravest caveat of a run that is done (:func:`.attack_verdict.caution`).
    """
    objectives = study.config.objectives
    rows = [
        {"trial": trial.number, "run": trial.run, "state": trial.state}
        | {key: trial.settings[key] for key in study.config.ranges}
        | {name: trial.values.get(name, np.nan) for name in objectives}
        | {"message": trial.message or (caution(Run(study.runs_dir / trial.run)) if trial.state == "done" else "")}
        for trial in trials
    ]
    columns = ["trial", "run", "state", *study.config.ranges, *objectives, "message"]
    made = pd.DataFrame(rows, columns=columns)
    made.insert(len(columns) - 1, "front", pareto(made, objectives))
    return made


def pareto(made: pd.DataFrame, objectives: tuple[str, ...]) -> np.ndarray:
    """Mark the rows ``(n,)`` that no other dominates, i.e. beats in one objective and equals or beats in all."""
    signs = np.array([1.0 if OBJECTIVES[name].maximise else -1.0 for name in objectives])
    values = made[list(objectives)].to_numpy(float) * signs  # (n, k), more is better
    as_good = (values[:, None] >= values[None, :]).all(axis=2)
    better = (values[:, None] > values[None, :]).any(axis=2)
    return ~np.isnan(values).any(axis=1) & ~(as_good & better).any(axis=0)
