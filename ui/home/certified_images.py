"""Certified photographs in a row: what a certificate says about pictures of the world, at first sight."""

from __future__ import annotations

import numpy as np
import streamlit as st

from certssb_core.data.datasets import DATASETS
from certssb_core.errors import DataError
from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.runs.run import Run
from ui.kit import headline, pages, run_files, tables, verdict

COUNT, SIDE = 5, 156  # images, and pixels of each: a row at 1024 too


def of_photographs(runs: list[Run]) -> Run | None:
    """Find the first finished run on images in colour whose certificates are balls; one that ships goes first."""
    fitting = [run for run in runs if DATASETS[run.config.data.name].channels == 3 and run.config.kind.balls]
    return min(fitting, key=lambda run: not run.protected, default=None)


def show(run: Run) -> None:
    """Test images at even distances, each with the members' answer, whether it is right, and its certified radius.

    Nothing where the images are not here.
    """
    try:
        images = run_files.inputs(run).dataset.test_images
    except DataError:
        return
    table = run_files.certificates(run)
    clean = table[table["set"] == "clean"].sort_values("index")
    shown = clean.iloc[np.linspace(0, len(clean) - 1, min(COUNT, len(clean))).astype(int)]
    names = tables.class_names(run)
    st.caption(f"Run **{run.name}**: {markdown_text(run.config.title)}")
    with st.container(horizontal=True):
        for row in shown.itertuples():
            answer = "no answer" if row.prediction < 0 else markdown_text(names[row.prediction])
            with st.container(width=SIDE):
                st.image(picture(images[row.index], side=SIDE), alt=f"a test image: {names[row.label]}", width=SIDE)
                st.markdown(f"**{answer}**, r = {row.radius:.2f}  \n{verdict.badge(row.prediction, row.label)}")
    metrics = run_files.metrics(run)
    of_clean = metrics["clean"]
    st.caption(
        f"{len(shown)} of {len(clean):,} clean test images, taken at even distances and not by their result, each "
        f"with its certified radius r (L2, pixels in [0, 1]). {of_clean['accuracy']:.1%} of all are answered right; "
        f"the mean radius, 0 where they are not, is {of_clean['average_certified_radius']:.2f}."
    )
    headline.warn(run)
    headline.promise(run)
    with st.container(horizontal=True):
        pages.link("certify", f"More of {run.name}, on Certify", runs=run.name)
        if metrics["store"]["trimmed"] + metrics["store"]["aligned"]:
            pages.link("overlaps", "Where two certificates conflict, on Overlaps", run=run.name)
