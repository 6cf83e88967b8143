"""A lecturer and two students, each in a browser of their own: a prediction appears by itself, then the reveal."""

import re

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from tests.browser.journey import assert_no_error, at_rest, button, session, visit

pytestmark = pytest.mark.browser


@pytest.fixture
def first_student(browser, server):
    yield from session(browser, server)


@pytest.fixture
def second_student(browser, server):
    yield from session(browser, server)


@pytest.mark.slow
def test_two_students_and_a_lecturer(page, first_student, second_student):
    visit(page, "/lessons?lesson=What+a+backdoor+is")
    page.get_by_role("button", name="Teach", exact=True).click()
    page.get_by_role("button", name="Open a room").click()
    invitation = page.get_by_text(re.compile(r"/lessons\?room=\w+"))
    expect(invitation).to_be_visible()
    room = re.search(r"room=(\w+)", invitation.inner_text())[1]
    assert "room" not in page.url, "the class sees the address bar"
    students = (first_student, second_student)
    for student in students:
        student.goto(f"/lessons?room={room}")
        expect(button(student, "One in twenty")).to_be_visible()
    expect(page.get_by_text("Predictions: 0 · students: 2")).to_be_visible()
    button(first_student, "One in twenty").click()
    button(second_student, "Every second one").click()
    for student in students:
        expect(student.get_by_text("Your prediction is counted")).to_be_visible()
    expect(page.get_by_text("Predictions: 2 · students: 2")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Predictions: 2 · students: 2")).to_be_visible()
    assert "room" not in page.url
    at_rest(page)
    button(page, "Reveal the answer").click()
    expect(page.get_by_text("An inspector who looks")).to_be_visible()
    for student in students:
        expect(student.get_by_text(re.compile("your prediction"))).to_be_visible()
        assert_no_error(student)
    at_rest(page)
    page.get_by_role("button", name="Next").click()
    for student in students:
        expect(student.get_by_text("How large the change is")).to_be_visible()
    assert_no_error(page)
