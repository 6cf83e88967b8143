"""Finished runs in the true file format whose votes are made up: as large as real ones, and there in seconds.

Inputs are random points; members vote for the true class with a probability of each input's own. Certificates, store
and metrics are computed from that by the pipeline's own functions.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from certssb_core.certify.metrics import store_metrics
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.results import certification
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run
from certssb_core.store.store import Entry, Store

TRAINED, TESTED, SIDE = 12_665, 2_115, 28  # MNIST 0/1
GRID, STEPS, KEPT = 40, 8, 64


def make_runs(folder: Path, count: int) -> list[Run]:
    """``count`` runs of 2 × 2,115 certificates by M = 1,000 votes; they differ in name, time and title only."""
    first = _make_run(folder, "made-up-00")
    runs = [first]
    for number in range(1, count):
        path = folder / f"made-up-{number:02d}"
        shutil.copytree(first.path, path)
        runs.append(Run(path))
        runs[-1].replace_config(override(first.config, {"title": f"Made up, number {number}"}))
    return runs


def make_small_runs(folder: Path, source: Run, count: int) -> None:
    """``count`` runs that hold of ``source`` only what a row in the list of runs is made of."""
    for number in range(count):
        path = folder / f"small-{number:04d}"
        path.mkdir()
        for name in ("config.json", "metrics.json", "events.jsonl"):
            shutil.copy(source.path / name, path / name)


def _make_run(folder: Path, name: str) -> Run:
    config = override(PRESETS["mnist-01-onepixel"], {"title": "Made up"})
    run, generator = Run.create(config, name, folder), np.random.default_rng(0)
    labels = generator.integers(0, 2, TESTED)
    write_noise(run, TRAINED, TESTED, generator)
    write_votes(run, labels, generator)
    write_results(run, generator.random((2 * TESTED, SIDE * SIDE), dtype=np.float32))
    for done in range(0, config.training.members, 10):
        run.log("progress", stage="members", done=done, total=config.training.members, accuracy=0.99)
    run.log("stage", stage="store")
    run.log("finished", message="done")
    return run


def write_noise(run: Run, trained: int, tested: int, generator: np.random.Generator) -> None:
    """Poison some of ``trained`` images; make up σ* of these and of the ``tested`` test images, two classes."""
    poisoned = np.sort(generator.choice(trained, trained // 50, replace=False))
    poison = {"indices": poisoned, "norms": np.ones(len(poisoned)), "original_labels": np.ones(len(poisoned), np.int64)}
    files.write_arrays(run.path / "poison.safetensors", poison)
    grid = np.geomspace(0.05, 2.0, GRID)
    arrays = {"train_labels": generator.integers(0, 2, trained), "curve_sigma": grid}
    for which, count in (("train", trained), *((name, tested) for name in SETS)):
        star = np.exp(generator.normal(-0.9, 0.35, count)).clip(0.05, 2.0)
        kept = np.arange(KEPT)
        path = np.geomspace(0.25, star[kept], STEPS + 1).T
        arrays |= {which: star, f"path_index/{which}": kept, f"path_sigma/{which}": path}
        arrays[f"path_radius/{which}"] = 2.5 * path * np.exp(-path / star[kept, None])
        arrays[f"curve_radius/{which}"] = 2.5 * grid * np.exp(-grid / star[kept, None])
    files.write_arrays(run.path / "sigma.safetensors", arrays)


def write_votes(run: Run, labels: np.ndarray, generator: np.random.Generator) -> None:
    """Votes of the run's members on test images of two classes, most of them right."""
    arrays = {"labels": labels}
    for noise_map in ("uniform", "sample-specific"):
        for which in SETS:
            right = generator.random((run.config.training.members, len(labels))) < generator.beta(20, 1, len(labels))
            votes = np.where(right, labels, 1 - labels).astype(np.uint8)
            arrays[f"votes/{which}/{noise_map}"] = votes
            arrays[f"softmax/{which}/{noise_map}"] = np.stack([1 - votes.mean(axis=0), votes.mean(axis=0)], axis=1)
    files.write_arrays(run.path / "votes.safetensors", arrays)


def write_results(run: Run, points: np.ndarray, *, enlarged: float = 1.0) -> None:
    """Certificates, store, metrics and manifest from a made-up run's votes.

    Args:
        points: ``(n, d)`` where the balls of the certified inputs lie, clean ones first; enlarged: their radii, by it.
    """
    run_votes, rule = read_run_votes(run), run.config.certification
    table = certification.certify_votes(run_votes, mode="sample-specific", bound=rule.bound, alpha=rule.alpha)
    with Store.open(run.store_path) as store:
        columns = table["prediction"].to_numpy(), enlarged * table["radius"].to_numpy(), table["sigma"].to_numpy()
        entries = store.insert(points, *columns, list(table["set"]), table["index"].to_numpy())
    table["store_case"] = [entry.case for entry in entries]
    table["store_prediction"] = [entry.label for entry in entries]
    table["store_radius"] = [entry.radius_after for entry in entries]
    write_metrics(run, run_votes, table, entries)


def write_metrics(run: Run, run_votes: RunVotes, table: pd.DataFrame, entries: list[Entry]) -> None:
    """certificates.csv from a ``table`` with its store columns, metrics and manifest; ``entries`` are the ledger."""
    table.to_csv(run.path / "certificates.csv", index=False)
    metrics = certification.assess(run_votes, table, radii=run.config.certification.radii) | {
        "undefended": {"clean_accuracy": 0.99, "attack_success_rate": 0.99, "attack_works": True},
        "store": store_metrics(entries),
        "joint_budget": {"norm": 1.0, "images_median": 0, "certified_without_training_change": 0.5},
        "seconds": {"total": 1.0},
        "peak_memory_bytes": 1,
    }
    files.write_json(run.path / "metrics.json", metrics)
    files.write_json(run.path / "manifest.json", {"versions": {}, "device": "cpu", "seed": run.config.seed})
