"""Commands about runs: making, following, finding and showing them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from certssb_core.cli.common import (
    FAILED,
    Address,
    AsJson,
    EngineName,
    ForEver,
    Queue,
    RunName,
    RunsDir,
    Settings,
    Source,
    Yes,
    app,
    chosen_config,
    ended,
    fail,
    intact,
    placed,
    print_json,
    print_metrics,
    put_away,
    say,
    warn_of_too_few,
)
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import flatten
from certssb_core.jobs import queue as waiting
from certssb_core.results import run_table
from certssb_core.runs.job import discarded, restore
from certssb_core.runs.makers import STUDIES
from certssb_core.runs.run import Run, default_runs_dir
from certssb_core.runs.tags import read_tags, write_tags


@app.command()
def run(
    source: Source = DEFAULT_PRESET,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: preset and time.")] = None,
    settings: Settings = None,
    engine: EngineName = None,
    address: Address = None,
    queue: Queue = False,
    runs_dir: RunsDir = None,
) -> None:
    """Start a run and follow it to its end; prints its folder as the last line.

    The seed of its noise is secret, drawn by the system when the run starts, unless a seed is set.
    """
    config = placed(chosen_config(source, settings), engine, address)
    if source in PRESETS and not any(one.partition("=")[0] in ("seed", "noise_seed") for one in settings or []):
        config = config.model_copy(update={"noise_seed": "secret"})
    warn_of_too_few(config)
    stem = source if source in PRESETS else Path(source).stem
    _go(Run.create(config, name, runs_dir, stem=stem), queue)


@app.command()
def resume(
    run: RunName,
    engine: EngineName = None,
    address: Address = None,
    queue: Queue = False,
    runs_dir: RunsDir = None,
) -> None:
    """Continue a stopped or failed run where it was, here or elsewhere; the votes come out the same."""
    found = Run.open(run, runs_dir)
    if engine or address:
        config = placed(found.config, engine, address)
        if found.status().state not in ("running", "done"):
            found.replace_config(config)
    _go(found, queue)


@app.command()
def withdraw(run: RunName, runs_dir: RunsDir = None) -> None:
    """Take a waiting run out of the queue; `resume` starts it later."""
    found = Run.open(run, runs_dir)
    if found.status().state != "queued":
        fail(f"{found.name} is not in the queue", FAILED)
    waiting.withdraw(found)


@app.command()
def rename(run: RunName, name: Annotated[str, typer.Argument(metavar="NAME")], runs_dir: RunsDir = None) -> None:
    """Give a run another name; prints its folder."""
    say(Run.open(run, runs_dir).rename(name).path)


@app.command()
def delete(run: RunName, yes: Yes = False, for_ever: ForEver = False, runs_dir: RunsDir = None) -> None:
    """Move a run to the trash; `trash` puts it back or frees its space."""
    put_away(Run.open(run, runs_dir), for_ever=for_ever, yes=yes)


@app.command()
def trash(
    put_back: Annotated[str | None, typer.Option(metavar="NAME", help="Put this run or study back.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Delete all of it for ever.")] = False,
    yes: Yes = False,
    runs_dir: RunsDir = None,
) -> None:
    """List the runs and studies in the trash, put one back, or empty it."""
    folder = runs_dir or default_runs_dir()
    found = discarded(folder) + discarded(folder / STUDIES)
    size = sum(job.size() for job in found) / 1e6
    if put_back is not None:
        named = [job for job in found if job.name == put_back]
        if not named:
            fail(f"no {put_back!r} in the trash; `trash` lists it", FAILED)
        say(restore(named[0]))
    elif empty:
        if not yes:
            typer.confirm(f"Delete {len(found)} folders ({size:.1f} MB) for ever?", abort=True)
        for job in found:
            job.delete()
        say(f"{size:.1f} MB freed")
    else:
        for job in found:
            say(f"{job.name:40} {job.size() / 1e6:10.1f} MB")


@app.command()
def tag(
    run: RunName,
    words: Annotated[list[str] | None, typer.Argument(metavar="TAG …", help="None: print the run's tags.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Give a run tags, words to find it again, or take them away; prints the tags it has."""
    found, given = Run.open(run, runs_dir), set(words or ())
    held = set(read_tags(found))
    if given:
        held = set(write_tags(found, held - given if remove else held | given))
    say(", ".join(sorted(held)))


@app.command("list")
def list_runs(
    find: Annotated[str, typer.Option(metavar="WORDS", help="Only runs whose row holds every word.")] = "",
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """All runs, newest first, with their figures, tags and changed settings."""
    runs = {found.name: found for found in Run.all(runs_dir)}
    listed = run_table.matching(run_table.rows(list(runs.values())), find)
    if as_json:
        print_json([_described(runs[row.run]) | asdict(row) for row in listed])
        return
    lines = [_HEADINGS, *map(_cells, listed)] if listed else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command()
def show(run: RunName, as_json: AsJson = False, runs_dir: RunsDir = None) -> None:
    """A run's config, state and figures."""
    found = Run.open(run, runs_dir)
    status = found.status()
    if as_json:
        metrics = intact(run, runs_dir).metrics if status.state == "done" else None
        print_json(
            {"name": found.name, "path": str(found.path), "status": status.__dict__}
            | {"config": found.config.model_dump(mode="json"), "metrics": metrics}
        )
        return
    say(f"{found.name}: {status.state}  {status.silence or status.message}")
    for key, value in flatten(found.config).items():
        say(f"  {key:32} {value}")
    if status.state == "done":
        print_metrics(intact(run, runs_dir).metrics)


@app.command("import-release")
def import_release(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The release's folder, with model/ and sigma/.")],
    dataset: Annotated[str, typer.Option(help="mnist.")] = "mnist",
    classes: Annotated[str, typer.Option(help="0,1.")] = "0,1",
    trigger: Annotated[str, typer.Option(help="onepixel, fourpixel or blending.")] = "onepixel",
    sigma: Annotated[float, typer.Option(help="The global σ that names the files.")] = 0.12,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: setting and time.")] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Turn the public Cert-SSBD release's members and σ* into a run; prints its folder as the last line."""
    from certssb_core.pipeline import import_published

    _follow(
        import_published.create(
            folder, dataset=dataset, classes=classes, trigger=trigger, sigma=sigma, name=name, runs_dir=runs_dir
        )
    )


def _go(run: Run, queue: bool) -> None:
    if not queue:
        _follow(run)
        return
    waiting.submit(run)
    say(f"{run.name} is {run.status().state}", file=sys.stderr)
    say(run.path)


def _follow(run: Run) -> None:
    from certssb_core.cli.progress import follow

    ended(follow(run), again=f"resume {run.path}")
    print_metrics(run.metrics)
    say(run.path)


_HEADINGS = (
    *("run", "state", "accuracy", "radius", "planted", "ASR", "undefended", "members", "epochs", "sigma"),
    *("date", "seconds", "MB", "tags", "about"),
)


def _cells(row: run_table.RunRow) -> tuple[str, ...]:
    """A row of the list in words, in the order of :data:`_HEADINGS`."""
    shares = (row.planted, row.attack_success, row.undefended)
    about = [row.caution, f"made by {row.maker}" if row.maker else "", row.title or row.preset, row.changed]
    return (
        *(row.run, row.state, _number(row.accuracy, ".1%"), _number(row.radius, ".3f")),
        *(_number(share, ".1%") for share in shares),
        *(_number(row.members, "d"), _number(row.epochs, "d"), _number(row.sigma, "g")),
        f"{row.started:%Y-%m-%d %H:%M}" if row.started else "-",
        *(_number(row.seconds, ".0f"), _number(row.megabytes, ".1f"), ", ".join(row.tags) or "-"),
        "; ".join(filter(None, about)),
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _described(run: Run) -> dict[str, Any]:
    status = run.status()
    return {"name": run.name, "path": str(run.path)} | status.__dict__
