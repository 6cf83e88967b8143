"""Poison: the counts and norms on the page are those of the attack."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = str(Path(__file__).parents[2] / "app.py")


@pytest.fixture
def page(runs_dir) -> AppTest:
    return AppTest.from_file(APP, default_timeout=180).switch_page("pages/poison.py")


def metrics(page: AppTest) -> dict[str, str]:
    assert not page.exception
    return {metric.label: metric.value for metric in page.metric}


def test_first_sight(page):
    shown = metrics(page.run())
    assert shown["Poisoned images"] == "71"  # floor(0.05 · 1437)
    assert shown["Triggered test images"] == "324"  # 360 less the 36 of class 0
    assert shown["Undefended model's ASR"] == "–"
    assert len(page.get("plotly_chart")) == 3


def test_a_link_sets_the_attack(page):
    page.query_params["label_mode"] = "all-to-all"
    page.query_params["rate"] = "0.1"
    shown = metrics(page.run())
    assert shown["Poisoned images"] == "143"
    assert shown["Triggered test images"] == "360"


def test_a_finished_run_with_this_attack_tells_the_success_rate(page, finished_run):
    data = finished_run.config.data
    page.query_params["classes"] = list(data.classes)
    page.query_params["max_train"] = str(data.max_train)
    page.query_params["max_test"] = str(data.max_test)
    for name in ("trigger", "rate"):
        page.query_params[name] = str(getattr(finished_run.config.attack, name))
    page.run()
    assert metrics(page)["Undefended model's ASR"] == "99.0%"


def test_the_success_rate_is_measured_on_demand(page, errands, monkeypatch):
    page.query_params["norm"] = "0.5"
    page.run()
    next(button for button in page.button if button.label == "Measure now").click().run()
    ((key, arguments),) = errands.items()
    assert arguments[0] == "undefended"
    assert "attack.norm=0.5" in arguments
    found = {"attack_success_rate": 0.1, "base_rate": 0.05, "attack_works": False, "poisoned": 71, "collapsed": False}
    monkeypatch.setattr("ui.kit.errand.answer", lambda asked: found if asked == key else None)
    shown = metrics(page.run())
    assert shown["Undefended model's ASR"] == "10.0%"
    assert "defends against nothing" in page.warning[0].value
    page.number_input(key="norm").set_value(0.6).run()
    assert metrics(page)["Undefended model's ASR"] == "–", "another attack"


def test_no_poison_is_an_empty_state(page):
    page.run()
    page.number_input(key="rate").set_value(0.0).run()
    assert metrics(page)["Poisoned images"] == "0"
    assert "No image is poisoned" in page.info[0].value


def test_missing_data_is_said_in_words_and_can_be_downloaded(page, monkeypatch, tmp_path, errands):
    monkeypatch.setenv("CERTSSB_DATA", str(tmp_path))
    page.run()
    page.selectbox(key="name").select("mnist").run()
    assert not page.exception
    assert "MNIST is not in" in page.error[0].value
    next(button for button in page.button if button.label == "Download MNIST").click().run()
    assert list(errands.values()) == [("fetch", "mnist")]


def test_a_server_that_fetches_nothing_offers_no_download(page, monkeypatch, tmp_path):
    monkeypatch.setenv("CERTSSB_DATA", str(tmp_path))
    monkeypatch.setenv("CERTSSB_DOWNLOADS", "0")
    page.query_params["name"] = "mnist"
    page.run()
    assert "MNIST is not in" in page.error[0].value
    assert not [button for button in page.button if "Download" in button.label]


def test_an_impossible_rate_is_said_in_words(page):
    page.run()
    page.number_input(key="rate").set_value(1.0).run()
    assert not page.exception
    assert "lower the rate" in page.error[0].value


def test_the_choices_are_carried_to_train(page):
    page.query_params["trigger"] = "blended"
    page.query_params["classes"] = ["3", "8"]
    page.run()
    page.button(key="carry").click().run()
    assert not page.exception
    assert page.title[0].value == "Train"
    assert page.selectbox(key="attack.trigger").value == "blended"
    assert page.multiselect(key="data.classes").value == ["3", "8"]


def test_what_train_was_set_to_before_does_not_shine_through(page):
    page.switch_page("pages/train.py").run()
    page.number_input(key="attack.norm").set_value(0.3).run()
    page.switch_page("pages/poison.py").run()
    page.button(key="carry").click().run()
    assert page.number_input(key="attack.norm").value == 1.0
