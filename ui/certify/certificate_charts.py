"""Charts of what votes certify: accuracy against the radius, and how many inputs bear how many poisoned images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.figures import curves
from certssb_core.results import certification, comparison
from certssb_core.results.comparison import Series
from ui.kit import charts, tables
from ui.kit.tables import Choice


def key_of(stem: str, kind: CertificateKind) -> str:
    """A key for each kind of certificate, since several may stand on one page; that of L2 balls is ``stem`` alone."""
    name = next(name for name, entry in CERTIFICATES.items() if entry == kind)
    return stem if kind.balls else f"{stem}-{name}"


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
        key=key_of("certified-accuracy", kind),
        summary=comparison.sentence(rates, radius, unit=kind.unit),
        table=table,
    )
    if muted:
        st.caption(f"The other {len(muted)} runs are the thin grey curves; the table below has them all.")
    if not by_measure:
        return
    st.caption("Shares with count and Wilson's 95 % interval; triggered images of the target class do not count.")
    st.dataframe(comparison.side_by_side(rates), hide_index=True)


FEW = 3
"""Choices up to which the chart also shows the budget as if every member saw every image."""
Budgets = list[tuple[Series, np.ndarray]]
"""Of each line of the chart, the number of training images that may move with each input."""


def joint_budgets(chosen: list[Choice], norm: float, replaced: int = 0) -> tuple[Budgets, pd.DataFrame]:
    """Count the training images that may move by ``norm``, ``replaced`` others become anything, and the inputs that
    stand, per choice; of a few choices also without the draw counted, where members draw a share of the images."""
    kept = 2 if len(chosen) <= FEW else 1
    budgets = [pair for choice in chosen for pair in tables.joint_budgets(choice, norm, replaced)[:kept]]
    return budgets, comparison.budgets([series for series, _ in budgets], [images for _, images in budgets])


def budget(
    budgets: Budgets, table: pd.DataFrame, *, norm: float, images: int, replaced: int = 0, muted: Sequence[str] = ()
) -> None:
    """Inputs that bear ``images`` poisoned training images, of what :func:`joint_budgets` found."""
    besides = f" Besides, {replaced:,} further training images become anything, labels included." if replaced else ""
    names = sorted((one.name for one, _ in budgets), key=lambda name: name.endswith(certification.AS_IF_ALL))
    series, certified = zip(*[pair for pair in budgets if pair[0].name not in muted], strict=True)
    charts.show(
        curves.budget(table, colours=curves.colours(names), images=images, muted=muted),
        key="joint-budget",
        summary=comparison.budget_sentence(list(series), list(certified), count=images, norm=norm) + besides,
        table=table,
    )
