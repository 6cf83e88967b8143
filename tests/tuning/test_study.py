"""Studies: their folder and description, the Pareto front, and what is said of a damaged one."""

from __future__ import annotations

import importlib.util

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.errors import ConfigError, RunError
from certssb_core.jobs.launch import start
from certssb_core.runs.run import Run
from certssb_core.tuning import study as studies
from certssb_core.tuning.ranges import Choices, Interval
from certssb_core.tuning.study import OBJECTIVES, Study, describe, pareto

RANGES = {
    "noise.sigma": Interval(low=0.1, high=0.5),
    "noise.train_map": Choices(choices=("uniform", "sample-specific")),
}


def description(**changes):
    return describe(**{"base": PRESETS["digits-quick"], "ranges": RANGES, "trials": 3} | changes)


def test_a_study_is_what_its_folder_says(tmp_path):
    study = Study.create(description(seed=7), "mine", tmp_path)
    assert Study.open("mine", tmp_path).config == study.config == description(seed=7)
    assert [found.name for found in Study.all(tmp_path)] == ["mine"]
    assert (study.status().state, study.status().total) == ("new", 3)
    assert study.trials() == []
    assert Run.all(tmp_path) == [], "a study is no run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": ("accuracy",)}, "two or three different objectives"),
        ({"objectives": ("accuracy", "accuracy")}, "two or three different objectives"),
        ({"objectives": ("accuracy", "beauty")}, "beauty"),
        ({"trials": 0}, "trials: .*given: 0"),
        ({"ranges": {}}, "1 to 8 settings"),
        ({"ranges": {"noise.sigma": {"low": 0.5, "high": 0.1}}}, "must rise"),
    ],
)
def test_what_does_not_fit_is_said(changes, message):
    with pytest.raises(ConfigError, match=message):
        description(**changes)


@pytest.mark.parametrize("name", ["../out", "", ".hidden", "a" * 79])
def test_a_name_must_also_do_for_its_runs(tmp_path, name):
    with pytest.raises(RunError, match="is not a name"):
        Study.create(description(), name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_is_taken_by_a_study_or_by_runs(tmp_path):
    Study.create(description(), "mine", tmp_path)
    with pytest.raises(RunError, match="exists already"):
        Study.create(description(), "mine", tmp_path)
    Run.create(RunConfig(), "other-002", tmp_path)
    with pytest.raises(RunError, match="runs named other-"):
        Study.create(description(), "other", tmp_path)


def test_a_study_that_is_not_there_or_damaged(tmp_path):
    with pytest.raises(RunError, match="no study 'none'"):
        Study.open("none", tmp_path)
    study = Study.create(description(), "mine", tmp_path)
    for text in ("{", "[]", '{"trials": 3}'):
        (study.path / "study.json").write_text(text)
        with pytest.raises(ConfigError, match=r"study\.json"):
            _ = Study(study.path).config


def test_a_damaged_journal_is_said(tmp_path):
    study = Study.create(description(), "mine", tmp_path)
    study.journal.write_text("no journal\n{}\n")
    with pytest.raises(RunError, match=r"journal\.log cannot be read"):
        study.trials()


def test_without_optuna_it_says_how_to_get_it(tmp_path, monkeypatch):
    study = Study.create(description(), "mine", tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(studies.importlib.util, "find_spec", lambda name: None if name == "optuna" else found(name))
    for call in (study.trials, lambda: start(study)):
        with pytest.raises(RunError, match="pip install 'optuna>=4'"):
            call()


def test_more_trials_can_be_asked_for(tmp_path):
    study = Study.create(description(), "mine", tmp_path)
    study.log("finished")
    assert study.status().state == "done"
    with pytest.raises(RunError, match="done already"):
        start(study)
    study.extend(5)
    assert Study.open("mine", tmp_path).config == description(trials=5)
    assert study.status().state == "stopped", "ready to go on"
    with study.lock(), pytest.raises(RunError, match="has a worker"):
        study.extend(6)


def test_objectives_are_read_from_the_metrics():
    metrics = {"clean": {"accuracy": 0.9, "average_certified_radius": 0.3}, "seconds": {"total": 12.0}}
    assert {name: objective.read(metrics) for name, objective in OBJECTIVES.items()} == {
        "accuracy": 0.9,
        "radius": 0.3,
        "seconds": 12.0,
    }
    for broken in ({}, {"clean": None}, {"clean": {"accuracy": None}}, {"clean": {"accuracy": float("nan")}}):
        with pytest.raises(RunError, match=r"clean\.accuracy"):
            OBJECTIVES["accuracy"].read(broken)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=12))
def test_the_front_is_optunas(rows):
    names = tuple(OBJECTIVES)
    oracle = optuna.create_study(directions=["maximize" if OBJECTIVES[name].maximise else "minimize" for name in names])
    for row in rows:
        oracle.add_trial(optuna.trial.create_trial(values=row))
    table = pd.DataFrame(rows, columns=names, dtype=float)
    assert set(np.flatnonzero(pareto(table, names))) == {trial.number for trial in oracle.best_trials}


def test_a_trial_without_a_value_is_not_on_the_front():
    table = pd.DataFrame({"accuracy": [np.nan, 0.5], "radius": [np.nan, 0.1]})
    assert list(pareto(table, ("accuracy", "radius"))) == [False, True]
