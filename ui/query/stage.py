"""The live stage: an image and its trigger, the undefended network's answer beside the ensemble's, radius and store.

:func:`stage` is a section of its own, for Home and for lessons; the Query page puts :func:`panel` beside its canvas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import streamlit as st

from certssb_core.certify.subset import Drawing
from certssb_core.data.triggers import TRIGGERS
from certssb_core.errors import DataError, RunError, StoreError
from certssb_core.figures import votes
from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.query import edit_image as core
from certssb_core.query.reply import Reply
from certssb_core.runs.run import Run
from ui.kit import charts, controls, run_files, tables, text, verdict
from ui.query import answers
from ui.query.image_source import Question

SIDE = 216  # pixels of the picture
CHART = 240  # pixels of the votes' height: with them all answers fit one screen of 1280×720
STRONGEST = 3.0
"""Strongest trigger of the slider, in norms of the run's own."""


@st.fragment
def stage(run: Run, *, key: str = "stage", image: int | None = None, strength: float = 0.0) -> None:
    """Let the reader put the run's trigger on a test image, and show who answers what.

    Args:
        run: finished; its members answer.
        key: begins the names of the stage's controls in the URL.
        image: number of the clean test image at first; default: one on which the trigger misleads the undefended
            network and not the ensemble.
        strength: of the trigger at first, as its L2 norm.
    """
    if reason := answers.unable(run):
        text.empty(f"{markdown_text(reason)}.")
        return
    try:
        _stage(run, key, image, strength)
    except (DataError, RunError, StoreError) as error:
        text.failed(str(error))


def _stage(run: Run, key: str, image: int | None, strength: float) -> None:
    inputs, attack = run_files.inputs(run), run.config.attack
    clean = inputs.dataset.test_images
    left, right = st.columns([1, 3], gap="medium")
    with left:
        start = telling(run) if image is None else image
        index = controls.position(
            f"Test image (0 to {len(clean) - 1:,})", len(clean), key=f"{key}-image", start=min(start, len(clean) - 1)
        )
        norm = st.slider(
            f"Strength of the trigger ({TRIGGERS[attack.trigger].title.lower()})",
            0.0,
            STRONGEST * attack.norm,
            min(strength, STRONGEST * attack.norm),
            attack.norm / 20,
            key=f"{key}-strength",
            bind="query-params",
            help=f"L2 norm of the change, before clamping. The training images were poisoned at {attack.norm:g}.",
        )
        picked = clean[index]
        asked = core.triggered(picked, attack, attack.trigger, norm)
        question = Question(f"clean {index}", picked, asked, int(inputs.dataset.test_labels[index]))
        st.image(picture(asked, side=SIDE), alt="the image as the networks see it", width=SIDE)
    with right:
        panel(run, question, key=f"{key}-votes")


def panel(run: Run, question: Question, *, key: str) -> Reply:
    """Ask about ``question`` and show the answers: undefended network, ensemble, certified radius, store, votes.

    Args:
        key: of the chart of the votes.

    Returns:
        The reply to the image as it is now.

    Raises:
        RunError: the members gave no answer.
    """
    before, after = answers.ask(run, question.picked), answers.ask(run, question.asked)
    kind, drawing = run.config.kind, run.config.drawing
    names = tables.class_names(run)
    answered, voted = st.columns(2, gap="medium")
    with answered:
        with st.container(key=f"answers-{key}"):
            if after.undefended is not None:
                alone = markdown_text(names[after.undefended])
                _metric("Undefended network", alone, *_alone(after.undefended, question.truth))
            by = "by the store" if after.answered_by == "store" else "by the vote"
            _metric("Defended answer", markdown_text(after.answer), by)
            _metric("Certified radius", f"{after.radius:.3f}", _edge(after, drawing))
            if kind.balls:
                _metric("Store", *_stored(after))
        st.markdown("  \n".join(_verdicts(question, names, before, after)))
    table = votes.table(after.votes, names, before.votes if question.moved else None)
    leading = markdown_text(names[table["asked"].argmax()])
    certified = "which is certified" if after.members_radius > 0 else "too few to certify any change"
    certified = certified if after.prediction >= 0 else "too few to certify: they ABSTAIN"
    with voted:
        charts.show(
            votes.bars(table, names={"picked": "the picked image", "asked": "as it is now"}, height=CHART),
            key=key,
            summary=f"**{max(after.votes):,}** of {sum(after.votes):,} members vote **{leading}**, {certified}.",
            table=table,
        )
    return after


def _verdicts(question: Question, names: tuple[str, ...], before: Reply, after: Reply) -> Iterator[str]:
    """Judge the defended answer by the true class, where it is known, and by the picked image's certificate."""
    if question.truth is not None:
        sure = after.radius > 0
        beside = verdict.beside_truth(names[question.truth], after.label, question.truth, certified=sure)
        yield f"Defended answer: {beside}"
    if question.moved:
        yield f":material/straighten: {core.verdict(before, after, question.moved)}"


def _alone(answer: int, truth: int | None) -> tuple[str, Literal["gray", "green", "red"]]:
    """Judge the undefended network's answer in few words, and their colour."""
    if truth is None:
        return "no certificate", "gray"
    return ("right, no certificate", "green") if answer == truth else ("wrong, no certificate", "red")


def _metric(label: str, value: str, context: str, colour: Literal["gray", "green", "red"] = "gray") -> None:
    st.metric(label, value, context, delta_color=colour, delta_arrow="off", border=True)


def _edge(reply: Reply, drawing: Drawing | None) -> str:
    """Say in a few words at which edge the certified radius ends."""
    if reply.ball is not None:
        return f"ball {reply.ball}, stored just now" if reply.inserted else f"to the edge of ball {reply.ball}"
    if reply.radius < reply.members_radius:
        return "to the edge of a rival ball"
    return f"{drawing.replaced:,} images replaced" if drawing else "σ* · margin"


def _stored(reply: Reply) -> tuple[str, str]:
    """The ball that holds the image."""
    return (f"ball {reply.ball}", "holds the image") if reply.ball is not None else ("no ball", "members vote")


@run_files.of_run("undefended.safetensors", spinner="Computing …")
def telling(run: Run) -> int:
    """Find a clean test image whose trigger misleads the undefended network and not the ensemble.

    Returns:
        The one of median certified radius; an ordinary image where there is none.
    """
    inputs, table = run_files.inputs(run), run_files.certificates(run)
    if not (run.path / "undefended.safetensors").exists():
        return tables.ordinary(run, "clean")
    voted = run.arrays("undefended")
    misled = (voted["triggered"] == inputs.attacked) & (voted["clean"] == inputs.dataset.test_labels)
    stands = table[(table["set"] == "triggered") & (table["prediction"] == table["label"])]["index"]
    among = [int(index) for index in stands if misled[index] and inputs.measures_attack[index]]
    return tables.ordinary(run, "clean", tuple(among))
