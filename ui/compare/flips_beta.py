"""Feature flips on the page: what the kept share β buys in certified features, whatever the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from certssb_core.certify.l0 import features_certified
from certssb_core.figures.defences import features
from ui.kit import charts

LEADS = np.round(np.concatenate([np.linspace(0.5, 0.98, 25), np.linspace(0.982, 0.999, 18)]), 4)
"""Lower bounds on the leading class's probability, of two."""


@st.fragment  # its slider leaves the rest of the page alone
def section() -> None:
    st.subheader("Feature flips: what β buys", anchor=False)
    keep = st.slider("β, the share of features and labels kept", 0.55, 0.95, 0.8, 0.01, key="beta", bind="query-params")
    table = pd.DataFrame({"p_a_lower": LEADS, "features": certified(keep)})
    at = {lead: int(table.loc[table["p_a_lower"] == lead, "features"].iloc[0]) for lead in (0.9, 0.99, 0.999)}
    charts.show(
        features(table, keep=keep),
        key="flips",
        summary=f"At β = {keep:.2f} a leading class of probability 0.9 stands **{at[0.9]}** changed features and "
        f"labels, of 0.99 **{at[0.99]}**, of 0.999 **{at[0.999]}** (two classes). A smaller β certifies more at the "
        "same lead, and leaves less of the image to lead with: how far a run's votes lead is measured at its own β.",
        table=table,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def certified(keep: float) -> np.ndarray:
    """Features and labels that may change, at each of :data:`LEADS`; 0 where nothing leads."""
    return np.maximum(features_certified(LEADS, 1 - LEADS, keep=keep), 0)
