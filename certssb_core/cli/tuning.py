"""Commands about studies: sweeps over settings whose trials are ordinary runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from certssb_core.cli.common import (
    Address,
    AsJson,
    EngineName,
    ForEver,
    RunsDir,
    Settings,
    Yes,
    app,
    chosen_config,
    ended,
    placed,
    print_json,
    put_away,
    say,
)
from certssb_core.config.presets import DEFAULT_PRESET
from certssb_core.errors import ConfigError
from certssb_core.tuning import ranges
from certssb_core.tuning.study import Study, StudyConfig, describe, require_optuna, table

_NEW = StudyConfig.model_fields


@app.command()
def tune(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the study; its runs are NAME-001 …")],
    preset: Annotated[
        str, typer.Option(metavar="PRESET_OR_FILE", help="What the trials share: a preset's name, or a JSON file.")
    ] = DEFAULT_PRESET,
    settings: Settings = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="KEY=LOW:HIGH[:log] | KEY=A,B,C", help="What they differ in; repeatable."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many, in all; default: 20.")] = None,
    objectives: Annotated[str, typer.Option(help="accuracy, radius, seconds: two or three.")] = "accuracy,radius",
    seed: Annotated[int, typer.Option(help="Seed of the proposals.")] = 0,
    engine: EngineName = None,
    address: Address = None,
    resume: Annotated[bool, typer.Option("--continue", help="Go on with a study that is there.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Search settings by making runs one after the other; Ctrl-C stops, --continue goes on."""
    require_optuna()
    if resume:
        if vary or settings or engine or address:
            raise ConfigError(
                "--continue goes on with the study's own ranges and settings; leave --range and --set out, --engine too"
            )
        study = Study.open(name, runs_dir)
        if trials is not None:
            study.extend(trials)
    else:
        config = describe(
            base=placed(chosen_config(preset, settings), engine, address),
            ranges=_ranges(vary or []),
            objectives=tuple(part.strip() for part in objectives.split(",")),
            trials=_NEW["trials"].default if trials is None else trials,
            seed=seed,
        )
        study = Study.create(config, name, runs_dir)
    _follow(study)
    _print(study)


@app.command("study")
def show_study(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Without it: all studies.")] = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """A study's trials and its Pareto front: those that no other trial beats in every objective."""
    if name is None:
        for found in Study.all(runs_dir):
            status = found.status()
            say(f"{found.name:40} {status.state:8} {status.done} of {status.total} trials")
        return
    study = Study.open(name, runs_dir)
    if not as_json:
        _print(study)
        return
    print_json(
        {"name": study.name, "path": str(study.path), "status": study.status().__dict__}
        | {"config": study.config.model_dump(mode="json")}
        | {"trials": table(study, study.trials()).replace({float("nan"): None}).to_dict("records")}
    )


@app.command("delete-study")
def delete_study(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Yes = False,
    for_ever: ForEver = False,
    runs_dir: RunsDir = None,
) -> None:
    """Move a study to the trash; the runs that it made stay."""
    put_away(Study.open(name, runs_dir), for_ever=for_ever, yes=yes, note=" Its runs stay.")


def _ranges(texts: list[str]) -> dict[str, ranges.Range]:
    found: dict[str, ranges.Range] = {}
    for key, values in map(ranges.parse, texts):
        if key in found:
            raise ConfigError(f"{key} is given two ranges")
        found[key] = values
    return found


def _follow(study: Study) -> None:
    """Take the study to its end, and say what it does."""
    from certssb_core.cli.progress import attend

    said = len(study.events())

    def report() -> None:
        nonlocal said
        events = study.events()
        for event in events[said:]:
            if event["kind"] in ("trial", "told"):
                say(_line(event, study), file=sys.stderr)
        said = len(events)

    ended(attend(study, report), again=f"tune {study.name} --continue")


def _line(event: dict, study: Study) -> str:
    values = event.get("settings") or {name: event[name] for name in study.config.objectives if name in event}
    words = "  ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )
    return f"{event['run']:20} {'starts with  ' if event['kind'] == 'trial' else ''}{words}{event.get('message', '')}"


def _print(study: Study) -> None:
    status = study.status()
    say(f"{study.name}: {status.state}, {status.done} of {status.total} trials  {status.message}")
    made = table(study, study.trials())
    if made.empty:
        return
    say(made.drop(columns="trial").to_string(index=False, float_format="{:.4g}".format, na_rep=""))
    front = made[made["front"]].sort_values(study.config.objectives[0], ascending=False)
    say(f"Pareto front: {', '.join(front['run']) or 'no finished trial yet'}")
