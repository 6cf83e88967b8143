"""Commands about runs: making, following, finding and showing them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certssb_core.cli.common import (
    FAILED,
    Address,
    AsJson,
    EngineName,
    Queue,
    RunName,
    RunsDir,
    Settings,
    Source,
    app,
    chosen_config,
    ended,
    fail,
    intact,
    placed,
    print_json,
    print_metrics,
    say,
    warn_of_too_few,
)
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import flatten
from certssb_core.errors import ConfigError
from certssb_core.jobs import queue as waiting
from certssb_core.results.attack_verdict import caution
from certssb_core.runs.run import Run


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
    """Start a run and follow it to its end; prints its folder as the last line."""
    config = placed(chosen_config(source, settings), engine, address)
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
def delete(
    run: RunName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Remove a run and all its files for ever."""
    found = Run.open(run, runs_dir)
    if not yes:
        typer.confirm(f"Delete {found.path} ({found.size() / 1e6:.1f} MB) for ever?", abort=True)
    found.delete()


@app.command("list")
def list_runs(as_json: AsJson = False, runs_dir: RunsDir = None) -> None:
    """All runs, newest first."""
    runs = [(found, found.status()) for found in Run.all(runs_dir)]
    if as_json:
        print_json([{"name": found.name, "path": str(found.path)} | status.__dict__ for found, status in runs])
        return
    for found, status in runs:
        progress = f"{status.stage} {status.done}/{status.total}"
        told = caution(found) if status.state == "done" else progress
        say(f"{found.name:40} {status.state:8} {told:24} {_title(found)}")


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


def _title(run: Run) -> str:
    try:
        return run.config.title
    except ConfigError as error:
        return f"(unreadable: {str(error).splitlines()[0]})"
