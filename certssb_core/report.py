"""A report: what one run, or several beside each other, certify, and what that rests on, in one HTML file.

The file holds its charts and their script, needs no network, and says beside every number what it promises and under
which condition. The same runs and settings give the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from certssb_core.audit import inspection
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig, flatten
from certssb_core.errors import RunError
from certssb_core.figures import curves, pairs, sigma, theme
from certssb_core.figures.budget_map import budget_map
from certssb_core.figures.falsification import violation_rates
from certssb_core.results import budget_maps, certification, comparison
from certssb_core.results.attack_verdict import caveats
from certssb_core.results.comparison import Series
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.run import Run
from certssb_core.version import VERSION

TEMPLATE = Path(__file__).with_name("report.html.jinja")
COLOURS = {"green": theme.GREEN, "amber": theme.ORANGE, "red": theme.VERMILION}


@dataclass(frozen=True, eq=False)
class Shown:
    """One run read in one mode, under the name it has in the report."""

    name: str
    run: Run
    run_votes: RunVotes
    mode: str
    series: Series


def report(
    runs: Sequence[Run],
    *,
    modes: Sequence[str] | None = None,
    bound: str | None = None,
    alpha: float | None = None,
    norm: float = 0.05,
) -> str:
    """The HTML of a report on finished ``runs``.

    Args:
        modes: the modes to read each run in, where it has them; default: its own.
        bound, alpha: of all certificates; default: the first run's.
        norm: of every moved image in the joint budgets.

    Raises:
        RunError: there is no run, one is not finished, or none was voted in any of ``modes``.
    """
    if not runs:
        raise RunError("a report needs at least one run")
    if unfinished := [run.name for run in runs if run.status().state != "done"]:
        raise RunError(f"{unfinished[0]} is not finished: resume it first")
    rule = runs[0].config.certification
    bound, alpha = bound or rule.bound, rule.alpha if alpha is None else alpha
    shown = [one for run in runs for one in _read(run, modes, bound, alpha, several=len(runs) > 1)]
    if not shown:
        raise RunError(f"no run has votes in mode {', '.join(modes or ())}")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=" beside ".join(dict.fromkeys(one.run.name for one in shown)),
        version=VERSION,
        plotly=get_plotlyjs(),
        bound=BOUNDS[bound].title,
        alpha=alpha,
        sections=_compared(shown, norm, alpha, bound),
        promises=[_promise(one, alpha) for one in shown],
        runs=[_described(run) for run in runs],
        checklists=[(one.name, inspection.inspect(one.run, mode=one.mode, bound=bound, alpha=alpha)) for one in shown],
        colours=COLOURS,
        warnings=[words for run in runs if (words := _weakness(run))],
    )


def _read(run: Run, modes: Sequence[str] | None, bound: str, alpha: float, *, several: bool) -> list[Shown]:
    run_votes = read_run_votes(run)
    found = []
    for mode in modes or (run.config.noise.test_map,):
        if mode in run_votes.modes:
            words = certification.label(mode)
            name = f"{run.name}, {words}" if several else words
            table = certification.certify_votes(run_votes, mode=mode, bound=bound, alpha=alpha)
            found.append(Shown(name, run, run_votes, mode, Series(name, table, run.config.attack, run_votes.classes)))
    return found


def _compared(shown: list[Shown], norm: float, alpha: float, bound: str) -> list[dict[str, Any]]:
    """Compare all in certified accuracy, a chart for each unit, and in joint budgets where certified."""
    colours, sections = curves.colours([one.name for one in shown]), []
    for kind in dict.fromkeys(one.run_votes.kind for one in shown):
        of_kind = [one for one in shown if one.run_votes.kind == kind]
        series = [one.series for one in of_kind]
        published = [points for one in of_kind if (points := comparison.published(one.run.config)) is not None]
        at = 1.0 if kind.whole else 0.25
        figure = curves.certified_accuracy(
            comparison.curves(series, whole=kind.whole),
            colours=colours,
            published=next(iter(published), None),
            at=at,
            unit=kind.unit,
        )
        words = (
            f"Share of images with the true class and a certificate of more than r, in {kind.unit}; the table has "
            "counts and Wilson's 95 % intervals."
        )
        rates = comparison.side_by_side(comparison.rates(series, radius=at)).rename_axis(columns=None)
        sections.append(_section("Certified accuracy", words, figure, rates, kind.law))
    budgeted = [one for one in shown if one.run_votes.budgets and one.mode in one.run_votes.joint_modes]
    if budgeted:
        budgets = [
            pair for one in budgeted for pair in certification.joint_budgets(one.run_votes, one.series, norm=norm)
        ]
        table = comparison.budgets([series for series, _ in budgets], [images for _, images in budgets])
        names = sorted(table["series"].unique(), key=lambda name: name.endswith(certification.AS_IF_ALL))
        colours = curves.colours(names)
        sections.append(
            _section(
                "If the training images move too",
                f"Clean test images whose right answer stands although n training images, whichever they are, and the "
                f"test input, unless it is taken as given, each move by up to {norm:g}.",
                curves.budget(table, colours=colours, images=0),
                table[table["images"].isin(np.linspace(0, table["images"].max(), 6).astype(int))],
            )
        )
    return [*sections, *_replaced(shown, alpha, bound)]


def _replaced(shown: list[Shown], alpha: float, bound: str) -> list[dict[str, Any]]:
    """Map what stands against replaced images and a trigger, of the runs whose certificates speak of such images."""
    told = [one for one in shown if one.run_votes.kind.replaced or one.run_votes.kind.sees == "partition"]
    told = [one for one in told if one.mode == one.run.config.noise.test_map]
    if not told:
        return []
    plants = {_planted(one.run) for one in told}
    most = max(len(one.run.arrays("sigma")["train"]) for one in told)
    steps = budget_maps.grid_steps(most, max(images for images, _ in plants))
    norms = sorted({*budget_maps.NORMS, *(norm for _, norm in plants)})
    parts = []
    for one in told:
        table = one.series.certificates
        covered = budget_maps.covered(
            one.run_votes, table, budget_maps.REPLACED, norms, steps, bound=bound, alpha=alpha
        )
        parts.append(comparison.budget_grid(one.series, covered, steps))
    table = pd.concat(parts, ignore_index=True)
    planted = next(iter(plants)) if len(plants) == 1 else None
    figure = budget_map(table, planted=planted, images="n training images replaced", norm="norm τ")
    words = (
        "Share of clean test images certified right although n training images are replaced by anything, labels "
        "included, and the test input moves by at most τ (L2). Nothing is said of an empty cell."
    )
    rows = table[table["images"].isin([0, *(images for images, _ in plants)])]
    return [_section("If training images are replaced", words, figure, rows)]


def _planted(run: Run) -> tuple[int, float]:
    """The number of poisoned images, and the trigger's norm: as measured, else its nominal one."""
    planted = run.metrics.get("planted_attack") or {"norm": run.config.attack.norm}
    return len(run.arrays("poison")["indices"]), planted["norm"]


def _described(run: Run) -> dict[str, Any]:
    """Describe one run, whatever it is compared with."""
    sections, levels = [], run.arrays("sigma")
    spread = {name: levels[name] for name in ("train", "clean", "triggered") if name in levels}
    if any(np.ptp(values) > 0 for values in spread.values()):
        values = pd.Series(np.concatenate(list(spread.values())))
        group = pd.Series(np.repeat(list(spread), [len(values) for values in spread.values()]))
        bins = sigma.binned(values, group)
        medians = pd.DataFrame({"images": list(spread), "median σ*": [np.median(one) for one in spread.values()]})
        figure = sigma.histogram(bins, colours=theme.COLOURS, start=run.config.noise.sigma)
        sections.append(_section("Noise σ*", "How much noise each image bears.", figure, medians, run.name))
    if run.store_path.exists():
        cases = run.certificates()["store_case"].value_counts()
        sections.append(
            _section(
                "The store",
                "How often each case of the storage-update occurred.",
                pairs.cases(cases),
                cases.rename_axis("case").reset_index(name="inputs"),
                run.name,
            )
        )
    if attacked := run.falsification:
        parts = attacked["parts"]
        figure = violation_rates(parts, alpha=attacked["alpha"], confidence=attacked["confidence"])
        words = f"What an attack of {attacked['minutes']:.1f} minutes found, mode {attacked['label']}."
        columns = ["title", "trials", "flips", "violations", "rate_upper", "allowed"]
        sections.append(_section("Attempts to break it", words, figure, pd.DataFrame(parts)[columns], run.name))
    return {
        "name": run.name,
        "title": run.config.title,
        "sections": sections,
        "settings": sorted(flatten(run.config).items()),
        "made_with": {name: run.manifest.get(name) for name in ("certssb", "python", "platform", "device", "versions")},
        "seconds": run.metrics["seconds"]["total"],
    }


def _section(title: str, words: str, figure: go.Figure, table: pd.DataFrame, of: str = "all") -> dict[str, Any]:
    place = f"{title} {of}".replace(" ", "-")  # plotly would make up a random one
    return {
        "title": title,
        "words": words,
        "figure": figure.to_html(full_html=False, include_plotlyjs=False, div_id=place, config={"displaylogo": False}),
        "table": table.to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}"),
    }


def _promise(one: Shown, alpha: float) -> dict[str, Any]:
    settings: RunConfig = override(one.run.config, {"certification.alpha": str(alpha)})
    return {"name": one.name} | certification.promise(settings, one.mode).__dict__


def _weakness(run: Run) -> str:
    return " ".join(f"{run.name}: {caveat}" for caveat in caveats(run.metrics))
