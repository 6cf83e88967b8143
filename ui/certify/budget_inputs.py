"""List the test images that bear so many changed training images, with their pictures."""

from __future__ import annotations

import numpy as np
import streamlit as st

from ui.kit import controls, tables

ROWS = 20
"""Images per page of the table."""
COLUMNS = {
    "image": st.column_config.ImageColumn("image", width="small"),
    "index": st.column_config.NumberColumn("clean test image", format="localized"),
    "name": "class",
    "images": st.column_config.NumberColumn("training images that may change", format="localized"),
    "radius": st.column_config.NumberColumn("certified radius", format="%.3f"),
}


def show(one: tables.Choice, certified: np.ndarray, *, images: int) -> None:
    """On demand: the images of ``one`` whose right answer stands, those that bear the most first.

    Args:
        certified: one entry per row of its certificates, the most training images that may change; -1 for none.
        images: how many change.
    """
    table = one.series.certificates.assign(images=certified)
    clean = table[table["set"] == "clean"]
    standing = clean[(clean["prediction"] == clean["label"]) & (clean["images"] >= images)]
    standing = standing.sort_values(["images", "radius"], ascending=False, kind="stable")
    if not st.toggle("Show which images these are", key="which", bind="query-params"):
        return
    st.caption(f"{one.name}: {len(standing):,} clean test images, those that bear the most first.")
    shown = controls.page(standing, ROWS, key="page")
    names = tables.class_names(one.run)
    st.dataframe(
        shown.assign(image=tables.thumbnails(one.run, shown), name=[names[label] for label in shown["label"]]),
        hide_index=True,
        column_order=list(COLUMNS),
        column_config=COLUMNS,
        height=300,
    )
