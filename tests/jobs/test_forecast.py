"""The estimate of a run's cost against hand-worked numbers."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.jobs import forecast as cost
from certssb_core.jobs.forecast import (
    NOT_MEASURED,
    Calibration,
    calibration_path,
    forecast,
    from_calibration,
    from_finished_run,
    member_seconds,
    read_calibration,
    write_calibration,
)
from certssb_core.runs import files
from certssb_core.runs.makers import makers
from certssb_core.runs.run import Run

MEASURED = {"data": 1.0, "undefended": 10.0, "sigma": 20.0, "members": 100.0, "votes": 2.0, "store": 3.0}
BASE = override(
    RunConfig(),
    {
        "training.members": "50",
        "training.epochs": "4",
        "training.single_epochs": "10",
        "noise.iterations": "10",
        "noise.draws": "8",
    },
)


@pytest.fixture
def measured(tmp_path) -> Run:
    run = Run.create(BASE, "measured", tmp_path)
    seconds = MEASURED | {"total": sum(MEASURED.values())}
    files.write_json(run.path / "metrics.json", {"seconds": seconds, "peak_memory_bytes": 5_000})
    run.log("finished")
    return run


def test_the_same_setting_costs_the_same(measured):
    cost = from_finished_run(BASE, [measured])
    assert cost.seconds == pytest.approx(136.0)
    assert cost.low < 136.0 < cost.high
    assert cost.peak_memory_bytes == 5_000
    assert cost.disk_bytes == measured.size()
    assert "*measured*" in cost.basis


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        ({"training.members": "100"}, 136.0 + 100 + 2),  # twice the members, twice the votes
        ({"training.epochs": "2"}, 136.0 - 50),
        ({"training.share": "0.25"}, 136.0 - 75),
        ({"training.single_epochs": "30"}, 136.0 + 20),
        ({"noise.iterations": "5", "noise.draws": "32"}, 136.0 + 20),
        ({"noise.train_map": '"uniform"', "noise.test_map": '"uniform"'}, 136.0 - 20),
    ],
)
def test_each_stage_scales_with_its_work(measured, change, seconds):
    assert from_finished_run(override(BASE, change), [measured]).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "change", [{"data.classes": "0,1"}, {"training.batch_size": "8"}, {"training.model": "resnet18"}]
)
def test_another_kind_of_run_says_nothing(measured, change):
    assert from_finished_run(override(BASE, change), [measured]) is None


def test_an_unfinished_run_says_nothing(measured):
    measured.log("stopped")
    assert from_finished_run(BASE, [measured]) is None


def test_a_damaged_run_says_nothing(measured):
    (measured.path / "metrics.json").write_text("{")
    assert from_finished_run(BASE, [measured]) is None


TIMED = Calibration(
    workers=2,
    train_images=1000,
    test_images=100,
    pixels=64,
    weights=500,
    sample=600,
    start=3.0,
    data=1.0,
    fit=1e-4,
    step=1e-3,
    forward=1e-5,
    backward=4e-5,
    spread=(0.9, 1.2),
    peak_memory_bytes=10**9,
)
UNIFORM = {"noise.train_map": "uniform", "noise.test_map": "uniform"}


def test_a_calibrated_forecast_is_the_work_times_its_units():
    """50 members on two processes: 25 fits one after the other, of 0.1 s and 4 epochs of 1 s, and 200 votes each."""
    cost = from_calibration(override(BASE, UNIFORM), TIMED)
    members = 25 * (0.1 + 4 * 1.0 + 200 * 1e-5)
    undefended = 0.1 + 10 * 1.0
    assert cost.seconds == pytest.approx(2 * 3.0 + 1.0 + undefended + members)
    assert cost.low == pytest.approx(7.0 + (undefended + members) * 0.9 * NOT_MEASURED[0])
    assert cost.high == pytest.approx(7.0 + (undefended + members) * 1.2 * NOT_MEASURED[1])


@pytest.mark.parametrize(("workers", "maps", "seconds"), [(2, UNIFORM, 20.0), (1, {}, 30.1), (2, {}, 20.0)])
def test_an_undefended_model_of_another_kind_has_its_own_time(workers, maps, seconds):
    """10 epochs of 1,000 images at 2 ms; a base classifier takes 10.1 s beside it, or after it on one process."""
    timed = replace(TIMED, workers=workers)
    config = override(BASE, {"noise.iterations": "0", "noise.paths": "0", "noise.candidates": "0"} | maps)
    alike = from_calibration(config, timed).seconds
    other = from_calibration(config, replace(timed, undefended=2e-3)).seconds
    same = 20.2 if (workers, maps) == (1, {}) else 10.1
    assert other - alike == pytest.approx(seconds - same)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"training.share": "0.25"}, 0.25),
        (
            {"training.sees": "partition", "noise.law": "none", "certification.certificate": "partition"},
            1 / 50,
        ),
        (
            {
                "training.sees": "subset",
                "training.subset": "20",
                "training.model": "nearest-mean",
                "noise.law": "gaussian-test",
                "certification.certificate": "subset",
            },
            20 / 1000,
        ),
    ],
)
def test_a_member_costs_what_it_sees(change, seen):
    """Its fit, of 0.1 s and 4 epochs of 1 s over all images, shrinks with its share; its 200 votes do not."""
    assert member_seconds(override(BASE, UNIFORM | change), TIMED) == pytest.approx(seen * 4.1 + 200 * 1e-5)


def test_the_search_for_sigma_is_counted_by_its_passes():
    """Eight draws, and eight candidates beside σ₀ and the anchor: 80 passes and 80 with gradient for every image; of
    64 images a set the curve too. Votes are cast at two levels then."""
    config = override(BASE, {"noise.candidates": "8", "noise.paths": "64"})
    more = from_calibration(config, TIMED).seconds - from_calibration(override(config, UNIFORM), TIMED).seconds
    images = 1000 + 2 * 100
    sigma = images * (80 * 1e-5 + 80 * 4e-5) + 3 * 64 * (32 * 64 + 8) * 1e-5
    assert more == pytest.approx(sigma / 2 + 25 * 200 * 1e-5)


def test_disk_and_memory_are_counted():
    cost = from_calibration(override(BASE, UNIFORM), TIMED)
    assert cost.disk_bytes == 50 * (2 * 500 + 2 * 200) + 2 * 4 * 500 + 200 * (4 * 64 + 400)
    assert cost.peak_memory_bytes == 10**9 + 2 * 3 * 400 * 4 * 64


def test_a_calibration_comes_before_a_finished_run_and_nothing_known_is_no_forecast(measured):
    assert forecast(BASE, [measured], TIMED) == from_calibration(BASE, TIMED)
    assert forecast(BASE, [measured], None) == from_finished_run(BASE, [measured])
    assert forecast(BASE, [], None) is None


def test_a_calibration_is_kept_for_its_machine_images_and_network(tmp_path):
    write_calibration(BASE, TIMED, tmp_path / "runs")
    assert read_calibration(override(BASE, {"training.members": "7"}), tmp_path / "runs") == TIMED
    assert read_calibration(override(BASE, {"training.batch_size": "7"}), tmp_path / "runs") is None
    assert read_calibration(override(BASE, {"data.classes": "0,1"}), tmp_path / "runs") is None


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_calibration_is_as_none(tmp_path, content):
    write_calibration(BASE, TIMED, tmp_path)
    calibration_path(tmp_path).write_text(content)
    assert read_calibration(BASE, tmp_path) is None
    write_calibration(BASE, TIMED, tmp_path)
    assert read_calibration(BASE, tmp_path) == TIMED


def test_several_runs_take_their_sum_and_the_memory_of_the_largest(tmp_path, monkeypatch):
    known = {
        override(PRESETS["digits"], {"seed": "1"}): cost.Cost(10.0, 8.0, 13.0, 500, 70, ""),
        override(PRESETS["digits"], {"seed": "2"}): cost.Cost(4.0, 3.0, 5.0, 900, 20, ""),
    }
    monkeypatch.setattr(cost, "forecast", lambda config, runs, calibration: known.get(config))
    one, other = known
    found = cost.total({one: 2, other: 3}, tmp_path)
    assert (found.seconds, found.low, found.high) == (32.0, 25.0, 41.0)
    assert (found.peak_memory_bytes, found.disk_bytes) == (900, 200)
    assert cost.total({one: 1, PRESETS["digits"]: 1}, tmp_path) is None
    assert cost.total({}, tmp_path).seconds == 0


def test_runs_of_studies_and_measurements_are_no_source(measured, tmp_path):
    """A trial, and a run that a measurement made; one that was there before and was only taken up stays a source."""
    shutil.copytree(measured.path, tmp_path / "sweep-001")
    (tmp_path / ".studies" / "sweep").mkdir(parents=True)
    folder = tmp_path / ".measurements" / "compare-all"
    folder.mkdir(parents=True)
    files.write_json(folder / "measurement.json", {"runs": {"measured": {}, "made": {}}})
    (folder / "events.jsonl").write_text('{"time": "2999-01-01T00:00:00.000+00:00", "kind": "asked"}\n')
    shutil.copytree(measured.path, tmp_path / "made")
    (tmp_path / "made" / "events.jsonl").write_text(
        '{"time": "2999-01-02T00:00:00.000+00:00", "kind": "message"}\n'
        '{"time": "2999-01-02T00:00:01.000+00:00", "kind": "finished"}\n'
    )
    assert makers(tmp_path) == {"sweep-001": "study sweep", "made": "measurement compare-all"}
    assert from_finished_run(BASE, [Run(tmp_path / "sweep-001"), Run(tmp_path / "made")]) is None
    assert "*measured*" in from_finished_run(BASE, Run.all(tmp_path)).basis
    (folder / "measurement.json").write_text("[")
    assert makers(tmp_path) == {"sweep-001": "study sweep"}
