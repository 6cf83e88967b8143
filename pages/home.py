"""Home: what this is, what it has found, and where to go next."""

from pathlib import Path

import pandas as pd
import streamlit as st

from certssb_core.config.presets import DEFAULT_PRESET
from certssb_core.data.datasets import DATASETS, availability
from certssb_core.plain_text import markdown_text
from certssb_core.results import run_table
from ui.home import certified_images
from ui.kit import headline, run_files, run_list, text
from ui.kit.pages import PAGES, link
from ui.query import answers, stage

PICTURE = Path(__file__).parents[1] / "assets" / "way.svg"
CARD = 262  # pixels: four in a row at 1280, three at 1024

text.page_header(
    "home",
    sources=("2504.21730", "2003.08904"),
)
playground = st.container()  # filled last: the members may have to be loaded
text.drawing(PICTURE)
st.markdown(
    "Someone may have slipped **poisoned images** into the training data, so that a small trigger flips the answer. "
    "We train **many models**, each on its own noisy copy of that data, with a noise level σ* chosen for every image. "
    "At test time they **vote**, and a confidence bound turns the votes into probabilities. "
    "From these follows a **radius**: no change of the test image below it turns the smoothed answer into another "
    "class, the training set as given. A smaller **joint budget** also lets some training images move by a norm. "
    "Certified answers go into a **store** that later answers must not contradict, so the promise lasts."
)
st.info(
    "Test radius and joint budget keep the labels: **neither covers a poison that also relabels images**, which is "
    "what the planted backdoor does. Against it the attack success rate is measured, not certified. Poisons that "
    "relabel are covered by the subset certificate (the planted attack itself; presets *subset-…*), the L0 certificate "
    "(feature flips, labels counted) and DPA (images in or out).",
    icon=":material/gavel:",
)

runs = run_files.own_runs()
finished = [run for run in runs if run.is_done()]
shipped = next((run for run in finished if run.name == DEFAULT_PRESET), next(iter(finished), None))
if shipped:
    answers.prepare(shipped)
st.subheader("What it has found", anchor=False)
if shipped:
    with text.plain_errors():
        if covering := headline.covers_planted(finished):
            st.caption(f"Run **{covering.name}**: {markdown_text(covering.config.title)}")
            headline.planted_attack(run_files.metrics(covering)["planted_attack"])
        st.caption(f"Run **{shipped.name}**: {markdown_text(shipped.config.title)}")
        headline.show(shipped)
        if photographs := certified_images.of_photographs(finished):
            certified_images.show(photographs)
else:
    text.no_runs()

st.subheader("Where to go next", anchor=False)
with st.container(horizontal=True):
    for name, page in PAGES.items():
        if page.card:
            with st.container(border=True, width=CARD):
                link(name, f"**{page.title}**")
                st.caption(page.card)

if runs:
    st.subheader("The runs so far", anchor=False)
    run_list.show(run_table.rows(runs))

left, right = st.columns([3, 2], gap="large")
with left:
    st.subheader("Datasets", anchor=False)
    found = {name: availability(name) for name in DATASETS}
    table = pd.DataFrame(
        {
            "dataset": [source.title for source in DATASETS.values()],
            "present": [found[name].present for name in DATASETS],
            "note": [found[name].message for name in DATASETS],
        }
    )
    st.dataframe(table, hide_index=True)
if shipped:
    with playground:
        stage.stage(shipped)
with right:  # last: on a server's first page another process looks, and imports torch
    st.subheader("This machine", anchor=False)
    with text.plain_errors():
        checks = pd.DataFrame(run_files.machine())
        st.dataframe(checks[~checks["name"].str.startswith("data")], hide_index=True)
