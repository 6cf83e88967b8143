"""Query: the picked image, what is done to it, and what the run answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.data.triggers import apply_trigger
from certssb_core.errors import RunError
from certssb_core.runs.inputs import load_inputs, trigger_settings
from tests.pages.conftest import made_up_reply, ordinary

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return AppTest.from_file(ROOT / "pages" / "query.py", default_timeout=180)


@pytest.fixture
def asked(monkeypatch) -> list[np.ndarray]:
    """The images that the run was asked about; 38 of 40 members answer 1, in place of a query process."""
    images: list[np.ndarray] = []

    def ask(run, image):
        images.append(image)
        return made_up_reply(1, (1, 38, 1))

    monkeypatch.setattr("ui.query.answers.ask", ask)
    monkeypatch.setattr("ui.query.answers.unable", lambda run: "")
    return images


def texts(page) -> str:
    return "\n".join(element.value for element in (*page.markdown, *page.info, *page.caption))


def test_the_picked_image_is_asked_about_as_it_is(page, finished_run, asked):
    page.query_params["index"] = "7"
    page.run()
    assert not page.exception
    image = load_inputs(finished_run.config).dataset.test_images[7]
    assert all((one == image).all() for one in asked)
    assert [metric.value for metric in page.metric][:2] == ["1", "0.500"]
    assert "**38** of 40 members vote **1**" in texts(page)
    assert "Moved by" not in texts(page)
    assert "a condition" in texts(page)


def test_a_trigger_moves_it_and_the_distance_stands_beside_the_radius(page, finished_run, asked):
    page.query_params["index"] = "0"
    page.run()
    page.selectbox(key="apply").select("one-pixel").run()
    page.slider(key="strength").set_value(0.4).run()
    assert not page.exception
    settings = trigger_settings(finished_run.config.attack) | {"trigger": "one-pixel", "norm": 0.4}
    clean = load_inputs(finished_run.config).dataset.test_images[:1]
    expected = apply_trigger(clean, **settings)[0]
    assert (asked[-1] == expected).all()
    moved = np.linalg.norm((expected - clean[0]).ravel())
    assert f"Moved by **{moved:.2f} of 0.50** certified" in texts(page)


def test_a_link_is_a_view(page, finished_run, asked):
    page.query_params.update({"source": "Triggered test image", "index": "3", "apply": "Corner patch", "strength": "1"})
    page.run()
    assert not page.exception
    settings = trigger_settings(finished_run.config.attack) | {"trigger": "patch", "patch_value": 1.0}
    picked = load_inputs(finished_run.config).triggered[3]
    assert (asked[-1] == apply_trigger(picked[None], **settings)[0]).all()


@pytest.mark.parametrize(("key", "value"), [("source", "x"), ("index", "999"), ("apply", "x"), ("strength", "-5")])
def test_nonsense_in_the_url_is_not_believed(page, finished_run, asked, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert (asked[0] == load_inputs(finished_run.config).dataset.test_images[ordinary(finished_run)]).all()


def test_the_nearest_ball_of_a_stored_image_is_its_own(page, finished_run, asked):
    page.query_params["index"] = "0"
    page.run()
    table = page.dataframe[-1].value
    assert table["input"].iloc[0] == "clean 0"
    assert table["distance"].iloc[0] == 0
    assert table["picture"].str.startswith("data:image/png").all()


def test_an_upload_is_waited_for_and_a_drawing_starts_black(page, finished_run, asked):
    page.run()
    page.button_group(key="source").set_value("upload").run()
    assert "Upload a picture" in texts(page)
    before = len(asked)
    page.button_group(key="source").set_value("draw").run()
    assert not page.exception
    assert len(asked) > before
    assert not asked[-1].any()


def test_what_was_uploaded_and_is_no_image_is_said(finished_run, asked):
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/query.py").run()
    app.button_group(key="source").set_value("upload").run()
    app.file_uploader(key="upload").set_value(("evil.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "image/png")).run()
    assert not app.exception
    assert "is not an image" in app.error[0].value
    assert not any("evil" in element.value for element in app.error)


def test_a_run_that_cannot_answer_says_why(finished_run, monkeypatch):
    def refuse(run, image):
        raise RunError("the members gave no answer within 60 s")

    monkeypatch.setattr("ui.query.answers.ask", refuse)
    monkeypatch.setattr("ui.query.answers.unable", lambda run: "")
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/query.py").run()
    assert not app.exception
    assert "gave no answer" in app.error[0].value


def test_where_nobody_can_vote_the_store_still_answers(page, finished_run):
    page.query_params["index"] = "0"
    page.run()
    assert not page.exception
    assert "nobody can vote" in texts(page)
    assert "The image lies in the ball of **clean 0**" in texts(page)


def test_empty_without_runs(runs_dir):
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/query.py").run()
    assert not app.exception
    assert "no finished run yet" in app.info[0].value


def test_a_run_without_balls_is_asked_too_and_shows_no_store(page, runs_dir, monkeypatch):
    reply = made_up_reply(1, (2, 38), sigma=0.0)
    monkeypatch.setattr("ui.query.answers.ask", lambda run, image: reply)
    shutil.copytree(ROOT / "checkpoints" / "subset-digits-01", runs_dir / "subset-digits-01")
    page.run()
    assert not page.exception
    assert page.selectbox(key="run").value == "subset-digits-01"
    assert "11 images replaced" in {metric.delta for metric in page.metric}
    assert not any("nearest balls" in part.value for part in page.subheader)
