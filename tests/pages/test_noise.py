from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.data.datasets import DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return AppTest.from_file(ROOT / "pages" / "noise.py", default_timeout=30)


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def test_opens_on_a_finished_run(page, finished_run):
    page.run()
    assert not page.exception
    assert page.title[0].value == "Noise σ*"
    assert "**clean test image 0**" in texts(page)
    assert f"σ\\* **{finished_run.arrays('sigma')['clean'][0]:.3f}**" in texts(page)
    assert "The ascent took 6 steps from σ = 0.250" in texts(page)


def test_empty_without_runs(runs_dir):
    app = AppTest.from_file(ROOT / "app.py", default_timeout=30).run().switch_page("pages/noise.py").run()
    assert not app.exception
    assert "no finished run yet" in app.info[0].value


def test_an_image_is_chosen_by_url_or_by_control(page, finished_run):
    page.query_params["index"] = "6"
    page.run()
    assert "**clean test image 6**" in texts(page)
    page.segmented_control(key="set").set_value("train").run()
    page.number_input(key="index").set_value(9).run()
    assert not page.exception
    assert f"σ\\* **{finished_run.arrays('sigma')['train'][9]:.3f}**" in texts(page)


def test_an_image_beyond_the_shorter_set_falls_back(page, finished_run):
    page.run()
    page.segmented_control(key="set").set_value("train").run()
    page.number_input(key="index").set_value(119).run()
    page.segmented_control(key="set").set_value("clean").run()
    assert not page.exception
    assert page.number_input(key="index").value == 0


@pytest.mark.parametrize(("key", "value"), [("index", "9999"), ("index", "x"), ("set", "nonsense"), ("sigma", "nan")])
def test_nonsense_in_the_url_is_not_believed(page, finished_run, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert "**clean test image 0**" in texts(page)


def test_an_image_without_a_kept_ascent_says_which_have_one(page, finished_run):
    page.run()
    page.number_input(key="index").set_value(1).run()
    assert "kept no ascent of this image" in page.info[0].value
    assert "0, 3, 6, 9" in page.info[0].value
    next(button for button in page.button if button.label == "Open image 0").click().run()
    assert "The ascent took 6 steps" in texts(page)


def test_a_damaged_file_is_told_in_a_sentence(finished_run):
    (finished_run.path / "sigma.safetensors").write_bytes(b"torn")
    app = AppTest.from_file(ROOT / "app.py", default_timeout=30).run().switch_page("pages/noise.py").run()
    assert not app.exception
    assert "sigma.safetensors is missing or damaged" in app.error[0].value


def test_a_click_counts_once():
    def script():
        import streamlit as st

        from ui import charts

        st.session_state["seen"] = charts.clicked("chart")

    app = AppTest.from_function(script)
    app.session_state["chart"] = {"selection": {"points": [{"customdata": ["train", 7]}]}}
    assert app.run().session_state["seen"] == ["train", 7]
    assert app.run().session_state["seen"] is None, "the controls may go their own way afterwards"
    app.session_state["chart"] = {"selection": {"points": [{"customdata": ["clean", 2]}]}}
    assert app.run().session_state["seen"] == ["clean", 2]


def test_without_the_images_everything_else_still_shows(page, finished_run, monkeypatch):
    def missing(run):
        raise DataError("The images are not here.")

    monkeypatch.setattr("ui.state.inputs", missing)
    page.run()
    assert not page.exception
    assert any("The images are not here." in caption.value for caption in page.caption)
    assert "The ascent took 6 steps" in texts(page)
