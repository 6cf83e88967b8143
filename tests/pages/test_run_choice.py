"""Which run a page opens on: a person's own, the one in the link, the one looked at last."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.runs.run import Run
from ui.kit import run_files

ROOT = Path(__file__).parents[2]
MEASURED = "smoothness-digits-0.005"


def copy(run: Run, name: str, *, age: int) -> Run:
    path = run.path.parent / name
    shutil.copytree(run.path, path)
    os.utime(path / "config.json", (age, age))
    return Run(path)


def measured(runs_dir: Path) -> None:
    """Say that a measurement made :data:`MEASURED`."""
    folder = runs_dir / ".measurements" / "smoothness-digits"
    folder.mkdir(parents=True)
    (folder / "measurement.json").write_text(json.dumps({"runs": {MEASURED: {}}}))


def opened(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / f"{page}.py", default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


@pytest.mark.parametrize("page", ["noise", "overlaps", "query", "certify", "train"])
def test_the_newest_run_of_a_measurement_is_no_default(page, finished_run, runs_dir):
    measured(runs_dir)
    copy(finished_run, MEASURED, age=4_000_000_000)
    app = opened(page)
    if page == "certify":
        assert app.multiselect(key="runs").value == ["finished"]
    else:
        assert app.selectbox(key="run").value == "finished"


def test_runs_of_measurements_and_studies_are_folded_away_and_are_no_source_of_forecasts(finished_run, runs_dir):
    measured(runs_dir)
    copy(finished_run, MEASURED, age=4_000_000_000)
    (runs_dir / ".studies" / "mine").mkdir(parents=True)
    (runs_dir / ".studies" / "mine" / "study.json").write_text("{}")
    copy(finished_run, "mine-001", age=4_000_000_000)
    assert [run.name for run in run_files.own_runs()] == ["finished"]
    app = opened("train")
    table = next(frame.value for frame in app.dataframe if "state" in frame.value)
    assert list(table["run"]) == ["finished"]
    app.toggle(key="auxiliary").set_value(True).run()
    table = next(frame.value for frame in app.dataframe if "state" in frame.value)
    assert set(table["run"]) == {"finished", MEASURED, "mine-001"}


def test_the_run_of_a_link_stays_on_the_next_page(finished_run):
    copy(finished_run, "newer", age=4_000_000_000)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/noise.py").run()
    app.selectbox(key="run").set_value("finished").run()
    for page in ("overlaps", "query", "train"):
        app.switch_page(f"pages/{page}.py").run()
        assert app.selectbox(key="run").value == "finished", page
    app.switch_page("pages/certify.py").run()
    assert app.multiselect(key="runs").value == ["finished"]
    app.multiselect(key="runs").set_value(["newer"]).run()
    app.switch_page("pages/noise.py").run()
    assert app.selectbox(key="run").value == "newer"
