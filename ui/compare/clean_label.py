"""Clean-label attacks on the page: success and accuracy, undefended and against diffusion denoising."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from certssb_core.comparisons import clean_label
from certssb_core.data.poisoning import METHODS
from certssb_core.figures.clean_label import success
from certssb_core.figures.images import gallery
from ui.compare import measurement_panel
from ui.kit import charts, controls, run_files, text

ABOUT = (
    "Poisons that keep their label and look like their class, crafted by gradient on models of the attacker's, each "
    "changed by at most a budget in L2. Some aim at single test images as they are (*victims*), some plant a trigger. "
    "Beside the undefended model, the members of a diffusion-denoising run are trained on the same poisons."
)
MEANING = (
    "The poisons move as far as the attacker's budget, often beyond what the certificate covers: how low success falls "
    "is measured here, not certified. Of few victims the interval is wide. These defenders train from the start, where "
    "feature collision and the polytopes need the victim blended into the poisons. Against a fixed feature extractor, "
    "for which they were made, they do better. An attack that fails undefended says nothing about the defence."
)
COLUMNS = {
    "attack": "attack",
    "defence": "defence",
    "success": st.column_config.NumberColumn("attack success", format="percent"),
    "count": "succeeded on",
    "chance": st.column_config.NumberColumn(
        "without poison", help="Of the same inputs: taken for the target class by models of data without any poison."
    ),
    "n": "of",
    "accuracy": st.column_config.NumberColumn("clean accuracy", format="percent"),
    "norm": st.column_config.NumberColumn("change (L2)", format="%.2f", help="Median over the poisons."),
    "source": st.column_config.LinkColumn("source", display_text=r"abs/(.*)"),
}


def section() -> None:
    """All that there is to see, or how to get it."""
    st.subheader("Clean-label attacks", anchor=False)
    st.markdown(ABOUT)
    found = clean_label.results(run_files.runs_dir())
    if found:
        titles = {suite: result["title"] for suite, result in found.items()}
        _view(found[controls.choose("Attacked", titles, next(iter(found)), key="attacked")])
        st.caption(MEANING)
    else:
        text.empty("Nothing has been attacked yet. Start it below, or `python -m certssb_core attacks digits`.")
    measurement_panel.section("attacks", found=bool(found))


@st.fragment  # its controls leave the rest of the page alone
def _denoised(result: dict[str, Any]) -> None:
    """Poisons on their way through the defence."""
    shown = {one["method"]: one["stages"] for one in result["attacks"] if "stages" in one}
    if not shown:
        return
    st.markdown("##### What denoising leaves of a poison")
    titles = {method: METHODS[method].title for method in shown}
    method = controls.choose("Attack", titles, next(iter(titles)), key="denoised")
    levels = {f"{level['sigma']:g}": level["sigma"] for level in shown[method]["levels"]}
    last = list(levels)[-1]
    at = controls.choose("Noise σ (pixel units)", {name: f"σ = {name}" for name in levels}, last, key="denoised-at")
    images, apart = clean_label.stages(result, method=method, sigma=levels[at])
    count = len(images["poison"])
    charts.show(
        gallery(images, titles=[""] * count, height=620),
        key="denoised-images",
        summary=f"{count} poisons of {titles[method].lower()} at σ = {at}{', the run’s own' * (at == last)}. Denoised, "
        f"poisons lie a median of **{apart['to_poison']:.2f}** (L2) from what they were before the noise and "
        f"**{apart['to_before']:.2f}** from the images they were made of.",
        table=pd.DataFrame([{"attack": titles[method], "sigma": levels[at]} | apart]),
    )


def _view(result: dict[str, Any]) -> None:
    table = clean_label.table(result)
    bare = table[table["defence"] == "none"]
    defended = table[table["defence"] != "none"].set_index("attack")
    working = bare[bare["success"] >= 0.5]
    words = "; ".join(
        f"{row['attack']} **{row['success']:.0%}** → **{defended.loc[row['attack'], 'success']:.0%}**"
        for _, row in working.iterrows()
    )
    charts.show(
        success(table),
        key="clean-label",
        summary=f"{result['title']}. Without a defence **{len(working)} of {len(bare)}** attacks succeed on at least "
        f"half of what they aim at. {words}{'.' if words else ''}",
        table=table,
    )
    st.dataframe(
        table.assign(source="https://arxiv.org/abs/" + table["source"]),
        hide_index=True,
        column_config=COLUMNS,
        column_order=list(COLUMNS),
        height="content",
    )
    _denoised(result)
