"""Handouts: one file, no network, questions before answers, text that stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from certssb_core.runs.run import Run
from ui.lessons.handout import handout
from ui.lessons.lesson_files import FOLDER, course, read

RUN = Run(Path(__file__).parents[3] / "checkpoints" / "digits")
LESSONS = course(FOLDER).lessons


class Reader(HTMLParser):
    """Collects what a browser would fetch, and the text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text = ""
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        if not self.tags or self.tags[-1] not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag):
        self.tags.append("/" + tag)


@pytest.mark.parametrize("title", LESSONS)
def test_a_lesson_is_one_file_with_all_its_pictures(title):
    lesson = LESSONS[title]
    page = handout(lesson, RUN)
    seen = Reader(page)
    assert all(one.startswith("data:image/png;base64,") for one in seen.fetched)
    assert "@import" not in page.split("<script>")[0]
    assert "{{" not in seen.text
    questions, answers = page.split('<section class="answers">')
    for part, views in (
        (questions, [step.view for step in lesson.steps]),
        (answers, [step.reveal for step in lesson.steps if step.reveal]),
    ):
        drawn = part.split('<div class="view">')[1:]
        assert len(drawn) == len(views)
        for view, written in zip(views, drawn, strict=True):
            words_alone = view.show == "promises"
            assert words_alone or "Plotly.newPlot" in written or "data:image/png" in written, view
    for step in lesson.steps:
        opening = re.split(r"[*{]", step.explanation.strip())[0]
        assert len(opening) < 15 or opening not in questions
    assert "Condition." in answers


def test_the_same_lesson_gives_the_same_file():
    lesson = LESSONS["What a backdoor is"]
    assert handout(lesson, RUN) == handout(lesson, RUN)


def test_text_of_a_lesson_is_text(tmp_path):
    source = (FOLDER / "1-backdoor.toml").read_text(encoding="utf-8")
    nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    for old in ("Somebody else collected", "A handful of altered", "One in twenty", "An inspector who"):
        assert old in source
        source = source.replace(old, nasty + old)
    path = tmp_path / "1-nasty.toml"
    path.write_text(source.replace('title = "Four brighter', f'title = "{nasty}Four brighter'), encoding="utf-8")
    page = handout(read(path), RUN)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
