"""Charts of what votes certify: accuracy against the radius, and how many inputs bear how many poisoned images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from certssb_core.certify.certificate_kinds import CertificateKind
from certssb_core.figures import curves
from certssb_core.results import certification, comparison
from ui.kit import charts, run_files
from ui.kit.tables import Choice


def accuracy(
    kind: CertificateKind,
    chosen: list[Choice],
    table: pd.DataFrame,
    radius: float,
    colours: dict[str, str],
    *,
    muted: Sequence[str] = (),
    by_measure: bool = True,
) -> None:
    """Certified accuracy, read at ``radius``; ``table`` is that of :func:`comparison.curves`.

    Args:
        muted: names whose curves are grey, and left out of the sentence.
        by_measure: whether a table of all rates follows, a column per choice.
    """
    rates = comparison.rates([choice.series for choice in chosen if choice.name not in muted], radius=radius)
    published = [points for choice in chosen if (points := comparison.published(choice.run.config)) is not None]
    charts.show(
        curves.certified_accuracy(
            table, colours=colours, published=next(iter(published), None), at=radius, unit=kind.unit, muted=muted
        ),
        key="certified-accuracy" if kind.balls else f"certified-accuracy-{kind.law}",
        summary=comparison.sentence(rates, radius, unit=kind.unit),
        table=table,
    )
    if muted:
        st.caption(f"The other {len(muted)} runs are the thin grey curves; the table below has them all.")
    if not by_measure:
        return
    st.caption("Shares with count and Wilson's 95 % interval; triggered images of the target class do not count.")
    st.dataframe(comparison.side_by_side(rates), hide_index=True)


def joint_budgets(chosen: list[Choice], norm: float) -> list[np.ndarray]:
    """Number of training images that may move by ``norm`` with each input, per choice."""
    return [
        certification.joint_budget(run_files.run_votes(choice.run), choice.series.certificates, norm=norm)
        for choice in chosen
    ]


def budget(
    chosen: list[Choice],
    certified: Sequence[np.ndarray],
    table: pd.DataFrame,
    *,
    norm: float,
    images: int,
    colours: dict[str, str],
    muted: Sequence[str] = (),
) -> None:
    """Inputs that bear ``images`` poisoned training images; ``table`` is that of :func:`comparison.budgets`."""
    told = [place for place, choice in enumerate(chosen) if choice.name not in muted]
    series, counted = [chosen[place].series for place in told], [certified[place] for place in told]
    charts.show(
        curves.budget(table, colours=colours, images=images, muted=muted),
        key="joint-budget",
        summary=comparison.budget_sentence(series, counted, count=images, norm=norm),
        table=table,
    )
