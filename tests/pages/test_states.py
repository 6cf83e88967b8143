"""Every page in every state: no run, one at work, a failed one, runs that certify nothing, twenty runs, a thousand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.config.presets import PRESETS
from certssb_core.results import run_table
from certssb_core.runs.run import Run
from certssb_core.store.store import Store
from tests.pages.conftest import make_run
from ui.kit import run_files
from ui.kit.pages import PAGES

APP = str(Path(__file__).parents[2] / "app.py")
SHIPPED = Path(__file__).parents[2] / "checkpoints"


def visited(*pages: str) -> dict[str, str]:
    """Walk through the pages in one session: the words of each, none of which may be a traceback."""
    app, words = AppTest.from_file(APP, default_timeout=180).run(), {}
    for page in pages or PAGES:
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, (page, app.exception)
        told = (*app.markdown, *app.caption, *app.info, *app.warning, *app.error)
        words[page] = " ".join(str(element.value) for element in told)
        assert "nan" not in words[page].split(), page
    return words


def test_without_any_run(runs_dir):
    words = visited()
    for page in ("noise", "certify", "query"):
        assert "no finished run yet" in words[page], page
    assert "There is no run yet" in words["train"]


@pytest.mark.slow
def test_on_the_digits_alone_of_all_that_ships(runs_dir):
    """Photographs, the subset run and every comparison were deleted."""
    shutil.copytree(SHIPPED / "digits", runs_dir / "digits", ignore=shutil.ignore_patterns("members"))
    words = visited()
    assert "No comparison has been made yet" in words["compare"]


@pytest.mark.slow
def test_beside_a_run_at_work_and_a_failed_one(runs_dir):
    failed = Run.create(PRESETS["digits-quick"], "failed", runs_dir)
    failed.log("stage", stage="data")
    failed.log("failed", message="MNIST is not in data")
    busy = Run.create(PRESETS["digits-quick"], "busy", runs_dir)
    busy.log("stage", stage="members")
    busy.log("progress", stage="members", done=3, total=30, seconds_left=5.0)
    with busy.lock():
        words = visited()
    assert "no finished run yet" in words["certify"]
    assert "busy" in words["train"]


@pytest.mark.parametrize("members", ["1", pytest.param("8", marks=pytest.mark.slow)])
def test_on_a_run_that_certifies_nothing(runs_dir, members):
    run = make_run(runs_dir, "nothing", **{"training.members": members})
    assert (run.certificates()["prediction"] == -1).all()
    words = visited()
    assert "holds no ball" in words["query"]


def test_on_a_run_whose_balls_all_have_one_label(runs_dir):
    run = make_run(runs_dir, "one-label", all_vote=1)
    with Store.read(run.store_path) as store:
        assert set(store.balls().labels) == {1}
    assert "No two stored balls have different labels" in visited()["overlaps"]


@pytest.mark.parametrize(("page", "key"), [("poison", "classes"), ("train", "data.classes")])
def test_one_class_is_refused_in_words(runs_dir, page, key):
    app = AppTest.from_file(APP, default_timeout=180).switch_page(f"pages/{page}.py")
    app.query_params[key] = "3"
    app.run()
    assert not app.exception
    assert any("At least two classes are needed" in error.value for error in app.error)
    assert all(button.disabled for button in app.button if button.key == "start")


def copies(run: Run, count: int, *, whole: bool) -> None:
    """Copies of ``run``, or of what its row in the list is made of."""
    for number in range(count):
        path = run.path.parent / f"copy-{number:04d}"
        if whole:
            shutil.copytree(run.path, path)
            continue
        path.mkdir()
        for name in ("config.json", "metrics.json", "events.jsonl"):
            os.link(run.path / name, path / name)


@pytest.mark.slow
def test_beside_twenty_runs(finished_run):
    copies(finished_run, 20, whole=True)
    visited()


@pytest.fixture
def thousand(finished_run):
    copies(finished_run, 1000, whole=False)


@pytest.mark.slow
def test_beside_a_thousand_runs(thousand):
    assert "1,001 of 1,001 runs" in visited("home", "train", "noise", "certify")["train"]


def test_a_thousand_runs_are_listed_again_without_reading_a_file_twice(thousand, monkeypatch):
    """No clock: only the ends of logs and the times of files are looked at."""
    before = run_table.rows(run_files.own_runs())
    read: list[str] = []
    monkeypatch.setattr("certssb_core.runs.run.read_config", lambda path: read.append(str(path)))
    monkeypatch.setattr(Run, "_json", lambda run, name: read.append(name))
    monkeypatch.setattr(Run, "events", lambda run: read.append("events"))
    monkeypatch.setattr(Run, "size", lambda run: read.append("size"))
    assert run_table.rows(run_files.own_runs()) == before
    assert len(before) == 1001
    assert read == []
