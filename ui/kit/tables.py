"""Tables computed from a run's files, read or made once and kept until those files change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from certssb_core import report as reports
from certssb_core.audit import inspection
from certssb_core.audit import release_corrections as steps
from certssb_core.certify import published_release
from certssb_core.errors import DataError
from certssb_core.figures import falsification, sigma
from certssb_core.results import certification
from certssb_core.results import per_image as sampling
from certssb_core.results import store_ledger as ledgers
from certssb_core.results.comparison import Series
from certssb_core.results.summary import Fact
from certssb_core.results.summary import facts as facts_of
from certssb_core.runs import data_record
from certssb_core.runs.run import Run
from certssb_core.store.overlaps import Survey
from ui.kit import run_files


def class_names(run: Run) -> tuple[str, ...]:
    """Names of the run's classes: as recorded, else those of its data, of its config, or numbers."""
    if record := data_record.recorded(run):
        return tuple(record["classes"])
    try:
        return run_files.inputs(run).dataset.classes
    except DataError:
        count = 1 + int(run_files.certificates(run)["label"].max())
        return run.config.data.classes or tuple(str(label) for label in range(count))


def samples(run: Run) -> pd.DataFrame:
    """One row per training, clean and triggered image."""
    return _compute("samples", run, "sigma.safetensors")


def grouped(run: Run, by: str, of: str) -> pd.DataFrame:
    """:func:`samples` with the group that each image is compared in."""
    return _compute("grouped", run, "sigma.safetensors", by, of)


def sigma_bins(run: Run, by: str, of: str) -> pd.DataFrame:
    """σ* counted per group and bin."""
    return _compute("sigma_bins", run, "sigma.safetensors", by, of)


def facts(run: Run) -> dict[str, Fact]:
    """Numbers about the run by name, for texts that quote them."""
    return _compute("facts", run, "metrics.json")


def certified(run: Run, mode: str, bound: str, alpha: float) -> pd.DataFrame:
    """Certificates from the stored votes; no model is touched."""
    return _compute("certified", run, "votes.safetensors", mode, bound, alpha)


@dataclass(frozen=True)
class Choice:
    """A run in one mode, certified as the reader asked for, under the name it has in the legend."""

    name: str
    run: Run
    mode: str
    series: Series


def modes(runs: list[Run]) -> list[str]:
    """The modes that any of ``runs`` was voted in; all there are where no run is chosen."""
    found = {mode for run in runs for mode in run_files.run_votes(run).modes} or set(certification.MODES)
    return [mode for mode in certification.MODES if mode in found]


def choices(runs: list[Run], modes: list[str], bound: str, alpha: float) -> list[Choice]:
    """Every run in each of ``modes`` it was voted in."""
    chosen = []
    for run in runs:
        for mode in modes:
            if mode in run_files.run_votes(run).modes:
                words = certification.label(mode)
                name = f"{run.name}, {words}" if len(runs) > 1 else words
                table = certified(run, mode, bound, alpha)
                chosen.append(
                    Choice(name, run, mode, Series(name, table, run.config.attack, run_files.run_votes(run).classes))
                )
    return chosen


def has_joint_budget(choice: Choice) -> bool:
    """Whether anything is certified about changes of the training images."""
    run_votes = run_files.run_votes(choice.run)
    return run_votes.kind.weighs and choice.mode != published_release.MODE and run_votes.sigma_train is not None


def report(chosen: list[Choice], bound: str, alpha: float) -> str:
    """The HTML of a report on all of ``chosen``."""
    runs = list({choice.run.name: choice.run for choice in chosen}.values())
    modes = list(dict.fromkeys(choice.mode for choice in chosen))
    return reports.report(runs, modes=modes, bound=bound, alpha=alpha)


def findings(run: Run, mode: str, bound: str, alpha: float) -> list[inspection.Finding]:
    """What the run's certificates in this mode rest on."""
    return _compute("findings", run, "certificates.csv", mode, bound, alpha)


def violation_rates(run: Run) -> go.Figure:
    """What attacks on the run's certificates found; the same whatever bound and α the page is at."""
    return _compute("violation_rates", run, "falsification.json")


def attribution(run: Run, bound: str, alpha: float) -> pd.DataFrame:
    """From the release's arithmetic to a certificate, step by step."""
    return _compute("attribution", run, "votes.safetensors", bound, alpha)


def ledger(run: Run) -> pd.DataFrame:
    """One row per insertion into the run's store."""
    return _compute("ledger", run, "store.sqlite")


def survey(run: Run, *, after: bool) -> Survey:
    """Every pair of stored balls, before or after the storage-update."""
    return _compute("survey", run, "store.sqlite", after)


def picture_of(run: Run, set_name: str, index: int) -> Any:
    """Pixels ``(C, H, W)`` of one image; None, after saying so, where the data set is not on this machine."""
    try:
        return sampling.images(run_files.inputs(run), set_name)[index]
    except DataError as error:
        st.caption(f":material/hide_image: The image itself cannot be shown: {error}")
        return None


_COMPUTERS: dict[str, Callable[..., Any]] = {
    "samples": lambda run: sampling.samples(
        run_files.arrays(run, "sigma"),
        run_files.arrays(run, "poison") if run.config.origin == "trained" else {},
        run_files.certificates(run),
        class_names(run),
    ),
    "grouped": lambda run, by, of: sampling.grouped(samples(run), by, of),
    "sigma_bins": lambda run, by, of: sigma.binned(grouped(run, by, of)["sigma"], grouped(run, by, of)["group"]),
    "facts": lambda run: facts_of(
        run.config,
        run_files.metrics(run),
        samples(run),
        survey(run, after=False),
        survey(run, after=True),
        dimensions=run_files.balls_and_ledger(run)[0].centres.shape[1],
    ),
    "certified": lambda run, mode, bound, alpha: certification.certify_votes(
        run_files.run_votes(run), mode=mode, bound=bound, alpha=alpha
    ),
    "findings": lambda run, mode, bound, alpha: inspection.inspect(run, mode=mode, bound=bound, alpha=alpha),
    "violation_rates": lambda run: falsification.violation_rates(
        **{key: run_files.falsification(run)[key] for key in ("parts", "alpha", "confidence")}
    ),
    "attribution": lambda run, bound, alpha: steps.attribution(run_files.run_votes(run), bound=bound, alpha=alpha),
    "ledger": lambda run: ledgers.table(run_files.balls_and_ledger(run)[1], class_names(run)),
    "survey": lambda run, after: ledgers.survey_store(run_files.balls_and_ledger(run)[0], ledger(run), after=after),
}


def _compute(name: str, run: Run, file: str, *settings: Any) -> Any:
    path = run.path / file
    return _computed(name, str(run.path.resolve()), path.stat().st_mtime_ns if path.exists() else 0, settings)


@st.cache_resource(max_entries=64, show_spinner="Computing …")
def _computed(name: str, path: str, modified: int, settings: tuple[Any, ...]) -> Any:
    # ``modified`` is only part of the key. The results are shared between sessions and never changed.
    return _COMPUTERS[name](Run(Path(path)), *settings)
