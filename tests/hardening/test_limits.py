"""Server limits: read-only mode, number of workers, cost of a launch, downloads."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core import capsule
from certssb_core.audit.inspection import inspect
from certssb_core.comparisons.measurement import Measurement
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.errors import ConfigError, DataError, RunError, StoreError
from certssb_core.jobs import forecast, launch, queue
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import server_limits
from certssb_core.runs.run import Run
from certssb_core.store.store import Store
from certssb_core.tuning.ranges import Interval
from certssb_core.tuning.study import Study, describe
from certssb_core.verification import verify

ROOT = Path(__file__).parents[2]
STUDY = describe(base=PRESETS["digits-quick"], ranges={"noise.sigma": Interval(low=0.1, high=0.4)})


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The shipped run, one that was never started and a study, in a folder that a server serves."""
    runs = tmp_path / "runs"
    shutil.copytree(ROOT / "checkpoints" / "digits", runs / "digits")
    Run.create(PRESETS["digits-quick"], "new", runs)
    Study.create(STUDY, "study", runs)
    capsule.export(Run(runs / "digits"), tmp_path / "digits.capsule")
    monkeypatch.setenv("CERTSSB_RUNS", str(runs))
    return runs


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


WRITES = {
    "create": lambda runs: Run.create(PRESETS["digits"], "another", runs),
    "rename": lambda runs: Run(runs / "new").rename("other"),
    "delete": lambda runs: Run(runs / "new").delete(),
    "log": lambda runs: Run(runs / "new").log("message"),
    "stop": lambda runs: Run(runs / "new").request_stop(),
    "start": lambda runs: launch.start(Run(runs / "new")),
    "queue": lambda runs: queue.submit(Run(runs / "new")),
    "withdraw": lambda runs: Run(runs / "new").leave_queue(),
    "new config": lambda runs: Run(runs / "new").replace_config(RunConfig()),
    "study": lambda runs: Study.create(STUDY, "other", runs),
    "start study": lambda runs: launch.start(Study.open("study", runs)),
    "measure": lambda runs: Measurement.prepare("compare", "digits", runs),
    "more trials": lambda runs: Study.open("study", runs).extend(40),
    "time": lambda runs: forecast.timing(runs).__enter__(),
    "export": lambda runs: capsule.export(Run(runs / "digits"), runs / "digits.capsule"),
    "import": lambda runs: capsule.import_capsule(runs.parent / "digits.capsule", "again", runs),
}


@pytest.mark.parametrize("name", WRITES)
def test_in_read_only_mode_nothing_is_launched_changed_deleted_or_written(folder, monkeypatch, name):
    before = contents(folder)
    monkeypatch.setenv("CERTSSB_READ_ONLY", "1")
    with pytest.raises(RunError, match="read-only"):
        WRITES[name](folder)
    assert contents(folder) == before


def test_in_read_only_mode_everything_can_be_looked_at_and_leaves_no_trace(folder, monkeypatch):
    before = contents(folder)
    monkeypatch.setenv("CERTSSB_READ_ONLY", "1")
    run = Run(folder / "digits")
    with Store.read(run.store_path) as store:
        assert len(store) > 0
    assert "failed" not in {finding.outcome for finding in verify(run)}
    assert inspect(run)
    assert len(read_run_votes(run).labels) == 360
    assert [one.status().state for one in Run.all(folder)] == ["new", "done"]
    assert queue.start_next(folder) is None
    assert contents(folder) == before


@pytest.mark.parametrize("page", ["train", "tune"])
def test_pages_of_a_read_only_server_say_so_and_offer_nothing(folder, monkeypatch, page):
    before = contents(folder)
    monkeypatch.setenv("CERTSSB_READ_ONLY", "1")
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).switch_page(f"pages/{page}.py").run()
    assert not at.exception
    assert any(server_limits.READ_ONLY in info.value for info in at.info)
    labels = {button.label: button.disabled for button in at.button}
    assert labels["Start"]
    assert not {"Resume", "Delete", "Rename", "Stop", "Continue", "Withdraw", "Time this machine"} & set(labels)
    assert contents(folder) == before


def test_a_store_to_look_at_is_not_made(tmp_path):
    with pytest.raises(StoreError):
        Store.read(tmp_path / "store.sqlite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "value"), [("MAX_RUNS", "0"), ("MAX_HOURS", "soon"), ("READ_ONLY", "perhaps")])
def test_a_limit_that_does_not_fit_lets_nothing_through(folder, monkeypatch, name, value):
    monkeypatch.setenv(f"CERTSSB_{name}", value)
    with pytest.raises(ConfigError, match=f"CERTSSB_{name}={value}"):
        Run.create(PRESETS["digits"], "another", folder)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).switch_page("pages/train.py").run()
    assert f"CERTSSB_{name}" in at.error[0].value.replace("\\", "")
    assert [button.label for button in at.button] == ["Present"]


def test_only_so_many_workers_find_a_place(tmp_path, monkeypatch):
    monkeypatch.setenv("CERTSSB_MAX_RUNS", "2")
    one, two, three = (server_limits.a_place_at_work(tmp_path) for _ in range(3))
    with one, two, pytest.raises(RunError, match="2 of at most 2"), three:
        pytest.fail("a third place")
    with server_limits.a_place_at_work(tmp_path), server_limits.a_place_at_work(tmp_path):
        pass


def test_the_queue_starts_as_many_as_are_allowed(tmp_path, monkeypatch):
    runs, held = [Run.create(RunConfig(), name, tmp_path) for name in "abc"], []

    def start(run: Run):
        run.leave_queue()
        held.append(run.lock())
        held[-1].__enter__()
        run.log("message", message="worker started")
        return type("Worker", (), {"poll": lambda self: None})()

    monkeypatch.setattr(queue, "start", start)
    monkeypatch.setenv("CERTSSB_MAX_RUNS", "2")
    for run in runs:
        queue.submit(run)
    assert [run.status().state for run in runs] == ["running", "running", "queued"]
    for lock in held:
        lock.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [("MAX_HOURS", "0.001", "of time"), ("MAX_DISK_GB", "0.001", "of disk space"), ("MAX_MEMORY_GIB", "0.1", "memory")],
)
def test_a_launch_that_costs_too_much_is_refused_before_it_starts(folder, monkeypatch, name, value, refused):
    run = Run.create(override(PRESETS["digits"], {"training.members": "5000"}), "large", folder)
    monkeypatch.setenv(f"CERTSSB_{name}", value)
    before = contents(folder)
    with pytest.raises(RunError, match=refused):
        launch.start(run)
    assert contents(folder) == before


def test_what_costs_nobody_knows_is_refused_where_costs_are_limited(folder, monkeypatch):
    monkeypatch.setenv("CERTSSB_MAX_HOURS", "100")
    run = Run.create(override(PRESETS["digits"], {"data.classes": "3,4"}), "unknown", folder)
    with pytest.raises(RunError, match="Time this machine first"):
        launch.start(run)
    launch.check_affordable(Run.create(PRESETS["digits"], "known", folder))


def test_a_study_costs_all_its_trials(folder, monkeypatch):
    study = Study.create(describe(**STUDY.model_dump() | {"base": PRESETS["digits"], "trials": 500}), "long", folder)
    monkeypatch.setenv("CERTSSB_MAX_HOURS", "2")
    launch.check_affordable(Run.create(study.config.base, "one", folder))
    with pytest.raises(RunError, match="of time"):
        launch.start(study)


def test_a_dataset_is_not_fetched_where_that_is_not_allowed(tmp_path, monkeypatch):
    monkeypatch.setenv("CERTSSB_DOWNLOADS", "0")
    run = Run.create(override(PRESETS["digits"], {"data.name": "mnist", "data.root": str(tmp_path)}), "m", tmp_path)
    with pytest.raises(DataError, match="is not in"):
        _ = Pipeline(run).inputs


def test_two_do_not_time_this_machine_at_once(tmp_path):
    with forecast.timing(tmp_path), pytest.raises(RunError, match="being timed"), forecast.timing(tmp_path):
        pass


def test_the_server_is_for_this_machine_unless_its_keeper_says_otherwise():
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    server = settings["server"]
    assert (server["address"], server["enableXsrfProtection"], server["enableCORS"]) == ("localhost", True, True)
    assert server["maxUploadSize"] <= 20
    assert not server["enableStaticServing"]
    assert not settings["browser"]["gatherUsageStats"]
    assert settings["client"]["showErrorDetails"] == "none"
    assert not list(ROOT.glob(".streamlit/secrets*"))


def test_one_damaged_run_hides_no_other(folder):
    (folder / "new" / "config.json").write_text("[" * 50)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).switch_page("pages/train.py").run()
    assert not at.exception
    assert any("The run new cannot be shown" in error.value for error in at.error)
    assert at.selectbox(key="run").options == ["digits"]
