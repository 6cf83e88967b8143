"""Charts of a run that has not finished: the vote of its members so far, and the noise levels that were found."""

from __future__ import annotations

import streamlit as st

from certssb_core.errors import RunError
from certssb_core.figures import sigma, theme
from certssb_core.figures.vote_so_far import vote_so_far
from certssb_core.results.members_so_far import majority_so_far
from certssb_core.results.per_image import SETS
from certssb_core.runs.run import Run
from ui.kit import charts


def show(run: Run) -> None:
    """Show what the run's folder holds already, side by side."""
    left, right = st.columns(2)
    with left:
        _vote(run)
    with right:
        _noise(run)


def _vote(run: Run) -> None:
    table = majority_so_far(run)
    if table.empty:
        return
    last = table.groupby("set", sort=False)["share"].last()
    charts.show(
        vote_so_far(table, members=run.config.training.members),
        key=f"so-far-{run.name}",
        summary=f"Of the first {table['members'].max():,} members most are right on **{last['clean']:.1%}** of the "
        f"clean and **{last['triggered']:.1%}** of the triggered test images. Nobody abstains here yet.",
        table=table,
    )


def _noise(run: Run) -> None:
    try:
        arrays = run.arrays("sigma")
    except RunError:
        return
    found = {name: arrays[name] for name in SETS if name in arrays and len(set(arrays[name].tolist())) > 1}
    if not found:
        return
    table = sigma.binned_sets(found)
    charts.show(
        sigma.histogram(table, colours=theme.COLOURS, start=run.config.noise.sigma),
        key=f"noise-so-far-{run.name}",
        summary="The noise level σ\\* that was found for each image.",
        table=table,
    )
