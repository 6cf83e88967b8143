"""Certify: what the stored votes certify, under any confidence, bound and mode, for several runs at once."""

import streamlit as st

from certssb_core.certify.bounds import BOUNDS
from certssb_core.certify.certificate import TEST_MAPS
from certssb_core.experiment import certification, comparison
from certssb_core.figures import curves, theme
from ui import charts, conditions, controls, derived, soundness, state, text

FORMULAS = r"""
**Test radius** $\sigma_x \cdot$ margin, where margin =
$\tfrac12(\Phi^{-1}(\underline{p_A}) - \Phi^{-1}(\overline{p_B}))$: the trigger on the test
input alone, the training set as given.

**Joint budget**: n poisoned training images and the test input, each moved by at most τ, while
$$\tau^2\Big(\frac{1}{\sigma_x^2} + \sum_{n\ \text{largest}} \frac{1}{\sigma_i^2}\Big) < \text{margin}^2 .$$

α is split over the bounds used and over the classes, for the top class is chosen from the same votes.
"""
ALPHAS = [0.1, 0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001]
BOUND_TITLES = {key: bound.title for key, bound in BOUNDS.items()}
ENVELOPE = "best uniform σ at each radius"


def choose() -> list[derived.Choice]:
    """The runs and modes to compare, certified from their votes as the reader wants."""
    runs = {run.name: run for run in state.runs() if run.status().state == "done"}
    if not runs:
        text.no_runs()
        st.stop()
    left, right = st.columns([3, 2])
    names = left.multiselect("Runs", list(runs), default=next(iter(runs)), key="runs", bind="query-params")
    offered = derived.modes([runs[name] for name in names])
    modes = right.pills(
        "Mode: noise of the test inputs",
        offered,
        format_func=certification.label,
        selection_mode="multi",
        default=[mode for mode in offered if mode in TEST_MAPS],
        key="modes",
        bind="query-params",
    )
    left, right = st.columns([3, 2])
    with left:
        bound = st.selectbox(
            "Bound on the votes", list(BOUND_TITLES), format_func=BOUND_TITLES.get, key="bound", bind="query-params"
        )
    alpha = right.select_slider("Failure probability α", ALPHAS, 0.001, key="alpha", bind="query-params")
    chosen = derived.choices([runs[name] for name in names], modes, bound, alpha)
    if not chosen:
        text.empty("Choose at least one run, and one mode that it was voted in.")
        st.stop()
    return chosen


def accuracy(chosen: list[derived.Choice], colours: dict[str, str]) -> None:
    st.subheader("Certified accuracy", anchor=False)
    series = [choice.series for choice in chosen]
    table = comparison.curves(series)
    uniform = [choice.name for choice in chosen if choice.mode == "uniform"]
    if len(uniform) > 1 and st.toggle("Upper envelope of the uniform runs", key="envelope", bind="query-params"):
        table = comparison.with_envelope(table, uniform, name=ENVELOPE)
    radius = controls.slider("Read at radius r (L2 pixel units)", round(table["radius"].max(), 2), 0.25, 0.01, key="r")
    rates = comparison.rates(series, radius=radius)
    published = [points for choice in chosen if (points := comparison.published(choice.run.config)) is not None]
    charts.show(
        curves.certified_accuracy(table, colours=colours, published=next(iter(published), None), at=radius),
        key="certified-accuracy",
        summary=comparison.sentence(rates, radius),
        table=table,
    )
    st.caption("Shares with count and Wilson's 95 % interval; triggered images of the target class do not count.")
    st.dataframe(comparison.side_by_side(rates), hide_index=True)


def budget(chosen: list[derived.Choice], colours: dict[str, str]) -> None:
    st.subheader("If the training images move too", anchor=False)
    chosen = [choice for choice in chosen if derived.has_joint_budget(choice)]
    if not chosen:
        text.empty("Nothing is certified about changes of the training images in what is shown: see above why.")
        return
    left, right = st.columns(2)
    norm = left.slider("Norm τ of every change (L2 pixel units)", 0.01, 1.0, 0.05, 0.01, key="tau", bind="query-params")
    certified = [
        certification.joint_budget(state.voted(choice.run), choice.series.certificates, norm=norm) for choice in chosen
    ]
    table = comparison.budgets([choice.series for choice in chosen], certified)
    with right:
        images = controls.slider("Poisoned training images n", int(table["images"].max()), 1, 1, key="n")
    charts.show(
        curves.budget(table, colours=colours, images=images),
        key="joint-budget",
        summary=comparison.budget_sentence([choice.series for choice in chosen], certified, count=images, norm=norm),
        table=table,
    )


text.page_header(
    "Certify",
    "How far can the data be changed before the answer may change?",
    FORMULAS,
    ["2504.21730", "2003.08904", "1902.02918"],
)
chosen = choose()
colours = curves.colours([choice.name for choice in chosen]) | {ENVELOPE: theme.GREY}
conditions.warn_of_weak_attacks(chosen)
accuracy(chosen, colours)
bound, alpha = st.session_state["bound"], st.session_state["alpha"]
conditions.promises(chosen, alpha)
soundness.checklist(chosen, bound, alpha)
soundness.attribution(chosen, bound, alpha)
budget(chosen, colours)
