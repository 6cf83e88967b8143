"""Making trials: the same proposals whatever interrupts them, none lost, none twice, failures with their reason."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from certssb_core.config.presets import PRESETS
from certssb_core.errors import RunError
from certssb_core.jobs import queue, run_sequence, worker
from certssb_core.jobs.launch import start
from certssb_core.runs import files
from certssb_core.runs.run import Run
from certssb_core.tuning import optimise
from certssb_core.tuning.ranges import parse
from certssb_core.tuning.study import Study, describe, table
from tests.conftest import make_small_run

RANGES = ("noise.sigma=0.1:0.5", "training.epochs=2:16:log", "noise.train_map=uniform,sample-specific")


def values_of(settings: dict) -> tuple[float, float]:
    """A made-up landscape: accuracy falls with σ₀, the radius rises with it."""
    return 1 - settings["noise.sigma"] ** 2, settings["noise.sigma"] * np.log(settings["training.epochs"])


class Kill(BaseException):
    """What stands for a kill of the study's worker: nothing may catch it."""


@pytest.fixture
def study(tmp_path) -> Study:
    return make_study(tmp_path, "sweep", trials=14)


def make_study(runs_dir, name: str, *, trials: int, seed: int = 3) -> Study:
    ranges = dict(map(parse, RANGES))
    return Study.create(describe(base=PRESETS["digits-quick"], ranges=ranges, trials=trials, seed=seed), name, runs_dir)


class Workers:
    """In place of the queue: a run that is submitted finishes at once, or does what ``instead`` says."""

    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.instead: dict[str, object] = {}

    def submit(self, run: Run) -> None:
        self.submitted.append(run.name)
        if act := self.instead.get(run.name):
            act(run)
        else:
            self.finish(run)

    @staticmethod
    def finish(run: Run) -> None:
        config = run.config
        accuracy, radius = values_of({"noise.sigma": config.noise.sigma, "training.epochs": config.training.epochs})
        clean = {"accuracy": accuracy, "average_certified_radius": radius}
        files.write_json(run.path / "metrics.json", {"clean": clean, "seconds": {"total": 1.0}})
        run.log("finished")


@pytest.fixture
def workers(monkeypatch) -> Workers:
    workers = Workers()
    monkeypatch.setattr(queue, "submit", workers.submit)
    monkeypatch.setattr(run_sequence, "_POLL_SECONDS", 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return workers


def settings_of(study: Study) -> list[dict]:
    return [trial.settings for trial in study.trials()]


def expected(count: int, seed: int = 3) -> list[dict]:
    """The proposals of an uninterrupted study, from :func:`propose` alone, without folder, runs or journal."""
    config = describe(base=PRESETS["digits-quick"], ranges=dict(map(parse, RANGES)), trials=count, seed=seed)
    trials: list = []
    for _ in range(count):
        params = optimise.propose(config, trials)
        trials.append(
            create_trial(params=params, distributions=optimise.distributions(config), values=values_of(params))
        )
    return [trial.params for trial in trials]


def test_the_seed_decides_the_proposals_and_they_keep_to_the_ranges():
    first = expected(14)
    assert first == expected(14)
    assert first != expected(14, seed=4)
    assert all(0.1 <= settings["noise.sigma"] <= 0.5 and 2 <= settings["training.epochs"] <= 16 for settings in first)
    assert len({settings["noise.sigma"] for settings in first}) == 14, "no proposal is repeated"


def test_every_trial_is_a_run_with_its_settings_and_its_values(study, workers):
    assert optimise.work(study)
    assert study.status().state == "done"
    assert settings_of(study) == expected(14)
    for trial in study.trials():
        config = Run.open(trial.run, study.runs_dir).config
        assert trial.settings == {
            "noise.sigma": config.noise.sigma,
            "training.epochs": config.training.epochs,
            "noise.train_map": config.noise.train_map,
        }
        assert tuple(trial.values.values()) == pytest.approx(values_of(trial.settings))
        assert f"Trial {trial.number} of the study sweep" in config.title
    assert workers.submitted == [f"sweep-{number:03d}" for number in range(1, 15)]


@pytest.mark.parametrize("moment", ["proposed", "run made", "run finished", "before it is told", "journal torn"])
def test_a_kill_at_any_moment_neither_loses_nor_doubles_a_trial(study, workers, monkeypatch, moment):
    def kill(*_: object) -> None:
        raise Kill

    with monkeypatch.context() as patch:
        if moment == "proposed":
            patch.setattr(optimise, "_tried", kill)
        elif moment == "run made":
            workers.instead["sweep-012"] = kill
        elif moment == "run finished":
            workers.instead["sweep-012"] = lambda run: (Workers.finish(run), kill())
        else:
            tell = optuna.Study.tell
            patch.setattr(
                optuna.Study, "tell", lambda self, number, *_: kill() if number == 11 else tell(self, number, *_)
            )
        with pytest.raises(Kill):
            optimise.work(study)
    workers.instead.clear()
    if moment == "journal torn":
        with study.journal.open("ab") as file:
            file.write(b'{"op_code": 4, "wor')
    assert not study.is_locked()
    assert study.status().state == "failed"
    assert optimise.work(study)
    assert settings_of(study) == expected(14)
    assert [trial.state for trial in study.trials()] == ["done"] * 14
    assert len(Run.all(study.runs_dir)) == 14
    assert study.status().done == 14


def test_a_trial_that_fails_has_its_reason_and_the_study_goes_on(study, workers):
    workers.instead["sweep-002"] = lambda run: run.log("failed", message="no data")
    workers.instead["sweep-004"] = lambda run: run.log("progress", stage="members", done=1, total=2)  # killed
    assert optimise.work(study)
    made = table(study, study.trials())
    assert list(made["state"].value_counts().sort_index().items()) == [("done", 12), ("failed", 2)]
    failed = made[made["state"] == "failed"].set_index("run")["message"]
    assert "no data" in failed["sweep-002"]
    assert "killed" in failed["sweep-004"]
    assert not made.loc[made["state"] == "failed", "front"].any()


def test_a_trial_that_bought_its_radius_with_a_clue_says_so(study, workers):
    """So does one whose run collapsed; one whose run was deleted since says nothing."""
    clue = {"inputs": 100, "same_answer": 0.6, "accuracy": 0.9, "accuracy_permuted": 0.5}
    facts = {"sweep-003": {"permuted_levels": clue}, "sweep-004": {"collapsed": True}}
    assert optimise.work(study)
    for name, fact in facts.items():
        run = Run.open(name, study.runs_dir)
        files.write_json(run.path / "metrics.json", run.metrics | fact)
    shutil.rmtree(study.runs_dir / "sweep-005")
    said = table(study, study.trials()).set_index("run")["message"]
    assert {name: words for name, words in said.items() if words} == {
        "sweep-003": "σ* gives the class away",
        "sweep-004": "collapsed: one class for everything",
    }


def test_settings_that_do_not_fit_together_fail_without_a_run(tmp_path, workers):
    ranges = dict(map(parse, ["noise.sigma=0.1:0.5", "noise.sigma_min=0.01:0.5"]))
    study = Study.create(describe(base=PRESETS["digits-quick"], ranges=ranges, trials=6, seed=1), "s", tmp_path)
    optimise.work(study)
    for trial in study.trials():
        fits = trial.settings["noise.sigma_min"] <= trial.settings["noise.sigma"]
        assert (trial.state, (tmp_path / trial.run).exists()) == (("done", True) if fits else ("failed", False))
        assert fits or "must lie between" in trial.message
    assert {trial.state for trial in study.trials()} == {"done", "failed"}


def test_what_makes_every_trial_fail_ends_the_study(study, workers):
    for number in range(1, 15):
        workers.instead[f"sweep-{number:03d}"] = lambda run: run.log("failed", message="no data")
    assert not optimise.work(study)
    status = study.status()
    assert (status.state, status.done) == ("failed", 3)
    assert "no data" in status.message


def test_a_stopped_study_goes_on_where_it_was(study, workers):
    def stop(run: Run) -> None:
        study.request_stop()
        run.log("stopped")

    workers.instead["sweep-003"] = stop
    assert not optimise.work(study)
    assert (study.status().state, study.status().done) == ("stopped", 2)
    assert not study.stop_requested()
    workers.instead.clear()
    assert optimise.work(study)
    assert settings_of(study) == expected(14)


def test_stopping_the_study_stops_the_run_at_work(study, workers, monkeypatch):
    held = []

    def run_on(run: Run) -> None:
        lock = run.lock()
        lock.__enter__()
        held.append(lock)
        study.request_stop()

    def stop(run: Run) -> None:
        touched.append(run.name)
        run.log("stopped")
        held.pop().__exit__(None, None, None)

    touched: list[str] = []
    workers.instead["sweep-001"] = run_on
    monkeypatch.setattr(Run, "request_stop", stop)
    assert not optimise.work(study)
    assert touched == ["sweep-001"]
    assert study.trials()[0].state == "running", "to be taken up again"


def test_a_run_stopped_by_itself_interrupts_the_study(study, workers):
    workers.instead["sweep-002"] = lambda run: run.log("stopped")
    assert not optimise.work(study)
    assert "sweep-002 was stopped" in study.status().message
    assert [trial.state for trial in study.trials()] == ["done", "running"]


def test_a_study_without_one_finished_trial_has_failed(tmp_path, workers):
    study = make_study(tmp_path, "vain", trials=2)
    for name in ("vain-001", "vain-002"):
        workers.instead[name] = lambda run: run.log("failed", message="no room")
    assert not optimise.work(study)
    assert study.status().state == "failed"
    assert study.status().message == "none of the 2 trials came to its end; the last failed: no room"


def test_a_name_taken_by_a_foreign_run_is_not_touched(study, workers):
    foreign = Run.create(PRESETS["digits"], "sweep-002", study.runs_dir)
    assert optimise.work(study)
    assert "another run named sweep-002" in study.trials()[1].message
    assert foreign.status().state == "new"


def test_one_worker_at_a_time(study, monkeypatch):
    monkeypatch.setattr(worker, "LOCK_SECONDS", 0)
    with study.lock(), pytest.raises(RunError, match="has a worker"):
        optimise.work(study)


def test_importance_finds_the_setting_that_matters(study, workers):
    assert optimise.importance(study).empty
    optimise.work(study)
    found = optimise.importance(study)
    assert found.groupby("objective")["share"].sum().tolist() == pytest.approx([1, 1])
    of_accuracy = found[found["objective"] == "accuracy"].set_index("setting")["share"]
    assert of_accuracy.idxmax() == "noise.sigma"
    assert of_accuracy["noise.sigma"] > 0.7
    assert found.equals(optimise.importance(study)), "the forest is seeded"


def test_the_journal_is_optunas_own(study, workers):
    optimise.work(study)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(study.journal)))
    loaded = optuna.load_study(study_name="sweep", storage=storage)
    assert [trial.state for trial in loaded.trials] == [TrialState.COMPLETE] * 14


@pytest.mark.slow
def test_a_real_study_survives_the_kill_of_its_worker(tmp_path):
    """Real processes: the study's worker is killed, its run goes on; the next worker takes that run's result."""
    base = make_small_run(tmp_path, "base", **{"noise.iterations": "1", "training.single_epochs": "2"}).config
    study = Study.create(
        describe(base=base, ranges=dict(map(parse, ["noise.sigma=0.1:0.5", "training.epochs=2:6"])), trials=2),
        "real",
        tmp_path,
    )
    worker = start(study)
    run = Run(tmp_path / "real-001")
    while not run.is_locked():
        assert worker.poll() is None, (study.path / "worker.log").read_text()
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert start(study).wait(timeout=300) == 0
    assert [trial.state for trial in study.trials()] == ["done", "done"]
    assert sum(event.get("message") == "worker started" for event in run.events()) == 1, (
        "its run was never started again"
    )
    assert study.trials()[0].values["accuracy"] == run.metrics["clean"]["accuracy"]
