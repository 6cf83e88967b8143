"""Commands about this machine and what it can run, and the processes that the others start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from certssb_core.cli.common import (
    DATA,
    FAILED,
    AsJson,
    RunsDir,
    Settings,
    Source,
    app,
    chosen_config,
    fail,
    print_json,
    say,
    warn_of_too_few,
)
from certssb_core.config import schema as configuration
from certssb_core.config.choices import choices
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.data import datasets
from certssb_core.results.attack_verdict import attack_caveats
from certssb_core.runs import server_limits
from certssb_core.runs.run import Run, default_runs_dir


@app.command()
def presets(as_json: AsJson = False) -> None:
    """The presets."""
    if as_json:
        print_json({name: preset.model_dump(mode="json") for name, preset in PRESETS.items()})
        return
    for name, preset in PRESETS.items():
        say(f"{name:32} {preset.title}")


@app.command()
def settings(
    group: Annotated[str, typer.Argument(help="data, attack, noise, training or certification; default: all.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the settings of a run: default, choices or range, and meaning."""
    known = {key: configuration.setting(key) for key in configuration.flatten(configuration.RunConfig())}
    known = {key: field for key, field in known.items() if key.startswith(group)}
    if as_json:
        print_json({key: {"title": one.title, "help": one.description} | _accepts(one) for key, one in known.items()})
        return
    for key, field in known.items():
        accepts = "  ".join(f"{name} {value}" for name, value in _accepts(field).items())
        say(f"{key}  {accepts}\n    {field.title}: {field.description}")


def _accepts(field: FieldInfo) -> dict[str, Any]:
    """Default, and choices or range, of a setting."""
    ends = {name: getattr(rule, end) for rule in field.metadata for name, end in _ENDS.items() if hasattr(rule, end)}
    names = choices(field)
    return {"default": field.default} | ({"choices": ", ".join(names)} if names else ends)


_ENDS = {"from": "ge", "to": "le"}


@app.command()
def forecast(
    source: Source = DEFAULT_PRESET,
    settings: Settings = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Forecast time, memory and disk of a run here; times this machine once, for a few seconds."""
    from certssb_core.jobs import forecast as cost

    config, runs_dir = chosen_config(source, settings), runs_dir or default_runs_dir()
    warn_of_too_few(config)
    if (measured := cost.read_calibration(config, runs_dir)) is None:
        with cost.timing(runs_dir):
            from certssb_core.jobs.timing import measure

            measured = measure(config)
            cost.write_calibration(config, measured, runs_dir)
    found = cost.from_calibration(config, measured)
    if as_json:
        print_json(found.__dict__)
        return
    say(f"{found.seconds:.0f} s ({found.low:.0f} to {found.high:.0f}), ", end="")
    say(f"{found.peak_memory_bytes / 2**30:.1f} GiB of memory, {found.disk_bytes / 1e6:.1f} MB on disk: {found.basis}")


@app.command()
def undefended(source: Source = DEFAULT_PRESET, settings: Settings = None, as_json: AsJson = False) -> None:
    """Measure the attack of a setting on a model without a defence, in seconds; no run is made."""
    from certssb_core.pipeline.in_memory import craft_poisons, measure_undefended
    from certssb_core.runs.inputs import load_inputs

    config = chosen_config(source, settings)
    inputs = load_inputs(config)
    if config.attack.crafted and len(inputs.poisoned.indices):
        inputs = load_inputs(config, crafted=craft_poisons(config, inputs))
    found = measure_undefended(config, inputs)
    if as_json:
        print_json(found)
        return
    say(f"undefended accuracy {found['clean_accuracy']:.4f}  attack success {found['attack_success_rate']:.4f}", end="")
    say(f"  without trigger {found['base_rate']:.4f}")
    for caveat in attack_caveats(found):
        say(f"warning: {caveat}", file=sys.stderr)


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="mnist, fashion-mnist, cifar10 or imagenette.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the data; default: CERTSSB_DATA, else data/.")] = None,
) -> None:
    """Download a dataset that is not on this machine."""
    server_limits.check_writable()
    if not server_limits.current().downloads:
        fail("this server downloads nothing (CERTSSB_DOWNLOADS=0): copy the files into its data folder", DATA)
    say(datasets.fetch(dataset, root).message)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check what works here: device, data, optional packages."""
    from certssb_core.cli.doctor import examine

    findings = examine()
    if as_json:
        print_json([finding.__dict__ for finding in findings])
        return
    for finding in findings:
        say(f"{'ok' if finding.present else '--'}  {finding.name:28} {finding.message}")


@app.command(hidden=True)
def worker(path: Path) -> None:
    """Take one run through the pipeline, in this process, and start the next of the queue."""
    from certssb_core.jobs import queue
    from certssb_core.jobs.worker import work

    try:
        finished = work(Run(path))
    finally:
        queue.start_next(path.parent)
    raise typer.Exit(0 if finished else FAILED)


@app.command("study-worker", hidden=True)
def study_worker(path: Path) -> None:
    """Make the remaining trials of a study, in this process."""
    from certssb_core.tuning.optimise import work
    from certssb_core.tuning.study import Study

    raise typer.Exit(0 if work(Study(path)) else FAILED)


@app.command("measurement-worker", hidden=True)
def measurement_worker(path: Path) -> None:
    """Make the runs that a measurement is missing, and its result, in this process."""
    from certssb_core.comparisons.measurement import Measurement
    from certssb_core.comparisons.worker import work

    raise typer.Exit(0 if work(Measurement(path)) else FAILED)


@app.command(hidden=True)
def answer(path: Path) -> None:
    """Answer questions about images to one finished run, over standard input and output."""
    from certssb_core.query.server import serve

    serve(Run(path))
