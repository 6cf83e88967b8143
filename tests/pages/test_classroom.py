"""A lecturer and students, each in a session of their own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
LESSON = "What a backdoor is"


@pytest.fixture
def shipped(runs_dir):
    shutil.copytree(ROOT / "checkpoints" / "digits", runs_dir / "digits")


def reader(monkeypatch, **query: str) -> AppTest:
    """A session that opens Lessons by a link, through the router."""
    monkeypatch.setattr("ui.kit.run_files.machine", lambda: [{"name": "left out: asking takes seconds"}])
    page = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/lessons.py")
    page.query_params |= query
    page.run()
    assert not page.exception
    assert not page.error
    return page


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def said(page: AppTest) -> str:
    return "\n".join(part.value for part in (*page.markdown, *page.caption, *page.info, *page.success))


def code_of(lecturer: AppTest) -> str:
    """The code in the address that the lecturer's page shows."""
    return re.search(r"room=(\w+)", said(lecturer).replace("\\", ""))[1]


def test_students_predict_the_lecturer_watches_and_reveals(monkeypatch, shipped):
    lecturer = reader(monkeypatch, lesson=LESSON)
    press(lecturer, "Open a room")
    code = code_of(lecturer)
    students = [reader(monkeypatch, room=code.lower()) for _ in range(2)]
    assert all("Four brighter pixels" in said(student) for student in students)
    assert not [button for student in students for button in student.button if button.label in ("Next", "Open a room")]
    press(students[0], "One in twenty")
    press(students[1], "Every second one")
    assert "Your prediction is counted" in said(students[0])
    assert not [button for button in students[0].button if button.label == "Every second one"]
    assert "your prediction" not in said(students[0])
    lecturer.run()
    assert "Predictions: **2** · students: **2**" in said(lecturer)
    assert "An inspector" not in said(lecturer)
    press(lecturer, "Reveal the answer")
    assert "An inspector" in said(lecturer)
    students[1].run()
    assert ":green[:material/check_circle:] **One in twenty**" in said(students[1])
    assert ":red[:material/cancel:] Every second one — your prediction" in said(students[1])
    press(lecturer, "Next")
    students[0].run()
    assert "How large the change is" in said(students[0])
    press(lecturer, "Back")
    assert "An inspector" in said(lecturer), "what was revealed stays so"
    press(lecturer, "Ask again")
    students[1].run()
    press(students[1], "One in twenty")
    lecturer.run()
    assert "Predictions: **1** · students: **2**" in said(lecturer)
    press(lecturer, "Close the room")
    assert not [button for button in lecturer.button if button.label == "Reveal the answer"]
    students[0].run()
    assert "This room is closed" in said(students[0])


def test_no_link_and_no_page_holds_the_key_and_a_wrong_key_leads_no_room(monkeypatch, shipped):
    lecturer = reader(monkeypatch, lesson=LESSON)
    press(lecturer, "Open a room")
    code, key = lecturer.session_state["room"]
    assert key not in said(lecturer)
    assert not {"room", "key"} & set(lecturer.query_params)
    for tried, leads in ((key, True), ("", False), ("x", False), ("é", False), (key[:-1], False)):
        other = reader(monkeypatch, lesson=LESSON)
        other.session_state["room"] = code, tried
        other.run()
        assert bool([button for button in other.button if button.label == "Reveal the answer"]) == leads
    guest = reader(monkeypatch, lesson=LESSON, room=code, key=key)
    assert not [button for button in guest.button if button.label == "Reveal the answer"], "links lead no room"
    assert "Four brighter pixels" in said(guest)


def test_a_reload_keeps_the_seat(monkeypatch, shipped):
    lecturer = reader(monkeypatch, lesson=LESSON)
    press(lecturer, "Open a room")
    room = code_of(lecturer)
    student = reader(monkeypatch, room=room)
    press(student, "One in twenty")
    again = reader(monkeypatch, room=room, seat=student.query_params["seat"])
    assert "Your prediction is counted" in said(again)
    lecturer.run()
    assert "Predictions: **1** · students: **1**" in said(lecturer)


@pytest.mark.parametrize("code", ["", "NOSUCH", "a" * 5000, "<b>é\u2028"])
def test_a_room_that_is_not_there(monkeypatch, shipped, code):
    assert "This room is closed" in said(reader(monkeypatch, room=code))


def test_a_read_only_server_has_rooms_too(monkeypatch, shipped):
    monkeypatch.setenv("CERTSSB_READ_ONLY", "1")
    lecturer = reader(monkeypatch, lesson=LESSON)
    press(lecturer, "Open a room")
    student = reader(monkeypatch, room=code_of(lecturer))
    press(student, "One in twenty")
    lecturer.run()
    assert "Predictions: **1** · students: **1**" in said(lecturer)
