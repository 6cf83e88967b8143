"""Finished runs in the true file format whose votes are made up: as large as real ones, and there in seconds.

Inputs are random points; members vote for the true class with a probability of each input's own. Certificates, store
and metrics are computed from that by the pipeline's own functions.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from certssb_core.certify.metrics import store_metrics
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run
from certssb_core.store.store import Store

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
    _write_poison(run, generator)
    sigma = _write_sigma(run, generator)
    _write_votes(run, config, labels, sigma, generator)
    write_results(run, generator.random((2 * TESTED, SIDE * SIDE), dtype=np.float32))
    for done in range(0, config.training.members, 10):
        run.log("progress", stage="members", done=done, total=config.training.members, accuracy=0.99)
    run.log("stage", stage="store")
    run.log("finished", message="done")
    return run


def _write_poison(run: Run, generator: np.random.Generator) -> None:
    poisoned = np.sort(generator.choice(TRAINED, TRAINED // 50, replace=False))
    arrays = {"indices": poisoned, "norms": np.ones(len(poisoned)), "original_labels": np.ones(len(poisoned), np.int64)}
    files.write_arrays(run.path / "poison.safetensors", arrays)


def _write_sigma(run: Run, generator: np.random.Generator) -> dict[str, np.ndarray]:
    grid = np.geomspace(0.05, 2.0, GRID)
    arrays = {"train_labels": generator.integers(0, 2, TRAINED), "curve_sigma": grid}
    for which, count in (("train", TRAINED), *((name, TESTED) for name in SETS)):
        star = np.exp(generator.normal(-0.9, 0.35, count)).clip(0.05, 2.0)
        kept = np.arange(KEPT)
        path = np.geomspace(0.25, star[kept], STEPS + 1).T
        arrays |= {which: star, f"path_index/{which}": kept, f"path_sigma/{which}": path}
        arrays[f"path_radius/{which}"] = 2.5 * path * np.exp(-path / star[kept, None])
        arrays[f"curve_radius/{which}"] = 2.5 * grid * np.exp(-grid / star[kept, None])
    files.write_arrays(run.path / "sigma.safetensors", arrays)
    return arrays


def _write_votes(
    run: Run, config: RunConfig, labels: np.ndarray, sigma: dict[str, np.ndarray], generator: np.random.Generator
) -> None:
    arrays = {"labels": labels}
    for noise_map in ("uniform", "sample-specific"):
        for which in SETS:
            right = generator.random((config.training.members, TESTED)) < generator.beta(20, 1, TESTED)
            arrays[f"votes/{which}/{noise_map}"] = np.where(right, labels, 1 - labels).astype(np.uint8)
            share = np.stack([(arrays[f"votes/{which}/{noise_map}"] == label).mean(axis=0) for label in (0, 1)], axis=1)
            arrays[f"softmax/{which}/{noise_map}"] = share
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
    table.to_csv(run.path / "certificates.csv", index=False)
    metrics = certification.assess(run_votes, table, radii=rule.radii) | {
        "undefended": {"clean_accuracy": 0.99, "attack_success_rate": 0.99, "attack_works": True},
        "store": store_metrics(entries),
        "joint_budget": {"norm": 1.0, "images_median": 0, "certified_without_training_change": 0.5},
        "seconds": {"total": 1.0},
        "peak_memory_bytes": 1,
    }
    files.write_json(run.path / "metrics.json", metrics)
    files.write_json(run.path / "manifest.json", {"versions": {}, "device": "cpu", "seed": run.config.seed})
