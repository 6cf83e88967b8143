"""Forecast the time, memory and disk of a run: from a timing of this machine, else scaled from a finished run."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import ceil, inf
from pathlib import Path

from certssb_core.config.schema import RunConfig
from certssb_core.errors import ConfigError, RunError
from certssb_core.pipeline.engines.local import available_cores
from certssb_core.runs import files, locks
from certssb_core.runs.makers import makers
from certssb_core.runs.run import Run

NOT_MEASURED = (0.8, 1.3)
"""The forecast's range is the spread of the timings times these: a timing of seconds can be so far off for minutes."""
CURVE_POINTS, CURVE_DRAWS = 32, 64  # of the r(x, σ) curves that a run keeps


@dataclass(frozen=True)
class Cost:
    """A forecast: seconds, most likely between ``low`` and ``high``; bytes; and a sentence on what it is based on."""

    seconds: float
    low: float
    high: float
    peak_memory_bytes: int
    disk_bytes: int
    basis: str


@dataclass(frozen=True)
class Calibration:
    """Timings of this machine, with as many processes at work as a run has.

    Attributes:
        workers: processes; train_images, test_images, pixels (of one image), weights (of one network): sizes.
        start: seconds until the processes are there; data: to read and poison the data, and to take it through the
            members' map, where they have one.
        fit: seconds per training image of one fit, its noise above all; step: per image and epoch; of a member
            trained together with as many as a run would.
        forward: seconds per image and pass; backward: with the gradient to σ.
        spread: fastest and slowest timing over the median.
        peak_memory_bytes: of all processes, on ``sample`` training images.
        undefended: as ``step``, of the undefended model; None where its network is the members'.
    """

    workers: int
    train_images: int
    test_images: int
    pixels: int
    weights: int
    sample: int
    start: float
    data: float
    fit: float
    step: float
    forward: float
    backward: float
    spread: tuple[float, float]
    peak_memory_bytes: int
    undefended: float | None = None


def forecast(config: RunConfig, runs: Iterable[Run], calibration: Calibration | None) -> Cost | None:
    """Forecast ``config``; None where nothing comparable was measured."""
    if calibration is not None:
        return from_calibration(config, calibration)
    return from_finished_run(config, runs)


def total(wanted: Mapping[RunConfig, int], runs_dir: Path) -> Cost | None:
    """Total cost of the runs in sequence, so many of each config; None if any is unknown."""
    runs, costs = Run.all(runs_dir), []
    for config, count in wanted.items():
        if (one := forecast(config, runs, read_calibration(config, runs_dir))) is None:
            return None
        costs.append((count, one))
    return Cost(
        seconds=sum(count * one.seconds for count, one in costs),
        low=sum(count * one.low for count, one in costs),
        high=sum(count * one.high for count, one in costs),
        peak_memory_bytes=max((one.peak_memory_bytes for _, one in costs), default=0),
        disk_bytes=sum(count * one.disk_bytes for count, one in costs),
        basis="the sum of the runs",
    )


def from_calibration(config: RunConfig, measured: Calibration) -> Cost:
    """Multiply the work of every stage by the time of a unit of it, and share it among the processes."""
    noise, training = config.noise, config.training
    searched = {"train": noise.searches_train, "test": noise.searches_test}
    sizes = [measured.train_images] * searched["train"] + 2 * [measured.test_images] * searched["test"]
    looks = (2 + noise.candidates) * noise.draws * measured.forward
    ascent = noise.iterations * noise.draws * measured.backward
    curve = (CURVE_POINTS * CURVE_DRAWS + noise.draws) * measured.forward
    sigma = sum(size * (looks + ascent) + min(noise.paths, size) * curve for size in sizes)

    base = _fit_seconds(measured, training.single_epochs)
    undefended = measured.undefended
    singles = [base if undefended is None else measured.train_images * training.single_epochs * undefended]
    singles += [base] * any(searched.values())
    computing = (
        (sum(singles) if measured.workers == 1 else max(singles))
        + sigma / measured.workers
        + ceil(training.members / measured.workers) * member_seconds(config, measured)
        + fixed_looks(config) * 2 * measured.test_images * measured.forward / measured.workers
    )
    fixed = 2 * measured.start + measured.data
    return Cost(
        seconds=fixed + computing,
        low=fixed + computing * measured.spread[0] * NOT_MEASURED[0],
        high=fixed + computing * measured.spread[1] * NOT_MEASURED[1],
        peak_memory_bytes=_memory(measured),
        disk_bytes=_disk(config, measured),
        basis="from timing this network on these images here for a few seconds, with "
        f"{measured.workers} process{'es' if measured.workers > 1 else ''}; other programs at work stretch it",
    )


def fixed_looks(config: RunConfig) -> int:
    """Number of answers of a single network that the fixed ensemble's draws on one test input take."""
    return config.certification.fixed_draws * min(config.certification.jury, config.training.members)


def member_seconds(config: RunConfig, measured: Calibration) -> float:
    """Seconds that one process needs to train a member and let it vote."""
    training = config.training
    voting = 2 * measured.test_images * config.noise.votes_per_input * measured.forward
    return training.seen_on_average(measured.train_images) * _fit_seconds(measured, training.epochs) + voting


def _fit_seconds(measured: Calibration, epochs: int) -> float:
    """Seconds of a training on all images."""
    return measured.train_images * (measured.fit + epochs * measured.step)


def _memory(measured: Calibration) -> int:
    """Peak memory: as measured on a sample, plus the missing images three times per process (noisy copies)."""
    missing = 3 * (measured.train_images - measured.sample) * 4 * measured.pixels
    return measured.peak_memory_bytes + measured.workers * missing


def _disk(config: RunConfig, measured: Calibration) -> int:
    """Bytes on disk, counted: weights, votes (in the shards and gathered), two single models, balls and ledger."""
    weight = {"float32": 4, "bfloat16": 2}[config.training.storage]
    inputs = 2 * measured.test_images
    members = config.training.members * (weight * measured.weights + 2 * inputs * config.bytes_per_vote)
    members += inputs * config.certification.fixed_draws
    return members + 2 * 4 * measured.weights + inputs * (4 * measured.pixels + 400)


def from_finished_run(config: RunConfig, runs: Iterable[Run]) -> Cost | None:
    """Scale the cost of the first of ``runs`` that is finished, and on the same images, network and batch size.

    Runs that a study or a measurement made are passed over.

    Each stage is taken to cost in proportion to its work: single models to their epochs, σ* to steps × draws, members
    to members × epochs, votes to members. The run may have been made on another machine.
    """
    for run in runs:
        try:
            if not _comparable(config, run.config) or run.status().state != "done":
                continue
            if run.name in makers(run.runs_dir):  # cut down to a few members: it says little about a whole run
                continue
            metrics = run.metrics
        except (ConfigError, RunError):
            continue  # a damaged run measures nothing
        else:
            seconds = _scaled(metrics["seconds"], config, run.config)
            members = config.training.members / run.config.training.members
            basis = f"scaled from run *{run.name}*, on the machine it was made on, so within a factor of two or worse"
            return Cost(
                seconds, seconds / 2, 2 * seconds, metrics["peak_memory_bytes"], round(run.size() * members), basis
            )
    return None


def _scaled(seconds: dict[str, float], config: RunConfig, known: RunConfig) -> float:
    wanted, measured = _work(config), _work(known)
    return sum(
        value * wanted.get(stage, 1) / max(measured.get(stage, 1), 1)
        for stage, value in seconds.items()
        if stage != "total"
    )


def _comparable(config: RunConfig, known: RunConfig) -> bool:
    def images(of: RunConfig) -> dict:
        return of.data.model_dump(exclude={"root"})

    return (
        images(config) == images(known)
        and config.origin == known.origin
        and config.training.model in ("auto", known.training.model)
        and config.training.device in ("auto", known.training.device)
        and config.training.batch_size == known.training.batch_size
    )


def _work(config: RunConfig) -> dict[str, float]:
    """Units of work per stage; stages not named cost the same in every run."""
    noise, training = config.noise, config.training
    return {
        "undefended": training.single_epochs,
        "sigma": noise.iterations * noise.draws if noise.searches else 0,
        "members": training.members * training.epochs * training.share,
        "votes": training.members + fixed_looks(config),
    }


# -- the calibrations of a folder of runs ---------------------------------------------------------------


def calibration_path(runs_dir: Path) -> Path:
    return runs_dir / ".calibration.json"


def read_calibration(config: RunConfig, runs_dir: Path) -> Calibration | None:
    """Read the timing of this machine, network and images; None where there is none, or the file is damaged."""
    try:
        entry = _entries(runs_dir)[_key(config)]
        found = Calibration(**entry | {"spread": tuple(entry["spread"])})
        numbers = [value for name, value in asdict(found).items() if name not in ("spread", "undefended")]
        numbers += [*found.spread, found.undefended or 0]
        whole = all(isinstance(value, int | float) and 0 <= value < inf for value in numbers)
        return found if whole and found.workers and len(found.spread) == 2 else None
    except (KeyError, TypeError):
        return None


@contextmanager
def timing(runs_dir: Path) -> Iterator[None]:
    """Hold the right to time this machine: two timings at once would disturb each other.

    Raises:
        RunError: someone is timing it, or this process may read only.
    """
    with files.writing(runs_dir):
        runs_dir.mkdir(parents=True, exist_ok=True)
    held = "this machine is being timed at this moment: try again in a few seconds"
    with locks.hold(runs_dir / ".calibration.lock", held=held):
        yield


def write_calibration(config: RunConfig, measured: Calibration, runs_dir: Path) -> None:
    with files.writing(runs_dir):
        runs_dir.mkdir(parents=True, exist_ok=True)
        files.write_json(calibration_path(runs_dir), _entries(runs_dir) | {_key(config): asdict(measured)})


def _entries(runs_dir: Path) -> dict[str, dict]:
    try:
        found = json.loads(calibration_path(runs_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(config: RunConfig) -> str:
    """Everything that a timing depends on: the machine, the images, the network and its training."""
    machine = {"machine": platform.node(), "cores": available_cores()}
    data = config.data.model_dump(mode="json", exclude={"root"})
    training = config.training.model_dump(
        include={"model", "undefended_model", "batch_size", "device", "precision", "workers"}
    )
    return json.dumps(machine | {"data": data, "training": training}, sort_keys=True)
