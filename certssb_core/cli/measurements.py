"""Commands that make several runs and say what follows: the field, clean-label attacks, backdoor smoothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from certssb_core.cli.common import MISUSED, AsJson, RunsDir, app, ended, fail, print_json, say
from certssb_core.comparisons import backdoor_smoothing as measuring
from certssb_core.comparisons import clean_label, defences
from certssb_core.comparisons.measurement import KINDS, Measurement
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.runs.run import Run

AUCS = [f"auc_{group}{end}" for group in ("clean", "control") for end in ("", "_low", "_high")]


def _suite(kind: str) -> Any:
    return typer.Argument(metavar="SUITE", help=f"{' or '.join(KINDS[kind].suites)}.")


@app.command()
def compare(
    suite: Annotated[str, _suite("compare")] = "digits", as_json: AsJson = False, runs_dir: RunsDir = None
) -> None:
    """Every system of the field on one dataset and attack, each in its own budget; takes up runs made before."""
    _measure_and_print("compare", suite, lambda result: defences.table(result).round(4), as_json, runs_dir)


@app.command()
def attacks(
    suite: Annotated[str, _suite("attacks")] = "digits", as_json: AsJson = False, runs_dir: RunsDir = None
) -> None:
    """Clean-label attacks, each undefended and against diffusion denoising; takes up runs made before."""
    _measure_and_print("attacks", suite, lambda result: clean_label.table(result).round(3), as_json, runs_dir)


@app.command()
def smoothness(
    sources: Annotated[list[str], typer.Argument(metavar="PRESET_OR_RUNS...", help="A preset, or finished runs.")],
    name: Annotated[str | None, typer.Option(help="Of the result; default: the first argument.")] = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Backdoor smoothing around triggers: of a preset's attack at rising poisoning rates, or of finished runs."""
    if sources[0] in PRESETS:
        if len(sources) > 1:
            fail(f"{sources[0]} is a preset: it is measured alone", MISUSED)
        known, runs = sources[0], measuring.plan(sources[0])
    else:
        found = [Run.open(source, runs_dir) for source in sources]
        known, runs = found[0].name, {run.name: run.config for run in found}
    result, path = _measured("smoothness", name or known, runs_dir, runs)
    if as_json:
        print_json(result)
        return
    for measure, words in measuring.MEASURES.items():
        say(f"{words}; AUC: a low value tells a triggered input from a clean or control one")
        for scale in measuring.SCALES:
            say(f"  s = {scale:g}")
            shown = measuring.table(result, measure=measure, scale=scale)
            say(shown[["rate", "attack_success", *measuring.GROUPS, *AUCS]].round(3).to_string(index=False))
    say(path)


def _measured(
    kind: str, name: str, runs_dir: Path | None, runs: dict[str, RunConfig] | None = None
) -> tuple[dict[str, Any], Path]:
    """The result of a measurement that was followed to its end, and where it lies."""
    from certssb_core.cli.progress import follow

    measurement = Measurement.prepare(kind, name, runs_dir, runs)
    ended(follow(measurement), again=" ".join(sys.argv[1:]))
    return measurement.result(), measurement.result_path


def _measure_and_print(
    kind: str, suite: str, table: Callable[[dict[str, Any]], pd.DataFrame], as_json: bool, runs_dir: Path | None
) -> None:
    result, path = _measured(kind, suite, runs_dir)
    if as_json:
        print_json(result)
        return
    say(table(result).to_string(index=False))
    say(path)
