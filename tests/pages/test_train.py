"""Train: from the form to a run, and the list of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.experiment.presets import DEFAULT_PRESET, PRESETS
from certssb_core.experiment.run import Run

APP = str(Path(__file__).parents[2] / "app.py")


class Worker:
    """A worker process that has ended."""

    def poll(self) -> int:
        return 0


@pytest.fixture
def started(monkeypatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr("certssb_core.experiment.launch.start", lambda run: names.append(run.name) or Worker())
    return names


@pytest.fixture
def page(runs_dir) -> AppTest:
    return AppTest.from_file(APP, default_timeout=60).switch_page("pages/train.py")


def start(page: AppTest) -> AppTest:
    return page.button(key="start").click().run()


def test_without_runs_it_says_so(page):
    page.run()
    assert not page.exception
    assert "no run yet" in page.info[0].value


def test_start_makes_the_preset_a_run_and_starts_it(page, runs_dir, started):
    start(page.run())
    assert not page.exception
    (run,) = Run.all(runs_dir)
    assert started == [run.name]
    assert run.name.startswith(DEFAULT_PRESET)
    assert run.config == PRESETS[DEFAULT_PRESET]


def test_choosing_a_preset_sets_every_control(page, runs_dir, started):
    page.run()
    page.number_input(key="training.members").set_value(7).run()
    page.selectbox(key="preset").select("mnist-01-blended").run()
    page.text_input(key="run-name").set_value("mine").run()
    start(page)
    assert Run.open("mine", runs_dir).config == PRESETS["mnist-01-blended"]


def test_a_link_changes_single_settings_of_a_preset(page, runs_dir, started):
    page.query_params["preset"] = "digits-quick"
    page.query_params["training.members"] = "12"
    start(page.run())
    config = Run.all(runs_dir)[0].config
    assert config.training.members == 12
    assert config.data == PRESETS["digits-quick"].data


def test_settings_that_do_not_fit_stop_the_start(page, runs_dir, started):
    page.run()
    page.number_input(key="noise.sigma_max").set_value(0.1).run()
    assert page.button(key="start").disabled
    assert "must lie between" in page.error[0].value


@pytest.mark.parametrize("name", ["../outside", "finished"])
def test_a_name_that_cannot_be_used_is_said_in_words(page, started, finished_run, name):
    page.run()
    page.text_input(key="run-name").set_value(name).run()
    start(page)
    assert not page.exception
    assert name in page.error[0].value
    assert not started


def test_a_finished_run_shows_its_figures_and_what_another_would_cost(page, finished_run):
    page.query_params["run"] = "finished"
    page.query_params["data.classes"] = ["0", "1", "2"]
    page.query_params["data.max_train"] = "120"
    page.query_params["data.max_test"] = "60"
    page.run()
    assert not page.exception
    assert "Clean accuracy" in [metric.label for metric in page.metric]


def test_a_running_run_comes_first(page, finished_run):
    run = Run.create(PRESETS["digits-quick"], "busy", finished_run.path.parent)
    run.log("stage", stage="members")
    with run.lock():
        page.run()
        assert page.button[0].key == "stop-busy"
    assert not page.exception
