"""The reader's place in the course: lesson, step and answers. The session keeps them, and the link carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from ui.lessons.lesson_files import Lesson

KEYS = ("lesson", "step", "answers")
OPEN = "-"
"""Stands in the link for a step that is not answered yet."""


@dataclass
class Place:
    """The place of one reader.

    Attributes:
        lesson: title of the open lesson; None in the overview.
        step: from 1.
        answers: ``{lesson: {step: number of the choice}}``.
    """

    lesson: str | None = None
    step: int = 1
    answers: dict[str, dict[int, int]] = field(default_factory=dict)

    def answer(self, step: int) -> int | None:
        """Number of the choice that was made in ``step`` of the open lesson."""
        return self.answers.get(self.lesson or "", {}).get(step)

    def predict(self, choice: int | None) -> None:
        """Answer the open step; None takes the answer back."""
        given = self.answers.setdefault(self.lesson or "", {})
        given.pop(self.step, None)
        if choice is not None:
            given[self.step] = choice

    def go(self, step: int) -> None:
        self.step = step

    def open(self, lesson: str | None) -> None:
        """Open a lesson at its first step that is not answered, or the overview."""
        self.lesson = lesson
        given = self.answers.get(lesson or "", {})
        self.step = next(step for step in range(1, len(given) + 2) if step not in given)

    def start_over(self) -> None:
        """Forget the answers of the open lesson."""
        self.answers.pop(self.lesson or "", None)
        self.step = 1


def current(lessons: Mapping[str, Lesson]) -> Place:
    """The place of this session, or that of a link that the reader has opened since."""
    place = st.session_state.setdefault("place-in-course", Place())
    asked = tuple(st.query_params.get(key) for key in KEYS)
    title, step, answers = asked
    if title in lessons and asked != st.session_state.get("link-of-place"):
        place.lesson, place.step = title, int(step) if step and step.isdecimal() and len(step) < 3 else 1
        if answers:
            place.answers[title] = _read(answers, lessons[title])
    if place.lesson not in lessons:
        place.lesson = None
    elif not 1 <= place.step <= len(lessons[place.lesson].steps):
        place.step = 1
    return place


def write_link(place: Place, lessons: Mapping[str, Lesson]) -> None:
    """Put the place into the link."""
    written = (place.lesson, None, None)
    if place.lesson:
        steps = range(1, len(lessons[place.lesson].steps) + 1)
        letters = [place.answer(step) for step in steps]
        answers = "".join(OPEN if choice is None else chr(ord("a") + choice) for choice in letters)
        written = (place.lesson, str(place.step), answers if answers.strip(OPEN) else None)
    st.session_state["link-of-place"] = written
    for key, value in zip(KEYS, written, strict=True):
        if value is None:
            st.query_params.pop(key, None)
        elif st.query_params.get(key) != value:
            st.query_params[key] = value


def _read(answers: str, lesson: Lesson) -> dict[int, int]:
    """The answers of a link, but those that fit no choice."""
    given = ((number, ord(letter) - ord("a")) for number, letter in enumerate(answers, start=1))
    counts = {number: len(step.choices) for number, step in enumerate(lesson.steps, start=1)}
    return {number: choice for number, choice in given if 0 <= choice < counts.get(number, 0)}
