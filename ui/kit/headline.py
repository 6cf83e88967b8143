"""The figures of a finished run at a glance, each with its count, its interval and what it promises."""

from __future__ import annotations

import contextlib

import streamlit as st

from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.metrics import wilson_interval
from certssb_core.errors import RunError
from certssb_core.plain_text import markdown_text
from certssb_core.results import certification
from certssb_core.results.attack_verdict import caveats
from certssb_core.runs.run import Run
from ui.kit import run_files, tables


def show(run: Run) -> None:
    """Four numbers in a row, then the promise behind them."""
    metrics = run_files.metrics(run)
    clean, triggered, undefended = metrics["clean"], metrics["triggered"], metrics["undefended"]
    kind = CERTIFICATES[run.config.certification.certificate]
    unit = "L2" if kind.balls else kind.unit
    columns = st.columns(4)
    _share(columns[0], "Clean accuracy", clean["accuracy"], clean["n"], "Certified prediction = true class.")
    _metric(
        columns[1],
        "Mean certified radius",
        f"{clean['average_certified_radius']:.2f}",
        f"{unit}, {clean['n']:,} images",
        "Changes below it are certified; 0 where the answer is wrong or abstains. Pixels in [0, 1].",
    )
    _metric(
        columns[2],
        "Attack success rate",
        f"{triggered['attack_success_rate']:.1%}",
        _undefended(undefended),
        f"Of {triggered['n']:,} triggered test images; to abstain counts as withstanding (Certify says how often). "
        "Beside it the same for a model without defence.",
    )
    _share(
        columns[3],
        "Still correct with the trigger",
        triggered["empirical_robust_accuracy"],
        triggered["n"],
        "Empirical robust accuracy: triggered images still predicted as their true class.",
    )
    planted_attack(metrics.get("planted_attack"))
    warn(run)
    after_store(run)
    fixed_ensemble(run)
    promise(run)


def warn(run: Run) -> None:
    """Warn of what makes the run's figures say less than they seem to."""
    for caveat in caveats(run_files.metrics(run)):
        st.warning(markdown_text(caveat), icon=":material/warning:")


def promise(run: Run) -> None:
    """Say, folded, what the run's figures promise and under which condition."""
    promised = certification.promise(run.config, run.config.noise.test_map)
    with st.expander("What these numbers promise", icon=":material/gavel:"):
        st.markdown(
            f"**Test radius.** {promised.test_radius}\n\n**Joint budget.** {promised.joint_budget}\n\n"
            f"**Condition.** {promised.condition}"
        )


def covers_planted(runs: list[Run]) -> Run | None:
    """The first run with certificates against the attack as planted; one that ships with the project goes first."""
    for run in sorted(runs, key=lambda run: not run.protected):
        with contextlib.suppress(RunError):  # a damaged run is told of where it is shown
            if run_files.metrics(run).get("planted_attack"):
                return run
    return None


def planted_attack(planted: dict | None) -> None:
    """Say how many inputs are certified against the attack as planted, where the certificate can say."""
    if not planted:
        return
    clean, triggered = planted["clean"], planted["triggered"]
    low, high = wilson_interval(clean["certified"], clean["n"])
    images = f"the {planted['images']:,} of {planted['training_images']:,} training images"
    if "moved" in planted:
        change = f"However {images} moved, each by a norm of up to {planted['moved']:g} with its label kept"
    else:
        change = f"Whatever {images} became, labels included"
    st.success(
        f"**Certified against the planted attack: {clean['certified'] / clean['n']:.1%}** of the clean test images "
        f"({clean['certified']:,} of {clean['n']:,}; 95 % interval {low:.1%} – {high:.1%}), and "
        f"{triggered['certified']:,} of {triggered['n']:,} triggered ones. {change}, and whatever change of norm up to "
        f"{planted['norm']:g} the input carries: the right answer does not become another class.",
        icon=":material/verified_user:",
    )


def fixed_ensemble(run: Run) -> None:
    """Say the test radius of the members as they are, and that it belongs to another classifier."""
    if drawn := run_files.fixed(run):
        clean = drawn["clean"]
        st.caption(
            f"**{run.name}, fixed ensemble**: mean radius **{clean['average_certified_radius']:.2f}**, accuracy "
            f"{clean['accuracy']:.1%}, of these very members, by {drawn['draws']:,} draws of {drawn['jury']} of them "
            "under fresh noise. It is another classifier than the one above: the training set is as given, and there "
            "is no joint budget."
        )


def after_store(run: Run) -> None:
    """Say the same figures as the store answers: it trims radii and aligns answers with earlier balls."""
    if after := tables.after_store(run):
        st.caption(
            f"**{run.name}**: these figures are of the members' certificates, before the store. As the store answers: "
            f"clean accuracy {after['clean']['accuracy']:.1%}, mean radius "
            f"{after['clean']['average_certified_radius']:.2f}, attack success "
            f"{after['triggered']['attack_success_rate']:.1%}, still correct with the trigger "
            f"{after['triggered']['empirical_robust_accuracy']:.1%}."
        )


def _undefended(undefended: dict | None) -> str:
    if not undefended:
        return "undefended: not known"
    base = f", without trigger {undefended['base_rate']:.1%}" if "base_rate" in undefended else ""
    return f"undefended: {undefended['attack_success_rate']:.1%}{base}"


def _share(column, label: str, share: float, count: int, explanation: str) -> None:
    low, high = wilson_interval(round(share * count), count)
    _metric(column, label, f"{share:.1%}", f"{low:.1%} – {high:.1%}", f"{explanation} {count:,} images; 95 % interval.")


def _metric(column, label: str, value: str, context: str, explanation: str) -> None:
    column.metric(
        label, value, context, delta_color="off", delta_arrow="off", help=explanation, border=True, height="stretch"
    )
