"""Rows of the list of runs, from files that the tests write themselves."""

import json
import shutil
from datetime import datetime

import pytest

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.results.run_table import matching, rows, table
from certssb_core.runs.run import Run
from certssb_core.runs.tags import write_tags

METRICS = {
    "unit": "L2 pixel units",
    "clean": {"accuracy": 0.75, "average_certified_radius": 0.5, "n": 4},
    "triggered": {"attack_success_rate": 0.25, "n": 4},
    "undefended": {"attack_success_rate": 0.9, "attack_works": True},
    "planted_attack": {"clean": {"certified": 3, "n": 4}},
    "seconds": {"total": 12.0},
}


def finished(folder, name: str, metrics=METRICS, **settings: str) -> Run:
    run = Run.create(override(PRESETS["digits-quick"], settings), name, folder)
    run.log("message", message="worker started")
    (run.path / "metrics.json").write_text(json.dumps(metrics))
    run.log("finished", message="done")
    return run


def test_a_row_holds_the_figures_and_the_changed_settings(tmp_path):
    run = finished(tmp_path, "one", **{"training.members": "7", "noise.sigma": "0.4"})
    write_tags(run, ["thesis"])
    (row,) = rows([run])
    assert (row.run, row.state, row.tags) == ("one", "done", ("thesis",))
    assert (row.accuracy, row.radius, row.planted, row.attack_success, row.undefended) == (0.75, 0.5, 0.75, 0.25, 0.9)
    assert (row.members, row.sigma, row.preset, row.seconds) == (7, 0.4, "digits-quick", 12.0)
    assert row.changed == "σ₀ 0.4, Members M 7"
    assert abs((datetime.now() - row.started).total_seconds()) < 3600
    assert row.megabytes == pytest.approx(sum(path.stat().st_size for path in run.path.iterdir()) / 1e6)
    assert list(table([row])["accuracy"]) == [0.75]


def test_a_row_follows_its_files(tmp_path):
    run = finished(tmp_path, "one")
    assert rows([run])[0].tags == ()
    write_tags(run, ["new"])
    assert rows([Run(run.path)])[0].tags == ("new",)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps(METRICS | {"clean": 3})])
def test_damaged_figures_leave_the_row(tmp_path, content):
    run = finished(tmp_path, "one")
    (run.path / "metrics.json").write_text(content)
    (row,) = rows([run])
    assert (row.accuracy, row.caution) == (None, "metrics.json is damaged")


def test_runs_without_figures_have_a_row_too(tmp_path):
    new = Run.create(PRESETS["digits"], "new", tmp_path)
    unreadable = Run.create(PRESETS["digits"], "unreadable", tmp_path)
    (unreadable.path / "config.json").write_text("{")
    listed = rows([new, Run(unreadable.path)])
    assert [(row.state, row.accuracy, row.members) for row in listed] == [("new", None, 200), ("new", None, None)]
    assert listed[1].title.startswith("(unreadable")
    assert rows([]) == []
    assert table([]).empty


def test_every_word_of_a_filter_must_occur(tmp_path):
    first, second = finished(tmp_path, "one"), finished(tmp_path, "two", **{"attack.trigger": "blended"})
    write_tags(second, ["Thesis"])
    listed = rows([first, second])
    assert matching(listed, "") == listed
    assert [row.run for row in matching(listed, "BLENDED thesis")] == ["two"]
    assert matching(listed, "blended one-pixel") == []


def test_a_run_of_a_study_says_who_made_it(tmp_path):
    run = finished(tmp_path, "sweep-001")
    (tmp_path / ".studies" / "sweep").mkdir(parents=True)
    assert rows([run])[0].maker == "study sweep"
    shutil.rmtree(tmp_path / ".studies")
    assert rows([run])[0].maker == ""
