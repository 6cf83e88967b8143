"""Lessons: small TOML files of pinned views, each with a question to answer before the explanation is shown.

Numbers in a lesson's words are quoted from the run, ``{{clean.accuracy:.1%}}``, from the step's view,
``{{view.standing}}``, or from the view that is revealed, ``{{reveal.standing}}``; so they are right on any run.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from certssb_core.results.summary import Fact
from certssb_core.runs.run import Run
from ui.kit.glossary import TERMS
from ui.lessons.lesson_views import PinnedView

FOLDER = Path(__file__).parents[2] / "lessons"
_WIDE = re.compile(r"\d{3,}")
_QUOTE = re.compile(r"\{\{\s*([\w.-]+)\s*(?::([^{}]*))?\}\}")


class LessonError(ValueError):
    """A lesson that cannot be shown; the message names the file and the field."""


class Step(BaseModel):
    """A pinned view and a question; after the answer an explanation, and perhaps another view above the first.

    Attributes:
        title: a few words.
        text: what to know before the question (Markdown).
        terms: names of the glossary that the course uses here for the first time; their meaning is shown.
        view: shown with the question.
        question: to predict the answer of.
        choices: two to five answers; answer: the right one, word for word.
        explanation: shown after a choice (Markdown).
        reveal: shown with the explanation, above ``view``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str = Field(min_length=1)
    text: str = Field(min_length=1)
    terms: tuple[str, ...] = ()
    view: PinnedView
    question: str = Field(min_length=1)
    choices: tuple[str, ...] = Field(min_length=2, max_length=5)
    answer: str
    explanation: str = Field(min_length=1)
    reveal: PinnedView | None = None

    @property
    def right(self) -> int:
        """Number of the right answer among the choices."""
        return self.choices.index(self.answer)

    def facts(self, run: Run, known: Mapping[str, Fact]) -> dict[str, Fact]:
        """Numbers that the step's words may quote: those ``known`` of ``run``, and those of the step's views."""
        found = dict(known)
        for prefix, view in (("view", self.view), ("reveal", self.reveal)):
            if view is not None:
                found |= {f"{prefix}.{name}": value for name, value in view.facts(run).items()}
        return found

    @model_validator(mode="after")
    def _the_answer_is_one_of_the_choices(self) -> Step:
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("choices: two of them are the same")
        if self.answer not in self.choices:
            raise ValueError(f"answer: “{self.answer}” is none of the choices, which are “{'”, “'.join(self.choices)}”")
        return self

    @field_validator("terms")
    @classmethod
    def _the_glossary_has_the_terms(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(terms) - set(TERMS):
            raise ValueError(f"the glossary does not explain {', '.join(sorted(unknown))}; it has {', '.join(TERMS)}")
        return terms


class Lesson(BaseModel):
    """A guided tour.

    Attributes:
        title: also its name in the URL.
        summary: one sentence.
        run: name of the run that the views show.
        steps: one after the other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str = Field(min_length=1, max_length=80)
    summary: str = Field(min_length=1)
    run: str = "digits"
    steps: tuple[Step, ...] = Field(min_length=1, max_length=20)


@dataclass(frozen=True)
class Course:
    """All lessons of a folder by title, in order of their file names; and what is wrong with the other files."""

    lessons: dict[str, Lesson]
    problems: tuple[str, ...]


def read(path: Path) -> Lesson:
    """One lesson.

    Raises:
        LessonError: the file cannot be read, is not TOML, or a field does not fit.
    """
    try:
        return Lesson.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        lines = [f"{path.name}, {_place(one['loc'])}: {one['msg']}" for one in error.errors()]
        raise LessonError("\n".join(lines)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise LessonError(f"{path.name} cannot be read: {error}") from None


def course(folder: Path) -> Course:
    """Every lesson that can be read; a bad file is told, and stops no other."""
    lessons: dict[str, Lesson] = {}
    problems = []
    for path in sorted(folder.glob("*.toml")):
        try:
            lesson = read(path)
        except LessonError as error:
            problems.append(str(error))
            continue
        if lesson.title in lessons:
            problems.append(f"{path.name}, title: another lesson is called “{lesson.title}” already")
        lessons.setdefault(lesson.title, lesson)
    return Course(lessons, tuple(problems))


def filled(words: str, facts: Mapping[str, Fact], *, field: str) -> str:
    """``words`` with every quoted fact in its place.

    Raises:
        LessonError: a fact is not known, or cannot be written as asked; ``field`` says where.
    """

    def fact(found: re.Match) -> str:
        name, form = found[1], found[2] or ""
        if name not in facts:
            near = [known for known in facts if known.partition(".")[0] == name.partition(".")[0]]
            known = f"; known are {', '.join(near)}" if near else ""
            raise LessonError(f"{field}: nothing is known as {name}{known}")
        if _WIDE.search(form):
            raise LessonError(f"{field}: {name} cannot be written {form!r}: no more than 99 places")
        try:
            return format(facts[name], form)
        except ValueError:
            raise LessonError(f"{field}: {name} is {facts[name]!r} and cannot be written as {form!r}") from None

    # σ* twice in a paragraph would be Markdown's emphasis.
    return _QUOTE.sub(fact, words).replace("σ*", "σ&ast;")


def _place(location: tuple[str | int, ...]) -> str:
    """``("steps", 1, "answer")`` → ``step 2, answer``."""
    parts = [str(part + 1) if isinstance(part, int) else part for part in location]
    return ", ".join(parts).replace("steps, ", "step ") or "the file"
