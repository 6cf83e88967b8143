"""Lessons: guided tours of pinned views, each with a question to predict before the answer is shown."""

import streamlit as st

from ui.kit import text
from ui.lessons import lesson, lesson_files

text.page_header(
    "lessons",
    sources=["2504.21730", "2003.08904", "1902.02918"],
)
course = lesson_files.course(lesson_files.FOLDER)
titles = list(course.lessons)
if text.arrived() and "lesson" not in st.query_params:
    lesson.go_on(titles)
chosen = st.selectbox(
    "Lesson",
    titles,
    index=None,
    key="lesson",
    bind="query-params",
    placeholder="choose one",
    on_change=lambda: st.session_state.update(step="1"),
)
if chosen is None:
    lesson.overview(course)
else:
    lesson.remember(chosen)
    following = titles[titles.index(chosen) + 1 :]
    lesson.show(course.lessons[chosen], following[0] if following else None)
for problem in course.problems:
    text.failed("A lesson cannot be shown.  \n" + problem.replace("\n", "  \n"), "The other lessons are not affected.")
if not titles and not course.problems:
    text.empty("There is no lesson: the folder lessons/ holds no TOML file.")
