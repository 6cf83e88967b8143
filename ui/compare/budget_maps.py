"""One map for each system: inputs certified right over the images that an attacker changes and the norm τ."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from certssb_core.comparisons import defences
from certssb_core.figures.budget_map import budget_map
from certssb_core.results.budget_maps import ATTACKS, MOVED, MOVED_ALONE, REPLACED
from ui.kit import charts, controls, text

AXES = {REPLACED: "n training images replaced"}
CHOICES = {
    REPLACED: "images replaced, labels too",
    MOVED: "images and test input moved",
    MOVED_ALONE: "images moved, test input as given",
}


@st.fragment  # its controls leave the rest of the page alone
def section(result: dict) -> None:
    """Draw the maps of a comparison against the attack that the reader chooses."""
    st.subheader("All systems on one map: n training images, and norm τ", anchor=False)
    if "maps" not in result:
        text.empty("This comparison was made by an earlier version. Made again, it has a map here.")
        return
    attack = controls.choose("Attack", CHOICES, REPLACED, key="replaced")
    table = defences.frame(result, "maps")
    table = table[table["attack"] == attack]
    images, norm = result["poisoned"], result["attack"]["norm"]
    planted = attack == REPLACED
    charts.show(
        budget_map(
            table,
            planted=(images, norm) if planted else None,
            images=AXES.get(attack, "n training images moved"),
            norm="norm τ",
        ),
        key="field-map",
        summary=sentence(table, attack, images, norm),
        table=table,
    )
    st.caption(
        "An empty cell: the system says nothing about it. "
        + (
            "The frame is the attack as it was planted: its poisoned images are replaced, labels included, and the "
            "test input carries its trigger."
            if planted
            else "The planted attack relabels its images unless it is a clean-label one, so it stands on the other map."
        )
        + " Feature flips are left out: they are about other, binary images."
    )


def sentence(table: pd.DataFrame, attack: str, images: int, norm: float) -> str:
    """The cell with as many images as are poisoned, at the trigger's norm, in words (Markdown)."""
    cells = table[(table["images"] == images) & (table["norm"] == norm)]
    words = ". ".join(f"{row.series}: **{row.count:,} of {row.n:,}**" for row in cells.itertuples(name="Cell"))
    others = sorted(set(table["series"]) - set(cells["series"]), key=list(table["series"]).index)
    silent = f" Nothing is said there by {', '.join(others)}." if others else ""
    stated = ATTACKS[attack].replace("n training images", f"{images:,} training images").replace("τ", f"{norm:g}")
    return f"Clean test images certified right with {stated}. {words or 'None'}.{silent}"
