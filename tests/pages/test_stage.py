"""The live stage on Home: who answers what as the trigger grows; the replies are made up here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.errors import RunError
from certssb_core.query.edit_image import triggered
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from tests.pages.conftest import made_up_reply
from ui.query import stage

APP = str(Path(__file__).parents[2] / "app.py")
SHIPPED = Path(__file__).parents[2] / "checkpoints"


@pytest.fixture
def asked(monkeypatch) -> list[np.ndarray]:
    """The images asked about; the undefended network answers 0 and the ensemble 1."""
    images: list[np.ndarray] = []

    def ask(run, image):
        images.append(image)
        return made_up_reply(1, (0, 200) + (0,) * 8, answered_by="store", radius=0.25, ball=7, undefended=0)

    monkeypatch.setenv("CERTSSB_RUNS", str(SHIPPED))
    monkeypatch.setattr("ui.kit.run_files.machine", lambda: [{"name": "cpu", "present": True, "message": "2 cores"}])
    monkeypatch.setattr("ui.query.answers.ask", ask)
    monkeypatch.setattr("ui.query.answers.prepare", lambda run: None)
    return images


def home(**query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=180)
    app.query_params |= {"stage-image": "1"} | query
    app.run()
    assert not app.exception
    return app


def metrics(app) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def words(app) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.info))


def test_it_shows_both_answers_the_radius_and_the_ball(asked):
    shown = metrics(home())
    assert (shown["Undefended network"], shown["Defended answer"]) == ("0", "1")
    assert (shown["Certified radius"], shown["Store"]) == ("0.250", "ball 7")


def test_the_truth_stands_beside_both_answers(asked):
    """Test image 1 of the digits is a 1, image 0 a 5: there the ensemble's certified answer is wrong."""
    assert ":green-badge" in words(home())
    wrong = words(home(**{"stage-image": "0"}))
    assert "true class **5**" in wrong
    assert "certified, but wrong" in wrong


def test_the_slider_sets_the_trigger_of_the_run(asked):
    app = home()
    app.slider(key="stage-strength").set_value(1.5).run()
    assert not app.exception
    config = Run(SHIPPED / "digits").config
    image = load_inputs(config).dataset.test_images[1]
    np.testing.assert_array_equal(asked[-1], triggered(image, config.attack, "four-pixel", 1.5))
    assert "Moved by **" in words(app)


def test_it_opens_on_an_image_that_misleads_the_undefended_network_only():
    run = Run(SHIPPED / "digits")
    index, table, recorded = stage.telling(run), run.certificates(), run.arrays("undefended")
    assert recorded["triggered"][index] == run.config.attack.target != recorded["clean"][index]
    rows = table[table["index"] == index]
    assert (rows["prediction"] == rows["label"]).all()


@pytest.mark.parametrize(("key", "value"), [("stage-image", "9999"), ("stage-image", "x"), ("stage-strength", "99")])
def test_nonsense_in_the_url_is_not_believed(asked, key, value):
    assert metrics(home(**{key: value}))["Defended answer"] == "1"


def test_a_process_that_fails_is_told_and_the_page_goes_on(asked, monkeypatch):
    def refuse(run, image):
        raise RunError("the members gave no answer within 60 s")

    monkeypatch.setattr("ui.query.answers.ask", refuse)
    app = home()
    assert "gave no answer" in app.error[0].value
    assert any(part.value == "Datasets" for part in app.subheader)
