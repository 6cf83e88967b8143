"""One lesson on the page: its steps, the question of each, and after the answer the explanation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from certssb_core.runs.run import Run
from ui.kit import charts, glossary, present, run_files, tables, text
from ui.kit.pages import PAGES, link
from ui.lessons import classroom
from ui.lessons.handout import handout
from ui.lessons.lesson_files import Course, Lesson, LessonError, Step, filled
from ui.lessons.place import Place
from ui.lessons.rooms import Asked, Room
from ui.lessons.view import View

Part = st.delta_generator.DeltaGenerator
QUESTION = "lesson-question"


def overview(course: Course, place: Place) -> None:
    """A card per lesson, with how far the reader has come."""
    lessons = list(course.lessons.values())
    for start in range(0, len(lessons), 3):
        for column, lesson in zip(st.columns(3), lessons[start : start + 3], strict=False):
            with column.container(border=True, height="stretch"):
                st.markdown(f"##### {lesson.title}")
                st.markdown(lesson.summary)
                given, steps = len(place.answers.get(lesson.title, {})), len(lesson.steps)
                st.caption(f"{given} of {steps} questions answered" if given else f"{steps} questions")
                st.button(
                    "Begin" if not given else "Go on" if given < steps else "Look again",
                    key=f"begin-{lesson.title}",
                    on_click=place.open,
                    args=(lesson.title,),
                    icon=":material/school:",
                )


def head(course: Course, place: Place, room: Room | None) -> None:
    """One row: the lesson, its steps with a mark on those that are answered, terms; in class, the students' address."""
    lesson = course.lessons[place.lesson or ""]
    st.session_state["lesson"] = lesson.title
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-head", gap="small"):
        st.selectbox(
            "Lesson",
            list(course.lessons),
            key="lesson",
            label_visibility="collapsed",
            width=300,
            on_change=lambda: place.open(st.session_state["lesson"]),
        )
        for number, step in enumerate(lesson.steps, start=1):
            answer = place.answer(number)
            right = answer == step.right
            st.button(
                str(number),
                key=f"step-{number}",
                on_click=place.go,
                args=(number,),
                type="primary" if number == place.step else "secondary",
                icon=None if answer is None else ":material/check:" if right else ":material/close:",
                help=step.title + ("" if answer is None else " — predicted right" if right else " — predicted wrong"),
            )
        st.space("stretch")
        text.terms("lessons")
        with st.popover("Teach", icon=":material/co_present:"):
            present.button()
            if run := _run(lesson):
                name = re.sub(r"\W+", "-", lesson.title.lower()).strip("-")
                charts.download("Handout (HTML)", lambda: handout(lesson, run), f"{name}.html", "text/html")
            classroom.menu(room)
    if room:
        classroom.invitation(room)


def show(course: Course, place: Place, room: Room | None) -> None:
    """The step where the reader is; the lecturer of ``room`` asks its question to the class."""
    lesson = course.lessons[place.lesson or ""]
    run = _run(lesson)
    if run is None:
        text.empty(f"This lesson is about the run **{lesson.run}**, and there is no finished run of that name.")
        return
    text.to_top(f"{lesson.title} {place.step}")
    step = lesson.steps[place.step - 1]
    with st.container(key="lesson-title"):
        st.title(f"{place.step}. {step.title}", anchor=False)
    titles = list(course.lessons)
    following = next(iter(titles[titles.index(lesson.title) + 1 :]), None)
    further = partial(_further, place, len(lesson.steps), following)
    try:
        _step(run, step, place, room, further)
    except LessonError as error:
        text.failed(str(error), "Mend the lesson's file and load the page again.")
        further()


def _step(run: Run, step: Step, place: Place, room: Room | None, further: Callable[[], None]) -> None:
    facts = step.facts(run, tables.facts(run))

    def say(words: str, field: str) -> str:
        return filled(words, facts, field=f"step {place.step}, {field}")

    with st.container(key="lesson-text"):
        st.markdown(say(step.text, "text"))
        if step.terms:
            st.caption("New here: " + " ".join(f"**{name}**: {glossary.TERMS[name].meaning}" for name in step.terms))
    said = _said(step, say)
    asked, answer = None, place.answer(place.step)
    if room:  # then the class answers, not the lecturer
        here = f"{place.lesson} {place.step}"
        asked = room.show(here, Asked(step.title, said.question, tuple(said.choices), step.right))
        answer = step.right if asked.revealed else None
    picture, question = _layout(step, revealed=answer is not None and step.reveal is not None)
    with question:
        with st.container(border=True, key=QUESTION):
            if room and asked and answer is None:
                classroom.watch(room, asked, partial(_predict, place, step.right))
            else:
                _question(step, place, said, answer, asked)
        text.came_into_view(QUESTION)
        further()
    with picture:
        if answer is not None and step.reveal:
            _pinned(step.reveal, run, f"reveal-{place.lesson}-{place.step}")
            st.markdown("###### Before the answer")
        _pinned(step.view, run, f"view-{place.lesson}-{place.step}")


def _layout(step: Step, *, revealed: bool) -> tuple[Part, Part]:
    """Places of picture and question: side by side; one below the other on a phone, or where the picture is wide.

    The answer stays beside the click: where one is below the other, the question comes before what it reveals.
    """
    if step.view.wide or (step.reveal is not None and step.reveal.wide):
        first, second = st.container(), st.container()
        return (second, first) if revealed else (first, second)
    with st.container(key="lesson-revealed" if revealed else "lesson-asked"):
        picture, question = st.columns([7, 5], gap="medium")
    return picture, question


def _predict(place: Place, choice: int) -> None:
    place.predict(choice)
    text.bring_into_view(QUESTION)


@dataclass(frozen=True)
class Said:
    """The words of a step with the run's numbers filled in."""

    question: str
    choices: list[str]
    explanation: str


def _said(step: Step, say: Callable[[str, str], str]) -> Said:
    return Said(
        say(step.question, "question"),
        [say(choice, "choices") for choice in step.choices],
        say(step.explanation, "explanation"),
    )


def _question(step: Step, place: Place, said: Said, answer: int | None, asked: Asked | None) -> None:
    """The question; with its choices before it is answered, and with the explanation afterwards."""
    st.markdown(f"**{said.question}**")
    if asked:
        classroom.histogram(asked)
    if answer is None:
        st.caption("Predict first; the answer comes with the explanation.")
        for number, words in enumerate(said.choices):
            key = f"predicted-{place.lesson}-{place.step}-{number}"
            st.button(words, key=key, on_click=_predict, args=(place, number), width="stretch")
        return
    for number, words in enumerate(said.choices):
        chosen = number == answer and asked is None
        st.markdown(classroom.judged(words, right=number == step.right, chosen=chosen))
    st.markdown(said.explanation)
    st.button("Ask again", on_click=_ask_again, args=(place, asked), icon=":material/undo:")


def _ask_again(place: Place, asked: Asked | None) -> None:
    place.predict(None)
    if asked:
        asked.forget()


@st.fragment
def _pinned(view: View, run: Run, place: str) -> None:
    with st.container(border=True), charts.keys_begin_with(place.partition("-")[0] + "-"):
        view.moved(f"move-{place}").draw(run)
        link(view.page, f"Open on the {PAGES[view.page].title} page (your place is kept)", **view.link(run))


def _further(place: Place, steps: int, following: str | None) -> None:
    kind = "secondary" if place.answer(place.step) is None else "primary"
    forward = ":material/arrow_forward:"
    with st.container(horizontal=True, key="lesson-further"):
        st.button(
            "Back", on_click=place.go, args=(place.step - 1,), disabled=place.step == 1, icon=":material/arrow_back:"
        )
        if place.step < steps:
            st.button("Next", on_click=place.go, args=(place.step + 1,), type=kind, icon=forward)
        elif following:
            st.button(f"Next lesson: {following}", on_click=place.open, args=(following,), type=kind, icon=forward)
        st.button("All lessons", on_click=place.open, args=(None,), icon=":material/school:")
        if place.answers.get(place.lesson or ""):
            st.button("Start this lesson over", on_click=place.start_over, icon=":material/restart_alt:")


def _run(lesson: Lesson) -> Run | None:
    """The finished run that the lesson is about."""
    return next((run for run in run_files.finished_runs() if run.name == lesson.run), None)
