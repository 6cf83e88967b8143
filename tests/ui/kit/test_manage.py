"""What the dialogs do once they are open. In AppTest every rerun is of the whole page, so here each is the page."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.config.schema import RunConfig
from certssb_core.runs import job
from certssb_core.runs.run import Run


def dialog(kind: str, path: str) -> None:
    from pathlib import Path

    from certssb_core.runs.run import Run
    from ui.kit import manage

    if Path(path).is_dir():
        getattr(manage, kind)(Run(path), *{"_rename": (), "_delete": ("run", "")}[kind])


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(RunConfig(), "mine", tmp_path)


def opened(kind: str, run: Run) -> AppTest:
    return AppTest.from_function(dialog, args=(kind, str(run.path)), default_timeout=180).run()


def test_rename_says_what_is_wrong_with_a_name_and_takes_a_good_one(run, tmp_path):
    app = opened("_rename", run)
    app.button(key="rename-now").click().run()
    assert not app.error, "the name it has"
    app.text_input(key="new-name").set_value("../out")
    app.button(key="rename-now").click().run()
    assert "is not a name for a run" in app.error[0].value
    app.text_input(key="new-name").set_value("other")
    app.button(key="rename-now").click().run()
    assert not app.exception
    assert [found.name for found in Run.all(tmp_path)] == ["other"]
    assert app.session_state["run"] == "other"


def test_delete_needs_the_second_yes(run):
    app = opened("_delete", run)
    assert run.path.is_dir()
    app.button(key="delete-now").click().run()
    assert not app.exception
    assert not run.path.exists()
    [discarded] = job.discarded(run.path.parent)
    assert (discarded.name, (discarded.path / "config.json").is_file()) == ("mine", True)


def test_the_trash_is_emptied_after_the_second_yes(run):
    place = run.discard()
    app = AppTest.from_function(emptied, args=(str(run.path.parent),), default_timeout=30).run()
    assert place.is_dir()
    app.button(key="empty-now").click().run()
    assert not app.exception
    assert not place.exists()


def emptied(folder: str) -> None:
    from pathlib import Path

    from certssb_core.runs import job
    from ui.kit import manage

    if found := job.discarded(Path(folder)):
        manage._empty(found, 1.0)


def test_a_run_at_work_is_not_deleted(run):
    app = opened("_delete", run)
    with run.lock():
        app.button(key="delete-now").click().run()
        assert "has a worker" in app.error[0].value
    assert run.path.is_dir()
