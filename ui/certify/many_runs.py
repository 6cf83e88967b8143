"""Several runs side by side: one row each, and the difference of each to a baseline with its interval."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from certssb_core.certify.certificate_kinds import CertificateKind
from certssb_core.figures import forest
from certssb_core.plain_text import markdown_text
from certssb_core.results import certification
from certssb_core.results.against_baseline import MEASURES, against, same_images
from ui.certify import certificate_charts
from ui.kit import charts, tables

COLOURED = 6
"""Most curves that are told apart by colour; the others are thin and grey."""
PERCENT = "%.1f %%"


def baseline(chosen: list[tables.Choice], kind: CertificateKind) -> str:
    """Let the reader choose the run that the others are compared with; its name."""
    names, key = [choice.name for choice in chosen], certificate_charts.key_of("baseline", kind)
    if st.session_state.get(key, names[0]) not in names:
        st.session_state[key] = names[0]
    return st.selectbox(
        "Baseline", names, key=key, bind="query-params", help="Every other run is compared with this one."
    )


def muted(names: list[str], first: str) -> list[str]:
    """The names whose curves are drawn in grey: all but ``first`` and the next few."""
    return [name for name in names if name != first][COLOURED - 1 :]


def compare(kind: CertificateKind, chosen: list[tables.Choice], radius: float, base: str) -> None:
    """Show the table of figures and the differences in one of them, ``radius`` read as on the chart above."""
    position = next(place for place, choice in enumerate(chosen) if choice.name == base)
    key = certificate_charts.key_of("measure", kind)
    measure = st.selectbox(
        "Difference in",
        list(MEASURES),
        index=1,
        format_func=lambda name: _title(name, radius, kind),
        key=key,
        bind="query-params",
        width=420,
    )
    same = [same_images(choice.run, chosen[position].run) for choice in chosen]
    long = against([choice.series for choice in chosen], baseline=position, radius=radius, same=same)
    _figures(kind, chosen, long, radius, measure, base)
    differing = long[(long["measure"] == measure) & (long["series"] != base)].sort_values("difference", ascending=False)
    about = MEASURES[measure]
    scale, unit = (100, "percentage points") if about.share else (1, kind.unit)
    shown = differing.assign(**{name: scale * differing[name] for name in differing if name.startswith("difference")})
    paired = int(differing["paired"].sum())
    clear = int(((shown["difference_low"] > 0) | (shown["difference_high"] < 0)).sum())
    charts.show(
        forest.differences(shown, x=f"{about.title} less that of {base} ({unit})"),
        key=certificate_charts.key_of("differences", kind),
        summary=f"Difference in {_title(measure, radius, kind)} to **{markdown_text(base)}**, with its 95 % interval: "
        f"for {clear} of {len(shown)} runs the interval leaves out 0. For {paired} of them the images are the same: "
        "there pairs of answers are compared.",
        table=shown[["series", "difference", "difference_low", "difference_high", "paired", "n"]],
    )
    st.caption(
        "Each interval stands alone and describes the choice of test images, not another training. Among twenty runs "
        "that equal the baseline, one interval leaves out 0 by chance."
    )


def _figures(
    kind: CertificateKind, chosen: list[tables.Choice], long: pd.DataFrame, radius: float, measure: str, base: str
) -> None:
    """One row per run, the baseline first, then by difference."""
    wide = long.pivot(index="series", columns="measure", values="value")
    for name, about in MEASURES.items():
        wide[name] *= 100 if about.share else 1
    own, scale = long[long["measure"] == measure].set_index("series"), 100 if MEASURES[measure].share else 1
    for name in ("difference", "difference_low", "difference_high"):
        wide[name] = scale * own[name]
    wide["interval"] = [
        "" if pd.isna(row.difference) else f"{row.difference_low:+.3g} to {row.difference_high:+.3g}"
        for row in wide.itertuples()
    ]
    wide["mode"] = pd.Series({choice.name: certification.label(choice.mode) for choice in chosen})
    order = wide["difference"].sort_values(ascending=False).index
    wide = wide.loc[[base, *(name for name in order if name != base)]].reset_index()
    st.dataframe(
        wide,
        hide_index=True,
        column_order=["series", "mode", *MEASURES, "difference", "interval"],
        column_config={
            "series": st.column_config.TextColumn("run", pinned=True),
            "difference": st.column_config.NumberColumn(f"difference in {MEASURES[measure].title}", format="%+.3f"),
            "interval": "95 % interval",
        }
        | {
            name: st.column_config.NumberColumn(_title(name, radius, kind), format=PERCENT if about.share else "%.3f")
            for name, about in MEASURES.items()
        },
        placeholder="baseline",
    )


def _title(measure: str, radius: float, kind: CertificateKind) -> str:
    title = MEASURES[measure].title
    return title.replace("at r", f"at r = {radius:g}") if MEASURES[measure].share else f"{title} ({kind.unit})"
