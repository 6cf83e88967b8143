"""Home: with runs, without, and when this machine cannot be looked at."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.data.datasets import DATASETS
from certssb_core.errors import RunError

APP = str(Path(__file__).parents[2] / "app.py")
PHOTOGRAPHS = Path(__file__).parents[2] / "checkpoints" / "photographs"
SUBSET = Path(__file__).parents[2] / "checkpoints" / "subset-digits-01"


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr("ui.kit.run_files.machine", lambda: [{"name": "cpu", "present": True, "message": "2 cores"}])


def home() -> AppTest:
    app = AppTest.from_file(APP, default_timeout=180).run()
    assert not app.exception
    return app


def test_the_finished_run_is_the_headline(machine, finished_run):
    app = home()
    clean = finished_run.metrics["clean"]
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Clean accuracy"] == f"{clean['accuracy']:.1%}"
    assert shown["Mean certified radius"] == f"{clean['average_certified_radius']:.2f}"
    assert any("Condition" in part.value for part in app.markdown)
    assert any("As the store answers: clean accuracy" in part.value for part in app.caption)


def test_the_shipped_run_comes_before_a_newer_one(machine, runs_dir, finished_run):
    finished_run.path.rename(runs_dir / "digits")
    newer = runs_dir / "newer"
    newer.mkdir()
    for file in ("config.json", "events.jsonl"):
        (newer / file).write_bytes((runs_dir / "digits" / file).read_bytes())
    assert any("**digits**" in caption.value for caption in home().caption)


def test_a_run_that_covers_the_planted_attack_is_named_first(machine, runs_dir, finished_run):
    shutil.copytree(SUBSET, runs_dir / SUBSET.name)
    app = home()
    (said,) = [part.value for part in app.success if "planted attack" in part.value]
    assert "79.2%" in said
    assert "57 of 72" in said
    assert any("**subset-digits-01**" in caption.value for caption in app.caption)
    assert {metric.label: metric.value for metric in app.metric}["Clean accuracy"]


def test_photographs_are_shown_with_answers_and_radii_whatever_these_are(machine, runs_dir, finished_run):
    assert not home().image
    shutil.copytree(PHOTOGRAPHS, runs_dir / PHOTOGRAPHS.name)
    app = home()
    with (PHOTOGRAPHS / "certificates.csv").open() as file:
        clean = [row for row in csv.DictReader(file) if row["set"] == "clean"]
    told = []
    for row in (clean[place] for place in (0, 49, 99, 149, 199)):
        word = {"0": "airplane", "1": "bird", "-1": "no answer"}[row["prediction"]]
        right = {"-1": "abstains", row["label"]: "right, certified"}.get(row["prediction"], "certified, but wrong")
        told.append((f"**{word}**, r = {float(row['radius']):.2f}", right))
    shown = [part.value.partition("  \n") for part in app.markdown if ", r = " in part.value]
    assert [(words, badge.split(": ")[1].strip("[]")) for words, _, badge in shown] == told
    assert {badge for _, badge in told} > {"right, certified"}, "no choice by result"
    assert len(app.image) == len(told)
    assert sum("**Condition.**" in part.value for part in app.markdown) == 2, "of both runs that are shown"
    links = [link.proto.label for link in app.get("page_link")]
    assert "Where two certificates conflict, on Overlaps" in links, "its store cut a ball"


def test_without_runs_it_says_how_to_get_one(machine, runs_dir):
    app = home()
    assert not app.metric
    assert any("no finished run" in part.value for part in app.info)


def test_the_page_says_which_certificates_cover_a_poison_that_relabels(machine, runs_dir):
    (said,) = [part.value for part in home().info if "relabels" in part.value]
    assert "neither covers a poison that also relabels" in said
    assert "subset" in said
    assert "L0" in said
    assert "DPA" in said


def test_the_radius_is_promised_for_the_test_image_alone(machine, runs_dir):
    (said,) = [part.value for part in home().markdown if "follows a **radius**" in part.value]
    assert "no change of the test image below it turns the smoothed answer into another class" in said
    assert "the training set as given" in said
    assert "training and test" not in said


def test_all_datasets_are_listed(machine, runs_dir):
    tables = [frame.value for frame in home().dataframe]
    datasets = next(table for table in tables if "present" in table)
    assert datasets["dataset"].tolist() == [source.title for source in DATASETS.values()]


def test_a_damaged_run_is_said_in_words(machine, finished_run):
    (finished_run.path / "metrics.json").write_text("{")
    app = home()
    assert "metrics.json" in app.error[0].value


def test_a_machine_that_cannot_be_looked_at_leaves_the_page_standing(monkeypatch, finished_run):
    def fail():
        raise RunError("doctor failed")

    monkeypatch.setattr("ui.kit.run_files.machine", fail)
    app = home()
    assert "doctor failed" in app.error[0].value
    assert app.metric


def test_the_page_leads_to_the_others(machine, runs_dir):
    labels = [link.proto.label for link in home().get("page_link")]
    assert {"**Poison**", "**Train**", "**Noise σ***", "**Certify**", "**Overlaps**"} <= set(labels)
