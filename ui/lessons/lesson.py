"""One lesson on the page: its steps, the question of each, and after the answer the explanation."""

from __future__ import annotations

import streamlit as st

from certssb_core.runs.run import Run
from ui.kit import controls, run_files, tables, text
from ui.kit.pages import PAGES, link
from ui.lessons.lesson_files import Course, Lesson, LessonError, Step, filled
from ui.lessons.lesson_views import View


def overview(course: Course) -> None:
    """A card per lesson."""
    lessons = list(course.lessons.values())
    for start in range(0, len(lessons), 3):
        for column, lesson in zip(st.columns(3), lessons[start : start + 3], strict=False):
            with column.container(border=True, height="stretch"):
                st.markdown(f"##### {lesson.title}")
                st.markdown(lesson.summary)
                st.caption(f"{len(lesson.steps)} questions")
                st.button(
                    "Begin",
                    key=f"begin-{lesson.title}",
                    on_click=_open,
                    args=(lesson.title,),
                    icon=":material/school:",
                )


def remember(title: str) -> None:
    """Keep the place in the course, for a reader who looks at another page and comes back."""
    st.session_state["place-in-course"] = title, st.session_state.get("step") or st.query_params.get("step", "1")


def go_on(titles: list[str]) -> None:
    """Open the lesson and the step that the reader left; before the controls of the page are drawn."""
    title, step = st.session_state.get("place-in-course", (None, "1"))
    if title in titles:
        st.session_state["lesson"], st.session_state["step"] = title, step


def show(lesson: Lesson, following: str | None) -> None:
    """The step that the URL names; ``following`` is the title of the next lesson."""
    run = _run(lesson)
    if run is None:
        return
    numbers = {str(number): str(number) for number in range(1, len(lesson.steps) + 1)}
    number = int(controls.choose("Step", numbers, "1", key="step"))
    step = lesson.steps[number - 1]
    st.subheader(f"{number}. {step.title}", anchor=False)
    key = f"predicted-{lesson.title}-{number}"
    predicted = st.session_state.get(key)
    predicted = predicted if predicted in step.choices else None
    try:
        _step(run, step, number, predicted=predicted, key=key)
    except LessonError as error:
        text.failed(str(error), "Mend the lesson's file and load the page again.")
    _further(len(lesson.steps), number, following, answered=predicted is not None)


def _step(run: Run, step: Step, number: int, *, predicted: str | None, key: str) -> None:
    facts = tables.facts(run) | _of("view", step.view, run)
    if step.reveal:
        facts |= _of("reveal", step.reveal, run)

    def say(words: str, field: str) -> str:
        return filled(words, facts, field=f"step {number}, {field}")

    st.markdown(say(step.text, "text"))
    if predicted is None:
        _pinned(step.view, run)
    with st.container(border=True):
        st.markdown(f"**{say(step.question, 'question')}**")
        choices = {choice: say(choice, "choices") for choice in step.choices}
        if predicted is None:
            st.caption("Predict first; the answer comes with the explanation.")
            for place, (choice, words) in enumerate(choices.items()):
                st.button(words, key=f"{key}-{place}", on_click=_predict, args=(key, choice), width="stretch")
            return
        for choice, words in choices.items():
            st.markdown(_judged(words, right=choice == step.answer, chosen=choice == predicted))
        st.markdown(say(step.explanation, "explanation"))
        st.button("Ask again", key=f"{key}-again", on_click=_predict, args=(key, None), icon=":material/undo:")
    _pinned(step.reveal or step.view, run)


def _pinned(view: View, run: Run) -> None:
    with st.container(border=True):
        view.draw(run)
        link(view.page, f"Open this view on {PAGES[view.page].title}", **view.link(run))


def _judged(words: str, *, right: bool, chosen: bool) -> str:
    mark = ":green[:material/check_circle:]" if right else ":material/radio_button_unchecked:"
    if chosen and not right:
        mark = ":red[:material/cancel:]"
    said = " — your prediction" if chosen else ""
    return f"{mark} **{words}**{said}" if right else f"{mark} {words}{said}"


def _further(steps: int, number: int, following: str | None, *, answered: bool) -> None:
    with st.container(horizontal=True):
        st.button("Back", on_click=_go, args=(number - 1,), disabled=number == 1, icon=":material/arrow_back:")
        kind = "primary" if answered else "secondary"
        if number < steps:
            st.button("Next", on_click=_go, args=(number + 1,), type=kind, icon=":material/arrow_forward:")
        elif following:
            st.button(
                f"Next lesson: {following}", on_click=_open, args=(following,), type=kind, icon=":material/school:"
            )
        else:
            st.button("All lessons", on_click=_open, args=(None,), type=kind, icon=":material/school:")


def _run(lesson: Lesson) -> Run | None:
    """The finished run that the lesson is about."""
    run = next((run for run in run_files.finished_runs() if run.name == lesson.run), None)
    if run is None:
        text.empty(f"This lesson is about the run **{lesson.run}**, and there is no finished run of that name.")
    return run


def _of(prefix: str, view: View, run: Run) -> dict:
    return {f"{prefix}.{name}": value for name, value in view.facts(run).items()}


def _predict(key: str, choice: str | None) -> None:
    st.session_state[key] = choice


def _go(number: int) -> None:
    st.session_state["step"] = str(number)


def _open(title: str | None) -> None:
    st.session_state.pop("place-in-course", None)
    st.session_state["lesson"], st.session_state["step"] = title, "1"
