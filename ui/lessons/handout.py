"""A lesson as one HTML file for paper or screen: questions first, answers at the end, no network needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markdown_it import MarkdownIt
from plotly.offline import get_plotlyjs

from certssb_core.results import certification
from certssb_core.runs.run import Run
from certssb_core.version import VERSION
from ui.kit import charts, glossary, tables
from ui.lessons.lesson_files import Lesson, Step, filled
from ui.lessons.view import View

TEMPLATE = Path(__file__).with_name("handout.html.jinja")
WIDTH = 690
INK = "#1d2733"
_MARKDOWN = MarkdownIt("commonmark", {"html": False})
"""Text from a lesson's file stays text: HTML in it is written out."""


def handout(lesson: Lesson, run: Run) -> str:
    """The HTML of ``lesson`` with the views and numbers of ``run``; the same inputs give the same file.

    Raises:
        LessonError: a number that the lesson quotes is not known.
        DataError: a picture needs a data set that is not here.
    """
    with ThreadPoolExecutor(1) as apart:  # no page is drawn from another thread
        return apart.submit(_handout, lesson, run).result()


def _handout(lesson: Lesson, run: Run) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        lesson=lesson,
        run=run,
        version=VERSION,
        plotly=get_plotlyjs(),
        steps=[_step(step, number, run) for number, step in enumerate(lesson.steps, start=1)],
        promise=certification.promise(run.config, run.config.noise.test_map),
    )


def _step(step: Step, number: int, run: Run) -> dict[str, Any]:
    facts = step.facts(run, tables.facts(run))

    def say(words: str) -> str:
        return _MARKDOWN.render(filled(words, facts, field=f"step {number}"))

    return {
        "title": step.title,
        "text": say(step.text),
        "terms": [(name, glossary.TERMS[name].meaning) for name in step.terms],
        "view": _drawn(step.view, run, f"view-{number}"),
        "question": say(step.question),
        "choices": [_MARKDOWN.renderInline(filled(one, facts, field=f"step {number}")) for one in step.choices],
        "right": step.right,
        "explanation": say(step.explanation),
        "reveal": _drawn(step.reveal, run, f"reveal-{number}") if step.reveal else [],
    }


def _drawn(view: View, run: Run, place: str) -> list[str]:
    """The pieces of a view as HTML."""
    with charts.recorded() as pieces:
        view.draw(run)
    return [_piece(piece, f"{place}-{number}") for number, piece in enumerate(pieces)]


def _piece(piece: charts.Piece, place: str) -> str:
    written = piece.html
    if piece.figure is not None:
        figure = go.Figure(piece.figure)  # the page's own may be shared between readers
        figure.update_layout(width=WIDTH, font_color=INK, autosize=False)
        written = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=place,  # plotly would make up a random one
            auto_play=False,
            config={"displayModeBar": False},
        )
    return written + (_MARKDOWN.render(piece.words) if piece.words else "")
