"""The planted attack on a map: inputs that stand while training images are replaced and the test input moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from certssb_core.figures.budget_map import budget_map
from certssb_core.results import certification, comparison
from certssb_core.runs.run import Run
from ui.kit import charts, run_files
from ui.kit.tables import Choice, of_table

STEPS = (0.05, 0.1, 0.25, 0.5, 1.0)
MOST = 9
"""Norms are drawn in the smallest of these steps with which so many reach every certificate."""


def covers(choice: Choice) -> bool:
    """True where the certificate allows for replaced training images, in the mode that the run certifies in."""
    return run_files.run_votes(choice.run).kind.replaced is not None and choice.mode == choice.run.config.noise.test_map


def show(chosen: list[Choice], bound: str, alpha: float) -> None:
    """A map for each run that covers replaced images; nothing where none does."""
    covering = [choice for choice in chosen if covers(choice)]
    if not covering:
        return
    st.subheader("If training images are replaced, and the test input carries a trigger", anchor=False)
    st.caption(
        "Share of the clean test images that are certified right although n training images are replaced by anything, "
        "labels included, and the test input moves by at most τ (L2). Each cell is a claim for an n and a τ chosen "
        "beforehand."
    )
    for choice in covering:
        draw(choice, bound, alpha)


def draw(choice: Choice, bound: str, alpha: float) -> None:
    """The map of one run."""
    table = grid(choice, bound, alpha)
    planted = run_files.metrics(choice.run).get("planted_attack")
    at = (planted["images"], planted["norm"]) if planted else None
    charts.show(
        budget_map(table, planted=at, images="n training images replaced", norm="norm τ of the test input"),
        key=f"replaced-{choice.run.name}",
        summary=sentence(table, choice.run.name, at),
        table=table,
    )


def grid(choice: Choice, bound: str, alpha: float) -> pd.DataFrame:
    """Counts of clean test images that stand, for each pair of images and norm (:func:`comparison.budget_grid`)."""
    planted = run_files.metrics(choice.run).get("planted_attack") or {"images": 0, "norm": 0.0}
    largest = max(choice.series.certificates["radius"].max(), planted["norm"])
    step = next((step for step in STEPS if step * MOST > largest), STEPS[-1])
    norms = tuple(sorted({*(step * np.arange(np.ceil(largest / step) + 1)).tolist(), planted["norm"]}))
    by_norm = _replaced(choice.run, norms, bound, alpha)
    most = max(int(values.max()) for values in by_norm.values())
    steps = comparison.image_steps(most, planted["images"])
    return comparison.budget_grid(choice.series, by_norm, steps)


@of_table("votes.safetensors")
def _replaced(run: Run, norms: tuple[float, ...], bound: str, alpha: float) -> dict[float, np.ndarray]:
    return certification.replaced_images(run_files.run_votes(run), norms, bound=bound, alpha=alpha)


def sentence(table: pd.DataFrame, name: str, planted: tuple[int, float] | None) -> str:
    """The cell of the planted attack in words (Markdown), or of the attack that replaces one image and no more."""
    images, norm = planted or (1, 0.0)
    cell = table[(table["images"] == images) & (table["norm"] == norm)]
    count, of = int(cell["count"].iloc[0]), int(cell["n"].iloc[0])
    attack = "Against the planted attack" if planted else "Against one image"
    return (
        f"{name}. {attack}, {images:,} training images replaced and a change of norm up to {norm:.3g}: **{count:,} of "
        f"{of:,}** clean test images are certified right."
    )
