"""Tables computed from a run's files, read or made once and kept until those files change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from certssb_core import report as reports
from certssb_core.audit import inspection
from certssb_core.audit import release_corrections as steps
from certssb_core.audit.inspected import Finding
from certssb_core.certify.certificate import FIXED
from certssb_core.errors import DataError
from certssb_core.figures import falsification, sigma
from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.results import certification, conflicts
from certssb_core.results import per_image as sampling
from certssb_core.results import store_ledger as ledgers
from certssb_core.results.comparison import Series
from certssb_core.results.summary import Fact
from certssb_core.results.summary import facts as facts_of
from certssb_core.runs import data_record
from certssb_core.runs.run import Run
from certssb_core.store.overlaps import Survey
from certssb_core.store.store import Balls
from ui.kit import run_files, verdict

of_table = partial(run_files.of_run, kept=64, spinner="Computing …")


def class_names(run: Run) -> tuple[str, ...]:
    """Names of the run's classes: as recorded, else those of its data, of its config, or numbers."""
    if record := data_record.recorded(run):
        return tuple(record["classes"])
    try:
        return run_files.inputs(run).dataset.classes
    except DataError:
        count = 1 + int(run_files.certificates(run)["label"].max())
        return run.config.data.classes or tuple(str(label) for label in range(count))


@of_table("sigma.safetensors")
def samples(run: Run) -> pd.DataFrame:
    """One row per training, clean and triggered image."""
    poison = run_files.arrays(run, "poison") if run.config.origin == "trained" else {}
    return sampling.samples(run_files.arrays(run, "sigma"), poison, run_files.certificates(run), class_names(run))


@of_table("sigma.safetensors")
def grouped(run: Run, by: str, of: str) -> pd.DataFrame:
    """:func:`samples` with the group that each image is compared in."""
    return sampling.grouped(samples(run), by, of)


@of_table("sigma.safetensors")
def sigma_bins(run: Run, by: str, of: str) -> pd.DataFrame:
    """σ* counted per group and bin."""
    table = grouped(run, by, of)
    return sigma.binned(table["sigma"], table["group"])


@of_table("metrics.json")
def facts(run: Run) -> dict[str, Fact]:
    """Numbers about the run by name, for texts that quote them."""
    return facts_of(
        run.config,
        run_files.metrics(run),
        samples(run),
        survey(run, after=False),
        survey(run, after=True),
        dimensions=run_files.balls_and_ledger(run)[0].centres.shape[1],
    )


@of_table("certificates.csv")
def after_store(run: Run) -> dict[str, Any] | None:
    """The run's metrics as its store answers; None where it has none. Also of runs that did not record them."""
    certificates = run_files.certificates(run)
    if "store_radius" not in certificates:
        return None
    return certification.assess(run_files.run_votes(run), certification.after_store(certificates))


@of_table("votes.safetensors")
def certified(run: Run, mode: str, bound: str, alpha: float) -> pd.DataFrame:
    """Certificates from the stored votes; no model is touched."""
    return certification.certify_votes(run_files.run_votes(run), mode=mode, bound=bound, alpha=alpha)


def fixed_radius(run: Run, set_name: str, index: int) -> float | None:
    """Radius of a test image in the fixed ensemble, under the bound of its draws; None where it has not voted."""
    drawn = run_files.fixed(run)
    if drawn is None:
        return None
    table = certified(run, FIXED, drawn["bound"], drawn["alpha"])
    return float(table.loc[(table["set"] == set_name) & (table["index"] == index), "radius"].iloc[0])


@dataclass(frozen=True)
class Choice:
    """A run in one mode, certified as the reader asked for, under the name it has in the legend."""

    name: str
    run: Run
    mode: str
    series: Series
    bound: str
    alpha: float


def modes(runs: list[Run]) -> list[str]:
    """The modes that any of ``runs`` was voted in; all there are where no run is chosen."""
    found = {mode for run in runs for mode in run_files.run_votes(run).modes} or set(certification.MODES)
    return [mode for mode in certification.MODES if mode in found]


def choices(runs: list[Run], modes: list[str], bound: str, alpha: float, *, name: str | None = None) -> list[Choice]:
    """Every run in each of ``modes`` it was voted in; ``name`` is that of the only one, by default made up."""
    chosen = []
    for run in runs:
        for mode in modes:
            if mode in run_files.run_votes(run).modes:
                words = certification.label(mode)
                called = name or (f"{run.name}, {words}" if len(runs) > 1 else words)
                table = certified(run, mode, bound, alpha)
                series = Series(called, table, run.config.attack, run_files.run_votes(run).classes)
                chosen.append(Choice(called, run, mode, series, bound, alpha))
    return chosen


def has_joint_budget(choice: Choice) -> bool:
    """True if changes of the training images are certified."""
    run_votes = run_files.run_votes(choice.run)
    return run_votes.budgets and choice.mode in run_votes.joint_modes


def joint_budgets(choice: Choice, norm: float, replaced: int = 0) -> list[tuple[Series, np.ndarray]]:
    """Number of training images that may move by ``norm``, as :func:`certification.joint_budgets`."""
    return _joint_budgets(choice.run, choice.mode, choice.bound, choice.alpha, choice.name, norm, replaced)


@of_table("votes.safetensors")
def _joint_budgets(
    run: Run, mode: str, bound: str, alpha: float, name: str, norm: float, replaced: int
) -> list[tuple[Series, np.ndarray]]:
    run_votes = run_files.run_votes(run)
    series = Series(name, certified(run, mode, bound, alpha), run.config.attack, run_votes.classes)
    return certification.joint_budgets(run_votes, series, norm=norm, replaced=replaced)


def report(chosen: list[Choice], bound: str, alpha: float) -> str:
    """The HTML of a report on all of ``chosen``."""
    runs = list({choice.run.name: choice.run for choice in chosen}.values())
    modes = list(dict.fromkeys(choice.mode for choice in chosen))
    return reports.report(runs, modes=modes, bound=bound, alpha=alpha)


@of_table("certificates.csv")
def findings(run: Run, mode: str, bound: str, alpha: float) -> list[Finding]:
    """Check what the run's certificates in this mode rest on."""
    return inspection.inspect(run, mode=mode, bound=bound, alpha=alpha)


@of_table("falsification.json")
def violation_rates(run: Run) -> go.Figure:
    """Draw what attacks on the run's certificates found; the same for every bound and α."""
    found = run_files.falsification(run)
    return falsification.violation_rates(**{key: found[key] for key in ("parts", "alpha", "confidence")})


@of_table("votes.safetensors")
def attribution(run: Run, bound: str, alpha: float) -> pd.DataFrame:
    """Correct the release's arithmetic step by step until it is a certificate."""
    return steps.attribution(run_files.run_votes(run), bound=bound, alpha=alpha)


@of_table("store.sqlite")
def ledger(run: Run) -> pd.DataFrame:
    """One row per insertion into the run's store."""
    return ledgers.table(run_files.balls_and_ledger(run)[1], class_names(run))


@of_table("store.sqlite")
def survey(run: Run, *, after: bool) -> Survey:
    """Every pair of stored balls, before or after the storage-update."""
    return ledgers.survey_store(run_files.balls_and_ledger(run)[0], ledger(run), after=after)


@of_table("stream.sqlite")
def stream(run: Run) -> tuple[Balls, pd.DataFrame]:
    """The balls of a stream of queries, and one row per query."""
    balls, entries = run_files.stream(run)
    return balls, ledgers.table(entries, class_names(run))


@of_table("store.sqlite")
def stretched(run: Run, factor: float) -> tuple[Balls, pd.DataFrame]:
    """The run's balls in a store of their own, each claimed radius stretched by ``factor``, and its ledger."""
    balls, entries = conflicts.stretched(*run_files.balls_and_ledger(run), factor)
    return balls, ledgers.table(entries, class_names(run))


@of_table("store.sqlite")
def extrapolated(run: Run, times: int) -> tuple[Balls, pd.DataFrame]:
    """The run's balls with the radii that ``times`` as many members would claim if they voted in equal shares."""
    rule = run.config.certification
    balls, entries = conflicts.extrapolated(
        *run_files.balls_and_ledger(run), run_files.certificates(run), times=times, bound=rule.bound, alpha=rule.alpha
    )
    return balls, ledgers.table(entries, class_names(run))


@run_files.of_run("certificates.csv")
def ordinary(run: Run, set_name: str, among: tuple[int, ...] = ()) -> int:
    """Find an image to open a page on: answered right, with the median radius of such images.

    Args:
        among: choose one of these images, where one of them is answered right.

    Returns:
        Its index; the first of ``among``, or 0, where no image of the set is answered right.
    """
    table = run_files.certificates(run)
    right = table[(table["set"] == set_name) & (table["prediction"] == table["label"])]
    if among:
        right = right[right["index"].isin(among)]
    if right.empty:
        return among[0] if among else 0
    return int(right.loc[(right["radius"] - right["radius"].median()).abs().idxmin(), "index"])


def judged(run: Run, set_name: str, index: int, answer: int | None = None, *, certified: bool = True) -> str:
    """Name the true class of a test image, and judge an answer to it: by default that of the members' votes.

    Empty for a training image, and for one that was not certified in this run.
    """
    table = run_files.certificates(run)
    rows = table[(table["set"] == set_name) & (table["index"] == index)]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    answer = int(row["prediction"]) if answer is None else answer
    return verdict.beside_truth(class_names(run)[int(row["label"])], answer, int(row["label"]), certified=certified)


def picture_of(run: Run, set_name: str, index: int) -> Any:
    """Pixels ``(C, H, W)`` of one image; None, after saying so, where the data set is not on this machine."""
    try:
        return sampling.images(run_files.inputs(run), set_name)[index]
    except DataError as error:
        st.caption(f":material/hide_image: The image itself cannot be shown: {markdown_text(error)}")
        return None


def image_shape(run: Run) -> tuple[int, ...] | None:
    """``(C, H, W)`` of the run's images; None, after saying so, where the data set is not on this machine."""
    try:
        return run_files.inputs(run).dataset.test_images.shape[1:]
    except DataError as error:
        st.caption(f":material/hide_image: The images cannot be shown: {markdown_text(error)}")
        return None


def thumbnails(run: Run, shown: pd.DataFrame) -> list[str | None]:
    """Small pictures for the rows of a table with columns ``set, index``; None where the data set is not here."""
    try:
        inputs = run_files.inputs(run)
    except DataError:
        return [None] * len(shown)
    return [
        picture(sampling.images(inputs, name)[index], side=48)
        for name, index in zip(shown["set"], shown["index"], strict=True)
    ]
