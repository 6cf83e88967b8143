"""The view on screen as code: a line for the shell, and lines of Python that draw the same chart."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import streamlit as st

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig, flatten
from certssb_core.runs.run import Run
from ui.kit.tables import Choice

COMMAND = "python -m certssb_core"
CERTIFIED = Template("""import certssb_core as cs
from certssb_core.figures import curves
from certssb_core.results.comparison import Series, curves as certified

series = []
for name, run, mode in $chosen:
    votes = cs.read_run_votes(cs.open_run(run))
    table = cs.certify_votes(votes, mode=mode, bound="$bound", alpha=$alpha)
    series.append(Series(name, table, votes.config.attack, votes.classes))
colours = curves.colours([one.name for one in series])
table = certified(series, whole=$whole)
figure = curves.certified_accuracy(table, colours=colours, at=$radius, unit="$unit")
figure.show()
""")
SIGMA = Template("""import certssb_core as cs
from certssb_core.figures import sigma, theme
from certssb_core.results import per_image

run = cs.open_run("$run")
classes = cs.run_inputs(run).dataset.classes
table = per_image.samples(run.arrays("sigma"), run.arrays("poison"), run.certificates(), classes)
shown = per_image.grouped(table, "$by", "$of")
colours = theme.COLOURS | {name: theme.class_colour(place) for place, name in enumerate(classes)}
bins = sigma.binned(shown["sigma"], shown["group"])
figure = sigma.histogram(bins, colours=colours, start=run.config.noise.sigma)
figure.show()
""")
PAIRS = Template("""import certssb_core as cs
from certssb_core.figures import pairs
from certssb_core.results import store_ledger

run = cs.open_run("$run")
with cs.Store.read(run.store_path) as store:
    balls, rows = store.balls(), store_ledger.table(store.ledger(), cs.run_inputs(run).dataset.classes)
found = store_ledger.survey_store(balls, rows, after=$after)
figure = pairs.distance_against_radii(found, pairs="$kind", names=list(rows.loc[rows["stored"], "input"]))
figure.show()
""")
ATTACK = Template("""import certssb_core as cs
from certssb_core.figures.attack import norm_histogram

config = cs.override(cs.PRESETS["$preset"], $changes)
poisoned = cs.load_inputs(config).poisoned
figure = norm_histogram(poisoned.norms, nominal=config.attack.nominal_norm)
figure.show()
""")
LAUNCH = Template("""import certssb_core as cs

config = cs.override(cs.PRESETS["$preset"], $changes)
run = cs.run_experiment(config, "$name")
print(run.metrics["clean"])
""")
QUERY = Template("""from pathlib import Path

import certssb_core as cs
from certssb_core.data.image_file import read_image

loaded = cs.LoadedEnsemble(cs.open_run("$run"))
print(loaded.ask(read_image(Path("image.png"), loaded.shape)))
""")


@dataclass(frozen=True)
class Code:
    """A view as a line for the shell and as lines of Python."""

    shell: str
    python: str


def show(code: Code) -> None:
    """The code of the view above, one click away."""
    with st.expander("This view as code", icon=":material/code:"):
        st.code(code.shell, language="sh")
        st.code(code.python, language="python")


def certified(chosen: Sequence[Choice], *, bound: str, alpha: float, radius: float, unit: str, whole: bool) -> Code:
    """Certified accuracy of runs and modes beside each other."""
    rule = ["--bound", bound, "--alpha", f"{alpha:g}"]
    lines = [_line("certify", choice.run.name, "--mode", choice.mode, *rule) for choice in chosen]
    runs, modes = (dict.fromkeys(values) for values in zip(*((c.run.name, c.mode) for c in chosen), strict=True))
    lines.append(_line("report", *runs, *(word for mode in modes for word in ("--mode", mode)), *rule))
    named = [(choice.name, choice.run.name, choice.mode) for choice in chosen]
    shown = {"bound": bound, "alpha": f"{alpha:g}", "radius": f"{radius:g}", "unit": unit, "whole": whole}
    return Code("\n".join(lines), CERTIFIED.substitute(chosen=named, **shown))


def sigma(run: Run, by: str, of: str) -> Code:
    """The histogram of σ*."""
    return Code(_line("report", run.name), SIGMA.substitute(run=run.name, by=by, of=of))


def all_pairs(run: Run, moment: str, kind: str) -> Code:
    """Every pair of stored balls."""
    return Code(_line("show", run.name), PAIRS.substitute(run=run.name, after=moment == "after", kind=kind))


def attack(config: RunConfig, preset: str, base: RunConfig) -> Code:
    """The poisoned images of a setting."""
    changes = _changes(config, base)
    return Code(_run_line(preset, changes), ATTACK.substitute(preset=preset, changes=changes))


def launch(config: RunConfig, preset: str, base: RunConfig, name: str) -> Code:
    """A run with these settings."""
    changes = _changes(config, base) | {"noise_seed": config.noise_seed}  # else the command line draws it secretly
    line = _run_line(preset, changes) + (f" --name {shlex.quote(name)}" if name else "")
    return Code(line, LAUNCH.substitute(preset=preset, changes=changes, name=name or f"my-{preset}"))


def query(run: Run) -> Code:
    """The question about an image, which has to be in a file."""
    return Code(_line("query", run.name, "image.png"), QUERY.substitute(run=run.name))


def _line(*words: str) -> str:
    return f"{COMMAND} {shlex.join(words)}"


def _run_line(preset: str, changes: dict[str, str]) -> str:
    return _line("run", preset, *(word for key, value in changes.items() for word in ("--set", f"{key}={value}")))


def settings(config: RunConfig, preset: str) -> dict[str, str]:
    """The settings that differ from those of ``preset``, as ``--set`` of the command line takes them."""
    return _changes(config, PRESETS[preset])


def _changes(config: RunConfig, base: RunConfig) -> dict[str, str]:
    """The settings that differ from ``base``, as the command line takes them."""
    before = flatten(base)
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in flatten(config).items()
        if value != before[key]
    }
