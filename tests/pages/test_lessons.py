import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import made_up_reply
from ui.lessons import lesson_files

ROOT = Path(__file__).parents[2]
REPLY = made_up_reply(3, (0, 0, 0, 200, 0, 0, 0, 0, 0, 0), undefended=0)
"""Made up: lessons are tested here, and members elsewhere."""
COURSE = lesson_files.course(lesson_files.FOLDER)


@pytest.fixture
def shipped(runs_dir):
    shutil.copytree(ROOT / "checkpoints" / "digits", runs_dir / "digits")


@pytest.fixture
def page(monkeypatch):
    """Through the router: links to pages need it."""
    monkeypatch.setattr("ui.kit.run_files.machine", lambda: [{"name": "left out: asking takes seconds"}])
    monkeypatch.setattr("ui.query.answers.ask", lambda run, image: REPLY)
    monkeypatch.setattr("ui.query.answers.prepare", lambda run: None)
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180)
    app.run()
    return app.switch_page("pages/lessons.py")


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def press(page, label):
    next(button for button in page.button if button.label == label).click().run()


def test_an_overview_of_five_lessons(page, shipped):
    page.run()
    assert not page.exception
    for lesson in COURSE.lessons.values():
        assert lesson.summary in texts(page)
    page.button(key="begin-Why noise helps").click().run()
    assert page.selectbox(key="lesson").value == "Why noise helps"
    assert page.title[0].value == "1. Larger than the trigger"


@pytest.mark.parametrize("title", COURSE.lessons)
def test_every_step_asks_first_and_then_tells(page, shipped, title):
    page.query_params["lesson"] = title
    page.run()
    for number, step in enumerate(COURSE.lessons[title].steps, start=1):
        assert page.title[0].value == f"{number}. {step.title}"
        assert "your prediction" not in texts(page)
        page.button(key=f"predicted-{title}-{number}-0").click().run()
        assert not page.exception
        assert not page.error
        assert "your prediction" in texts(page)
        assert ("Before the answer" in texts(page)) == (step.reveal is not None)
        opening = step.explanation.split("{{")[0].strip().splitlines()
        assert not opening or opening[0].replace("σ*", "σ&ast;") in texts(page)
        judged = [line for line in texts(page).splitlines() if ":green[:material/check_circle:]" in line]
        assert len(judged) == 1
        press(page, "Ask again")
        assert "your prediction" not in texts(page)
        if number < len(COURSE.lessons[title].steps):
            press(page, "Next")


def test_from_step_to_step_and_on_to_the_next_lesson(page, shipped):
    page.query_params |= {"lesson": "What a backdoor is", "step": "3"}
    page.run()
    press(page, "Next")
    assert page.title[0].value == "4. With the trigger it obeys"
    assert page.query_params["step"] == "4"
    press(page, "Next lesson: Why noise helps")
    assert not page.exception
    assert page.selectbox(key="lesson").value == "Why noise helps"
    assert page.title[0].value == "1. Larger than the trigger"


def test_a_link_holds_place_and_answers_and_marks_say_which_were_right(page, shipped):
    page.query_params["lesson"] = "What a backdoor is"
    page.run()
    press(page, "One in twenty")
    press(page, "Next")
    press(page, "1 on every image")
    link = {key: page.query_params[key] for key in ("lesson", "step", "answers")}
    assert link == {"lesson": "What a backdoor is", "step": "2", "answers": "aa--"}
    assert [page.button(key=f"step-{number}").icon for number in (1, 2, 3)] == [
        ":material/check:",
        ":material/close:",
        "",
    ]
    press(page, "Start this lesson over")
    assert page.title[0].value == "1. Four brighter pixels"
    assert "answers" not in page.query_params
    again = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/lessons.py")
    again.query_params |= link
    again.run()
    assert again.title[0].value == "2. How large the change is"
    assert "1 on every image** — your prediction" not in texts(again)
    assert "1 on every image — your prediction" in texts(again)
    press(again, "All lessons")
    assert "lesson" not in again.query_params
    assert any(part.value == "2 of 4 questions answered" for part in again.caption)
    again.button(key="begin-What a backdoor is").click().run()
    assert again.title[0].value == "3. On clean images nothing is amiss"


@pytest.mark.parametrize("answers", ["z---", "abcdefgh", "é\u2028", "-" * 5000, "<b>"])
def test_answers_that_fit_no_choice_are_left_out(page, shipped, answers):
    page.query_params |= {"lesson": "What a backdoor is", "answers": answers}
    page.run()
    assert not page.exception
    assert not page.error


def test_presenting_is_kept_from_page_to_page(page, shipped):
    page.query_params |= {"lesson": "What a backdoor is", "present": "1"}
    page.run()
    assert not [button for button in page.button if button.label == "Present"]
    press(page, "Next")
    assert page.query_params["present"] == "1"
    page.switch_page("pages/poison.py").run()
    assert page.query_params["present"] == "1"
    press(page, "Leave")
    assert "present" not in page.query_params
    assert [button for button in page.button if button.label == "Present"]


@pytest.mark.parametrize(
    ("key", "value"), [("lesson", "Nonsense"), ("step", "99"), ("step", "x"), ("step", "٣"), ("step", "0")]
)
def test_nonsense_in_the_url_is_not_believed(page, shipped, key, value):
    page.query_params |= {"lesson": "What a backdoor is"} | {key: value}
    page.run()
    assert not page.exception
    assert not page.error


def test_without_the_run_it_says_which(page, runs_dir):
    page.query_params["lesson"] = "What a backdoor is"
    page.run()
    assert not page.exception
    assert "about the run **digits**" in page.info[0].value


def test_a_bad_file_is_told_and_the_others_work(page, shipped, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("lessons")
    good = (lesson_files.FOLDER / "1-backdoor.toml").read_text()
    (folder / "1-good.toml").write_text(good)
    (folder / "2-bad.toml").write_text(good.replace('title = "Four', 'headline = "Four'))
    (folder / "3-unknown.toml").write_text(
        good.replace("What a backdoor is", "Mine").replace("{{attack.target}}", "{{attack.aim}}")
    )
    monkeypatch.setattr(lesson_files, "FOLDER", folder)
    page.run()
    assert not page.exception
    assert "bad.toml, step 1, title:\u2060 Field required" in page.error[0].value
    page.button(key="begin-Mine").click().run()
    assert not page.exception
    assert "step 1, text:\u2060 nothing is known as attack.aim" in page.error[0].value
    page.selectbox(key="lesson").set_value("What a backdoor is").run()
    assert page.title[0].value == "1. Four brighter pixels"


def test_place_and_prediction_are_kept_while_the_reader_looks_at_another_page(page, shipped):
    page.run()
    page.button(key="begin-Why noise helps").click().run()
    press(page, "Next")
    press(page, "On fewer than 5 %")
    page.switch_page("pages/poison.py").run()
    page.switch_page("pages/lessons.py").run()
    assert not page.exception
    assert page.selectbox(key="lesson").value == "Why noise helps"
    assert page.title[0].value == "2. Many copies, one vote"
    assert "your prediction" in texts(page)
