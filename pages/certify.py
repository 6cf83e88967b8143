"""Certify: what the stored votes certify, under any confidence, bound and mode, for several runs at once."""

import streamlit as st

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import TEST_MAPS
from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.figures import curves, theme
from certssb_core.results import certification, comparison
from ui.certify import certificate_charts, soundness
from ui.kit import charts, conditions, controls, headline, run_files, tables, text, view_as_code

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


def choose() -> list[tables.Choice]:
    """The runs and modes to compare, certified from their votes as the reader wants."""
    runs = {run.name: run for run in run_files.finished_runs()}
    if not runs:
        text.no_runs()
        st.stop()
    held, kept = run_files.current(), st.session_state.get("runs", [])
    if text.arrived() and "runs" not in st.query_params and held in runs and held not in kept:
        st.session_state["runs"] = [held]
    left, right = st.columns([3, 2])
    names = left.multiselect("Runs", list(runs), default=next(iter(runs)), key="runs", bind="query-params")
    if names and run_files.current() not in names:
        run_files.make_current(names[0])
    with right:
        own = runs[names[0]].config.certification.bound if names else next(iter(BOUNDS))
        bound = st.selectbox(
            "Bound on the votes",
            list(BOUND_TITLES),
            index=list(BOUND_TITLES).index(own),
            format_func=BOUND_TITLES.get,
            key="bound",
            bind="query-params",
        )
    left, right = st.columns([3, 2])
    offered = tables.modes([runs[name] for name in names])
    modes = left.pills(
        "Mode: noise of the test inputs",
        offered,
        format_func=certification.label,
        selection_mode="multi",
        default=[mode for mode in offered if mode in TEST_MAPS],
        key="modes",
        bind="query-params",
    )
    alpha = right.select_slider("Failure probability α", ALPHAS, 0.001, key="alpha", bind="query-params")
    chosen = tables.choices([runs[name] for name in names], modes, bound, alpha)
    if not chosen:
        text.empty("Choose at least one run, and one mode that it was voted in.")
        st.stop()
    return chosen


@st.fragment  # its controls leave the rest of the page alone
def accuracy(kind: CertificateKind, chosen: list[tables.Choice], colours: dict[str, str]) -> None:
    """The curves of one kind of certificate, for different units share no axis."""
    st.subheader(f"Certified accuracy, in {kind.unit}", anchor=False)
    series = [choice.series for choice in chosen]
    table = comparison.curves(series, whole=kind.whole)
    uniform = [choice.name for choice in chosen if choice.mode == "uniform"]
    if len(uniform) > 1 and st.toggle("Upper envelope of the uniform runs", key="envelope", bind="query-params"):
        table = comparison.with_envelope(table, uniform, name=ENVELOPE)
    key, step = (f"r-{kind.law}", 1) if kind.whole else ("r", 0.01)
    high = type(step)(round(table["radius"].max(), 2))
    radius = controls.slider(f"Read at r ({kind.unit})", high, step * (1 if kind.whole else 25), step, key=key)
    certificate_charts.accuracy(kind, chosen, table, radius, colours)
    bound, alpha = st.session_state["bound"], st.session_state["alpha"]
    view_as_code.show(
        view_as_code.certified(chosen, bound=bound, alpha=alpha, radius=radius, unit=kind.unit, whole=kind.whole)
    )


@st.fragment
def budget(chosen: list[tables.Choice], colours: dict[str, str]) -> None:
    st.subheader("If the training images move too", anchor=False)
    chosen = [choice for choice in chosen if tables.has_joint_budget(choice)]
    if not chosen:
        text.empty("Nothing is certified about changes of the training images in what is shown: see above why.")
        return
    left, right = st.columns(2)
    norm = left.slider("Norm τ of every change (L2 pixel units)", 0.01, 1.0, 0.05, 0.01, key="tau", bind="query-params")
    certified = certificate_charts.joint_budgets(chosen, norm)
    table = comparison.budgets([choice.series for choice in chosen], certified)
    with right:
        images = controls.slider("Poisoned training images n", int(table["images"].max()), 1, 1, key="n")
    certificate_charts.budget(chosen, certified, table, norm=norm, images=images, colours=colours)


text.page_header(
    "certify",
    FORMULAS,
    ["2504.21730", "2003.08904", "1902.02918"],
)
chosen = choose()
colours = curves.colours([choice.name for choice in chosen]) | {ENVELOPE: theme.GREY}
conditions.warn_of_weak_attacks(chosen)
for kind in CERTIFICATES.values():
    if of_kind := [choice for choice in chosen if run_files.run_votes(choice.run).kind == kind]:
        accuracy(kind, of_kind, colours)
own = [choice.run for choice in chosen if choice.mode == choice.run.config.noise.test_map]
for run in {run.name: run for run in own}.values():
    headline.after_store(run)
bound, alpha = st.session_state["bound"], st.session_state["alpha"]
conditions.promises(chosen, alpha)
soundness.checklist(chosen, bound, alpha)
soundness.attribution(chosen, bound, alpha)
soundness.attacks(chosen)
budget(chosen, colours)
charts.download("Report (HTML)", lambda: tables.report(chosen, bound, alpha), "report.html", "text/html")
