"""Tune: from the ranges to a study, and from its trials to a run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial
from streamlit.testing.v1 import AppTest

from certssb_core.config.presets import PRESETS
from certssb_core.tuning import optimise, ranges
from certssb_core.tuning.ranges import Choices, Interval, parse
from certssb_core.tuning.study import Study, describe
from ui.tune.study_panel import _first_range

APP = str(Path(__file__).parents[2] / "app.py")


@pytest.fixture
def page(runs_dir) -> AppTest:
    return AppTest.from_file(APP, default_timeout=180).switch_page("pages/tune.py")


@pytest.fixture
def started(monkeypatch) -> list[str]:
    names: list[str] = []

    def start(study: Study) -> None:
        names.append(study.name)
        study.log("stopped", message="a worker of the test")

    monkeypatch.setattr("ui.kit.job_panel.launch", start)
    return names


def make_study(runs_dir, *, finished: int, objectives=("accuracy", "radius"), first_run: str = "sweep-001") -> Study:
    """A study of six trials whose values are made up; the journal is Optuna's."""
    varied = dict(map(parse, ["noise.sigma=0.1:0.5", "noise.train_map=uniform,sample-specific"]))
    config = describe(base=PRESETS["digits-quick"], ranges=varied, trials=6, objectives=objectives)
    study = Study.create(config, "sweep", runs_dir)
    journal = optimise._open(study)
    for number in range(finished):
        params = {"noise.sigma": 0.1 + number / 20, "noise.train_map": ("uniform", "sample-specific")[number % 2]}
        values = (0.9 - number / 50, 0.1 + (number % 3) / 10, 10.0 - number)[: len(objectives)]
        journal.add_trial(
            create_trial(
                params=params,
                distributions=optimise.distributions(config),
                values=values,
                user_attrs={"run": first_run if number == 0 else f"sweep-{number + 1:03d}"},
            )
        )
        study.log("told", number=number + 1, run=f"sweep-{number + 1:03d}")
    study.log("stopped", message="stopped on request")
    assert all(trial.state == TrialState.COMPLETE for trial in journal.trials)
    return study


def words(page: AppTest) -> str:
    return " ".join(element.value for element in (*page.markdown, *page.caption, *page.info))


def test_without_a_study_it_says_how_to_make_one(page):
    page.run()
    assert not page.exception
    assert "no study yet" in page.info[0].value


def test_start_makes_the_study_that_the_form_describes(page, runs_dir, started):
    page.run()
    page.multiselect(key="vary").select("training.learning_rate").select("noise.train_map").unselect("training.epochs")
    page.run()
    page.number_input(key="to.noise.sigma").set_value(0.4)
    page.toggle(key="log.training.learning_rate").set_value(True)
    page.number_input(key="trials").set_value(7)
    page.text_input(key="study-name").set_value("mine").run()
    page.button(key="start-study").click().run()
    assert not page.exception
    assert started == ["mine"]
    config = Study.open("mine", runs_dir).config
    assert config.base == PRESETS["digits-quick"]
    assert config.trials == 7
    assert config.ranges == {
        "noise.sigma": Interval(low=0.1, high=0.4),
        "training.learning_rate": Interval(low=0.003, high=0.012, log=True),
        "noise.train_map": Choices(choices=("uniform", "sample-specific")),
    }
    assert page.selectbox(key="study").value == "mine"


def test_another_preset_brings_ranges_that_fit_it(page, started):
    page.run()
    page.selectbox(key="base").select("mnist-01-onepixel").run()
    assert not page.error
    noise = PRESETS["mnist-01-onepixel"].noise
    assert page.number_input(key="from.noise.sigma").value == noise.sigma_min
    assert page.number_input(key="to.noise.sigma").value == noise.sigma_max


def test_every_setting_starts_with_a_range_that_it_takes():
    base = PRESETS["digits-quick"]
    for key, kind in ranges.tunable().items():
        if kind != "choice":
            low, high = _first_range(key, base)
            ranges.check({key: Interval(low=low, high=high)}, base)


@pytest.mark.parametrize(
    ("control", "value", "message"),
    [
        ("to.noise.sigma", 0.05, "must rise"),
        ("to.noise.sigma", 0.9, "between sigma_min"),
        ("from.training.epochs", 0, "training.epochs cannot be 0"),
    ],
)
def test_ranges_that_do_not_fit_stop_the_start(page, started, control, value, message):
    page.run()
    page.number_input(key=control).set_value(value).run()
    assert not page.exception
    assert message in page.error[0].value.replace("\\", "")
    assert page.button(key="start-study").disabled


@pytest.mark.parametrize("name", ["../out", "sweep"])
def test_a_name_that_cannot_be_used_is_said(page, runs_dir, started, name):
    make_study(runs_dir, finished=0)
    page.run()
    page.text_input(key="study-name").set_value(name).run()
    page.button(key="start-study").click().run()
    assert not page.exception
    assert "name" in page.error[0].value
    assert not started


def test_a_study_without_a_finished_trial(page, runs_dir):
    make_study(runs_dir, finished=0)
    page.run()
    assert not page.exception
    assert "No trial has finished yet." in words(page)


@pytest.mark.parametrize("objectives", [("accuracy", "radius"), ("accuracy", "radius", "seconds")])
def test_its_trials_are_weighed_explained_and_listed(page, runs_dir, objectives):
    make_study(runs_dir, finished=5, objectives=objectives)
    page.run()
    assert not page.exception
    # Values (accuracy, radius): .9 .1, .88 .2, .86 .3, .84 .1, .82 .2, so that the first three are on the front.
    assert "3 of 5 finished trials are not beaten" in words(page)
    assert "fANOVA" in words(page)
    assert "5 · α = 0.005" in words(page)
    assert list(page.dataframe[-1].value["run"]) == [f"sweep-{number:03d}" for number in range(1, 6)]


def test_one_of_two_pairs_is_weighed_by_the_url(page, runs_dir):
    make_study(runs_dir, finished=5, objectives=("accuracy", "radius", "seconds"))
    page.query_params["weigh"] = "seconds and accuracy"
    page.run()
    assert not page.exception
    assert "time of the run (s) at once" in words(page)


def test_continue_starts_the_worker_and_more_trials_are_asked_for(page, runs_dir, started):
    study = make_study(runs_dir, finished=2)
    page.run()
    page.number_input(key="more-sweep").set_value(9).run()
    page.button(key="continue-sweep").click().run()
    assert not page.exception
    assert started == ["sweep"]
    assert Study(study.path).config.trials == 9


def test_a_study_at_work_can_be_stopped(page, runs_dir):
    study = make_study(runs_dir, finished=1)
    with study.lock():
        page.run()
        page.button(key="stop-sweep").click().run()
        assert study.stop_requested()
        assert page.button(key="stop-sweep").disabled
    assert not page.exception


def test_a_clicked_point_or_a_ticked_row_opens_its_run_on_certify(page, finished_run, runs_dir, monkeypatch):
    opened = []
    monkeypatch.setattr("ui.kit.manage.compare", lambda runs: opened.append([run.name for run in runs]))
    make_study(runs_dir, finished=5, first_run="finished")
    page.run()
    page.session_state["all-trials"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    assert opened == [["finished"]]
    clicks = {"pareto": ["finished", "…"]}
    monkeypatch.setattr("ui.kit.charts.clicked", clicks.get)
    page.run()
    assert opened == [["finished"]] * 2
    clicks["pareto"] = ["sweep-002", "…"]
    page.run()
    assert not page.exception
    assert "renamed or deleted" in page.error[0].value


def test_without_optuna_the_page_says_how_to_get_it(page, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "certssb_core.tuning.study.importlib.util.find_spec",
        lambda name: None if name == "optuna" else found(name),
    )
    page.run()
    assert not page.exception
    assert "pip install 'optuna>=4'" in page.error[0].value.replace("\\", "")
