"""The sandbox of the Overlaps page: the storage-update on discs one can see."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from certssb_core.certify import sandbox
from certssb_core.figures import discs, pairs
from ui import charts, controls


@st.fragment
def section() -> None:
    st.subheader("Sandbox: the same rules where conflicts are frequent", anchor=False)
    left, middle, right = st.columns([2, 1, 1])
    with left:
        order = controls.choose("Order of arrival", sandbox.ORDERS, "given", key="order")
    count = middle.slider("Honest inputs", 4, 40, 16, key="discs", bind="query-params")
    seed = right.number_input("Seed", 0, 9999, 1, key="seed", bind="query-params")
    figure, changed = _played(seed, count, order)
    orders = pd.DataFrame(_over_orders(seed, count)).rename(columns=pairs.CASES)
    charts.show(
        figure,
        key="sandbox",
        summary=f"**{changed} of {count + 1}** inputs had their answer or radius changed. "
        "The star is the attacker's input, with the wrong label amid the other class: who comes first is "
        "believed.",
        table=orders,
    )
    st.dataframe(orders, hide_index=True)


@st.cache_resource(max_entries=32, show_spinner=False)
def _played(seed: int, count: int, order: str) -> tuple[go.Figure, int]:
    """The animation, kept because its frames take long to build, and how many inputs the store changed."""
    scene = sandbox.scene(seed=seed, count=count, order=order)
    figure = discs.discs(scene.points, scene.entries, attacker=scene.attacker, labels=sandbox.LABELS)
    return figure, scene.changed


@st.cache_data(max_entries=64, show_spinner=False)
def _over_orders(seed: int, count: int) -> list[dict[str, str | float]]:
    return sandbox.over_orders(seed=seed, count=count)
