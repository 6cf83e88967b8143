"""The sandbox of the Overlaps page."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.sandbox import plane_data
from certssb_core.sandbox import scene as core

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(runs_dir):
    app = AppTest.from_file(ROOT / "pages" / "overlaps.py", default_timeout=180)
    app.query_params["view"] = "a sandbox in the plane"
    return app


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def metrics(page):
    return {metric.label: metric.value for metric in page.metric}


def test_it_needs_no_run_and_shows_what_the_core_computes(page):
    page.run()
    assert not page.exception
    scene = core.scene(core.certified(plane_data.moons(1, 24), sigma=0.25, spread=3.0, seed=1))
    assert f"**{scene.changed} of 25** inputs" in texts(page)
    assert metrics(page)["Contested"] == f"{scene.areas.contested:.3f}"
    assert metrics(page)["Trimmed away"] == f"{scene.areas.trimmed:.3f}"
    assert "Over 20 shuffles the area answered runs from" in texts(page)


def test_one_sigma_for_all_is_free_of_conflict(page):
    page.query_params["spread"] = "1"
    page.run()
    assert metrics(page)["Contested"] == "0.000"
    page.slider(key="spread").set_value(4.0).run()
    assert float(metrics(page)["Contested"]) > 0


def test_the_attacker_first_and_shuffles(page):
    page.run()
    last = metrics(page)["Trimmed away"]
    page.segmented_control(key="order").set_value("attacker-first").run()
    assert float(metrics(page)["Trimmed away"]) > float(last)
    page.segmented_control(key="order").set_value("shuffled").run()
    before = metrics(page)["Trimmed away"]
    next(button for button in page.button if button.label == "Shuffle again").click().run()
    assert not page.exception
    assert page.number_input(key="shuffle").value == 1
    assert metrics(page)["Trimmed away"] != before


def test_two_points_of_ones_own_collide_when_radii_are_overstated(page):
    page.query_params |= {"data": "points of your own", "points": "0 0 round; 0.6 0 square"}
    page.run()
    assert not page.exception
    assert metrics(page)["Contested"] == "0.000"
    page.slider(key="stretch").set_value(3.0).run()
    assert float(metrics(page)["Contested"]) > 0
    assert "no certificates" in page.warning[0].value
    assert "**1 of 2** inputs" in texts(page)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ("0 0 round", "no square point"),
        ("0 0 rund; 1 1 square", "“0 0 rund” is no point"),
        ("", "no round and no square point"),
    ],
)
def test_points_that_do_not_make_a_scene_are_told_and_mended(page, points, words):
    page.query_params |= {"data": "points of your own", "points": points}
    page.run()
    assert not page.exception
    assert words in page.info[0].value
    next(button for button in page.button if button.label == "Start from an example").click().run()
    assert not page.exception
    assert "Contested" in metrics(page)


def test_who_answers_inside_and_outside(page):
    page.query_params |= {"x": "0.0", "y": "0.6"}
    page.run()
    assert "answers round" in texts(page)
    page.number_input(key="x").set_value(9.0).run()
    assert "**No ball holds this point**" in texts(page)


def test_a_click_asks_or_adds_a_point(page):
    page.run()
    page.session_state["sandbox"] = {"selection": {"points": [{"customdata": ["at", 0.0, 0.6]}]}}
    page.run()
    assert (page.number_input(key="x").value, page.number_input(key="y").value) == (0.0, 0.6)
    page.segmented_control(key="data").set_value("own").run()
    page.segmented_control(key="click").set_value("square").run()
    page.session_state["sandbox"] = {"selection": {"points": [{"customdata": ["at", 1.25, -0.5]}]}}
    page.run()
    assert not page.exception
    assert page.text_input(key="points").value.endswith("; 1.25 -0.5 square")


@pytest.mark.parametrize(
    ("key", "value"),
    [("spread", "99"), ("level", "nan"), ("order", "x"), ("discs", "-1"), ("x", "1e9"), ("data", "x"), ("seed", "a")],
)
def test_nonsense_in_the_url_is_not_believed(page, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert "of 25** inputs" in texts(page)


def test_a_step_back_keeps_its_place_when_the_noise_changes(page):
    page.query_params["upto"] = "7"
    page.run()
    assert "The first **7 of 25** inputs have come" in texts(page)
    page.slider(key="level").set_value(0.35).run()
    assert not page.exception
    assert page.slider(key="upto").value == 7
    assert "The first **7 of 25** inputs have come" in texts(page)


def test_play_goes_on_from_where_it_is_and_pause_keeps_it_there(page):
    page.query_params["upto"] = "7"
    page.run()
    page.button(key="play").click().run()
    assert page.button(key="play").label == "Pause"
    shown = page.slider(key="upto").value
    assert 7 < shown < 12
    page.button(key="play").click().run()
    assert page.button(key="play").label == "Play"
    kept = page.slider(key="upto").value
    assert shown <= kept <= shown + 2
    page.run()
    assert page.slider(key="upto").value == kept


def test_play_at_the_end_starts_over(page):
    page.run()
    page.button(key="play").click().run()
    assert page.slider(key="upto").value < 5


def test_the_example_of_ones_own_points_has_a_conflict(page):
    page.query_params["data"] = "points of your own"
    page.run()
    assert not page.exception
    assert float(metrics(page)["Contested"]) > 0
    assert "**0 of" not in texts(page)
