"""A measurement: several runs, and one result that follows from them, as :mod:`.systems` and its neighbours have it.

    .measurements/KIND-NAME/measurement.json     which runs with which settings
    .measurements/KIND-NAME/events.jsonl         the log
    field-NAME.json, clean-label-NAME.json, …    the result, beside the runs

It lies in the folder of the runs. Runs that are there already are taken up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from certssb_core.comparisons import backdoor_smoothing, clean_label, defences, suites
from certssb_core.config.schema import Group, RunConfig
from certssb_core.errors import ConfigError, RunError
from certssb_core.runs import files
from certssb_core.runs.job import Job, Status
from certssb_core.runs.makers import MEASUREMENTS
from certssb_core.runs.run import Run, default_runs_dir, place


@dataclass(frozen=True)
class Kind:
    """One kind of measurement.

    Attributes:
        title: what is measured.
        stem: how the names of its results begin.
        suites: what it can be made of, by name, with a title.
        plan: the runs that a suite needs, by name; raises RunError where there is no such suite.
        conclude: the result, from the suite's name and its finished runs in the order of the plan.
    """

    title: str
    stem: str
    suites: Mapping[str, str]
    plan: Callable[[str], dict[str, RunConfig]]
    conclude: Callable[[str, dict[str, Run]], dict[str, Any]]


KindName = Literal["compare", "attacks", "smoothness"]
KINDS: dict[str, Kind] = {
    "compare": Kind(
        "Every system of the field on one dataset and attack",
        defences.STEM,
        {name: suite.title for name, suite in suites.SUITES.items()},
        suites.plan,
        defences.conclude,
    ),
    "attacks": Kind(
        "Clean-label attacks, undefended and against diffusion denoising",
        clean_label.STEM,
        {name: suite.title for name, suite in clean_label.SUITES.items()},
        clean_label.plan,
        clean_label.conclude,
    ),
    "smoothness": Kind(
        "Backdoor smoothing at rising poisoning rates",
        backdoor_smoothing.STEM,
        backdoor_smoothing.SUITES,
        backdoor_smoothing.plan,
        backdoor_smoothing.conclude,
    ),
}


class MeasurementConfig(Group):
    """Everything that determines a measurement."""

    kind: KindName = Field(description="What is measured.")
    name: str = Field(description="Of the suite, and of the result.")
    runs: dict[str, RunConfig] = Field(min_length=1, description="What it needs, by the runs' names.")


class Measurement(Job):
    """Handle on a measurement's folder."""

    WORKER = "measurement-worker"

    @classmethod
    def prepare(
        cls, kind: str, name: str, runs_dir: Path | None = None, runs: dict[str, RunConfig] | None = None
    ) -> Measurement:
        """The measurement of this kind and name, new, or as it was left by an earlier one.

        Args:
            runs: what it is made of; default: what the suite of this name needs.

        Raises:
            RunError: there is no such suite, a worker is on it, or its folder cannot be written.
        """
        config = MeasurementConfig(kind=kind, name=name, runs=runs or KINDS[kind].plan(name))
        found = cls(place(f"{kind}-{name}", (runs_dir or default_runs_dir()) / MEASUREMENTS))
        with files.writing(found.path):
            found.path.mkdir(parents=True, exist_ok=True)
            with found.lock():
                files.write_json(found.path / "measurement.json", config.model_dump(mode="json"))
                found.log("asked", message="asked for")
        return found

    @classmethod
    def all(cls, kind: str, runs_dir: Path | None = None) -> list[Measurement]:
        """All measurements of a kind in a folder of runs."""
        found = sorted(((runs_dir or default_runs_dir()) / MEASUREMENTS).glob(f"{kind}-*/measurement.json"))
        return [cls(path.parent) for path in found]

    @property
    def runs_dir(self) -> Path:
        return self.path.parent.parent

    @cached_property
    def config(self) -> MeasurementConfig:
        """Suite and kind of the measurement.

        Raises:
            ConfigError: measurement.json is damaged.
        """
        try:
            return MeasurementConfig(**json.loads((self.path / "measurement.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError, ValidationError) as error:
            raise ConfigError(f"{self.path / 'measurement.json'} is no measurement's description: {error}") from None

    @property
    def kind(self) -> Kind:
        return KINDS[self.config.kind]

    @property
    def result_path(self) -> Path:
        return files.result_path(self.kind.stem, self.config.name, self.runs_dir)

    def result(self) -> dict[str, Any]:
        """Result of the measurement.

        Raises:
            RunError: it has not come to its end, or the file is damaged.
        """
        config = self.config
        found = files.read_results(self.kind.stem, self.runs_dir, command=config.kind)
        if config.name not in found:
            raise RunError(f"{self.result_path} is missing; make it again with `{config.kind}`")
        return found[config.name]

    def remaining(self) -> dict[RunConfig, int]:
        """Configs still to run, and how many of each."""
        return missing(self.config.runs, self.runs_dir)

    def status(self) -> Status:
        """State of the measurement; ``done`` of ``total`` count runs, ``stage`` is the one at work."""
        events = self.events()
        asked = max((n for n, event in enumerate(events) if event.get("message") == "asked for"), default=0)
        begun = [event["run"] for event in events[asked:] if event["kind"] == "run"]
        state = self.standing(events)
        return Status(
            state=state,
            stage=begun[-1] if begun else "",
            done=len(self.config.runs) if state == "done" else max(0, len(begun) - 1),
            total=len(self.config.runs),
            message=self.last_words(events, state),
        )


def missing(runs: Mapping[str, RunConfig], runs_dir: Path) -> dict[RunConfig, int]:
    """Count the configs among ``runs`` that have not finished."""
    return Counter(
        config
        for name, config in runs.items()
        if not (runs_dir / name).exists() or Run(runs_dir / name).status().state != "done"
    )


def taken_up(name: str, config: RunConfig, runs_dir: Path) -> Run:
    """The run of this name, made if there is none.

    Raises:
        RunError: there is one with other settings, or it cannot be made.
    """
    if not (runs_dir / name).exists():
        return Run.create(config, name, runs_dir)
    run = Run.open(name, runs_dir)
    if different := run.config.differs(config):
        raise RunError(
            f"{run.path} has other settings than are wanted ({', '.join(different)}); delete it or move it away"
        )
    return run
