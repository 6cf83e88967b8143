"""Lessons: guided tours of pinned views, each with a question to predict before the answer is shown."""

import streamlit as st

from ui.kit import text
from ui.lessons import classroom, lesson, lesson_files, place

if "room" in st.query_params:
    text.begin("lessons")
    classroom.join(st.query_params["room"])
    st.stop()

room = classroom.lectured()
course = lesson_files.course(lesson_files.FOLDER)
here = place.current(course.lessons)
if here.lesson is None:
    text.page_header("lessons", sources=["2504.21730", "2003.08904", "1902.02918"])
    lesson.overview(course, here)
else:
    text.begin("lessons")
    lesson.head(course, here, room)
    lesson.show(course, here, room)
place.write_link(here, course.lessons)
for problem in course.problems:
    text.failed("A lesson cannot be shown.  \n" + problem.replace("\n", "  \n"), "The other lessons are not affected.")
if not course.lessons and not course.problems:
    text.empty("There is no lesson: the folder lessons/ holds no TOML file.")
classroom.keep(room)
