"""Backdoor smoothing on the page: the attacks of one measurement, one of them looked at closely."""

from __future__ import annotations

from typing import Any

import streamlit as st

from certssb_core.comparisons import backdoor_smoothing
from certssb_core.figures import backdoor_smoothing as figures
from ui.compare import measurement_panel
from ui.kit import charts, controls, run_files, text

ABOUT = (
    "A model that was taught a trigger may answer more evenly under noise around the trigger than around anything else "
    "(*smoothing*). Noise of size s is drawn around the same test images: as they are, triggered, and under control "
    "patterns. A control pattern is the trigger's own change, its pixels moved elsewhere, never trained on. Measured "
    "are the answers of the **undefended** model. [arXiv 2006.06721](https://arxiv.org/abs/2006.06721)"
)
MEANING = """
**What it shows.** An AUC is the probability that a triggered input is smoother than another one; 1/2 tells nothing,
and so it should be where nothing was planted. Where it moves away from 1/2 as the attack succeeds more often, a planted
trigger leaves a trace around the inputs, which control patterns of the same size do not.

**What it does not show.** It is a measurement and defends against nothing. The sign depends on the noise: noise that is
small beside the trigger finds triggered inputs near a decision boundary and thus *less* smooth, so below 1/2. Whoever
looks must know clean inputs of the same classes to compare with, and the noise at which to look was chosen here with
the trigger known. Triggered inputs are all answered with the target class: part of the difference may be that class's.
An attacker who knows of it can train against it. The intervals take inputs as independent; all groups share images.
"""


def section() -> None:
    """All that there is to see, or how to get it."""
    st.subheader("Backdoor smoothing: a measurement", anchor=False)
    st.markdown(ABOUT)
    found = backdoor_smoothing.results(run_files.runs_dir())
    if found:
        names = {name: result["title"] for name, result in found.items()}
        _views(found[controls.choose("Measured on", names, next(iter(found)), key="measured")])
        with st.expander("What this does and does not show", icon=":material/lightbulb:"):
            st.markdown(MEANING)
    else:
        text.empty("Nothing has been measured yet. Start it below, or `python -m certssb_core smoothness digits`.")
    measurement_panel.section("smoothness", found=bool(found))


@st.fragment  # its controls leave the rest of the page alone
def _views(result: dict[str, Any]) -> None:
    scales = {f"{scale:g}": f"s = {scale:g}" for scale in sorted({cell["scale"] for cell in result["spread"]})}
    measure = controls.choose("Measure", backdoor_smoothing.MEASURES, "entropy", key="measure")
    start = "0.4" if "0.4" in scales else next(iter(scales))
    scale = float(controls.choose("Noise s (pixel units)", scales, start, key="s"))
    table = backdoor_smoothing.table(result, measure=measure, scale=scale)
    words = backdoor_smoothing.MEASURES[measure]
    weakest, strongest = table.iloc[0], table.iloc[-1]
    charts.show(
        figures.against_success(table, measure=words),
        key="smoothness-success",
        summary=f"{result['title']}, {result['trigger']} trigger. Triggered inputs are told from clean ones with AUC "
        f"**{_auc(weakest, 'clean')}** where the attack succeeds on {weakest['attack_success']:.1%}, and "
        f"**{_auc(strongest, 'clean')}** where it succeeds on {strongest['attack_success']:.1%}. From control "
        f"patterns: **{_auc(weakest, 'control')}** and **{_auc(strongest, 'control')}**.",
        table=table,
    )
    attacks = {row["run"]: f"{row['attack_success']:.0%} success" for _, row in table.iterrows()}
    run = controls.choose("One attack", attacks, strongest["run"], key="attack")
    row = table.set_index("run").loc[run]
    left, right = st.columns(2, gap="large")
    with left:
        shown = backdoor_smoothing.spread(result, run=run, measure=measure, scale=scale)
        charts.show(
            figures.spread(shown, measure=words),
            key="smoothness-spread",
            summary=f"Median **{row['triggered']:.3f}** around triggered inputs, **{row['clean']:.3f}** around clean "
            f"ones, **{row['control']:.3f}** around control patterns, which fool the model on "
            f"{row['control_success']:.1%}.",
            table=shown,
        )
    with right:
        shown = backdoor_smoothing.curves(result, run=run, measure=measure, scale=scale)
        charts.show(
            figures.roc(shown),
            key="smoothness-roc",
            summary=f"AUC **{_auc(row, 'clean')}** from clean inputs, **{_auc(row, 'control')}** from control "
            "patterns.",
            table=shown,
        )


def _auc(row: Any, against: str) -> str:
    value, low, high = (row[f"auc_{against}{end}"] for end in ("", "_low", "_high"))
    return f"{value:.2f} ({low:.2f} – {high:.2f})"
