"""Regret of σ* against a dense grid: our searches, the released first-order update and the best uniform σ, in one run.

    python -m benchmarks.sigma [--images 200] [--grid 32] [--range preset]        (MNIST under CERTSSB_DATA)

A base classifier is trained on MNIST 0/1 (one-pixel backdoor, 2 %) at uniform σ₀. r(x, σ) is capped at what M = 1000
votes certify (α 0.001) and anchored at the class that leads at σ₀, as in the search. The oracle is the largest r over a
log grid on the range of σ and over the answers themselves, all from the same 500 draws, none of which any search saw.
The range is that of the release, σ₀ 0.25 and [0.05, 2.0], or the preset's own. Prints a table and writes
results/sigma.json, or sigma-preset.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import record
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble.models import build
from certssb_core.ensemble.training import native_precision, train
from certssb_core.pipeline.tasks import search_settings
from certssb_core.runs.inputs import load_inputs
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.seeds import standard_normal
from certssb_core.smoothing.sigma_search import ascend, leading_class, radius_curve, smoothed_radius

PRESET = PRESETS["mnist-01-onepixel"]
CONFIGS = {
    "release": override(PRESET, {"noise.sigma": "0.25", "noise.sigma_min": "0.05", "noise.sigma_max": "2.0"}),
    "preset": PRESET,
}
SEARCHES = {
    "our search": {"candidates": 8, "iterations": 3, "draws": 16},
    "our search without steps": {"candidates": 4, "iterations": 0, "draws": 24},
}
"""The ascent, and the preset's own search: the top of a parabola."""
ORACLE_DRAWS, ORACLE_SEED = 500, 1_000_003
RELEASE_STEPS, RELEASE_STEP, RELEASE_CAP = 1100, 1e-4, 0.98


@dataclass(frozen=True)
class Timed:
    """σ ``(n,)`` of every image, and what finding one took: wall clock and processor time."""

    sigma: torch.Tensor
    wall_ms: float
    cpu_ms: float


def timed(search: Callable[[], torch.Tensor], images: int) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    sigma = search()
    return Timed(sigma, (time.perf_counter() - wall) / images * 1000, (time.process_time() - cpu) / images * 1000)


def base_classifier(
    images: torch.Tensor, labels: torch.Tensor, sigma_0: float, epochs: int, precision: str
) -> torch.nn.Module:
    network = build("mnist-cnn", channels=1, side=28, classes=2, seed=0, member=-2)
    sigma = torch.full((len(images),), sigma_0)
    copy = NOISE_LAWS["gaussian"].training_set(images, labels, sigma, classes=2, seed=0, member=-2)
    settings = {"batch_size": 256, "learning_rate": 3e-3, "precision": precision, "seed": 0, "member": -2}
    return train(network, copy.images, copy.labels, epochs=epochs, **settings).requires_grad_(False)


@torch.no_grad()
def released_update(network: torch.nn.Module, images: torch.Tensor, sigma_0: float, draws: int) -> torch.Tensor:
    """The public code's ascent: the network's output is detached, so dr/dσ is the bracket of r alone and σ cannot fall
    while A leads: σ += 1e-4 · ½ [Φ⁻¹(p̄_A) − Φ⁻¹(p̄_B)], probabilities cut at 0.98, 1,100 times from σ₀
    (docs/method.md §3)."""
    sigma = torch.full((len(images),), sigma_0, dtype=torch.float64)
    for step in range(RELEASE_STEPS):
        noise = standard_normal(draws, tuple(images.shape[1:]), seed=0, purpose="released update", member=step)
        sigma += RELEASE_STEP * smoothed_radius(network, images, sigma, noise, p_cap=RELEASE_CAP) / sigma
    return sigma


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--grid", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10, help="of the base classifier")
    parser.add_argument("--release-draws", type=int, default=4, help="0 leaves the released update out")
    parser.add_argument("--range", choices=CONFIGS, default="release")
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    config = CONFIGS[settings.range]
    inputs, precision = load_inputs(config), native_precision(torch.device("cpu"), 28)
    poisoned = inputs.poisoned
    network = base_classifier(
        torch.from_numpy(poisoned.images),
        torch.from_numpy(poisoned.labels),
        config.noise.sigma,
        settings.epochs,
        precision,
    )
    chosen = np.random.default_rng(0).choice(len(inputs.dataset.test_images), settings.images, replace=False)
    images, n = torch.from_numpy(inputs.dataset.test_images[chosen]), settings.images
    search, noise = search_settings(config, 2), config.noise
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        ours = {name: replace(search, **changes) for name, changes in SEARCHES.items()}
        found = {
            name: timed(lambda one=one: ascend(network, images, one, seed=0).sigma, n) for name, one in ours.items()
        }
        if settings.release_draws:
            found["released first-order update"] = timed(
                lambda: released_update(network, images, noise.sigma, settings.release_draws), n
            )
        anchor = leading_class(network, images, sigma=noise.sigma, draws=search.draws, seed=0)
        common = {"draws": ORACLE_DRAWS, "p_cap": search.p_cap, "seed": ORACLE_SEED}
        grid = torch.from_numpy(np.geomspace(noise.sigma_min, noise.sigma_max, settings.grid))
        curve = radius_curve(network, images, grid, anchor=anchor, **common)  # (n, G)
        at = {
            name: torch.cat(
                [
                    radius_curve(network, images[i : i + 1], one.sigma[i : i + 1], anchor=anchor[i : i + 1], **common)
                    for i in range(n)
                ]
            )[:, 0]
            for name, one in found.items()
        }
    oracle = torch.cat([curve, *(radius[:, None] for radius in at.values())], dim=1).amax(1).mean()
    uniform = curve.mean(0)
    rows = {
        name: {
            "regret": float(1 - at[name].mean() / oracle),
            "ms_per_image": one.wall_ms,
            "cpu_ms_per_image": one.cpu_ms,
        }
        | {"sigma_median": float(one.sigma.median())}
        for name, one in found.items()
    } | {"best uniform σ": {"regret": float(1 - uniform.max() / oracle), "sigma_median": float(grid[uniform.argmax()])}}
    facts = {
        "images": n,
        "range": [noise.sigma_min, noise.sigma_max],
        "grid": settings.grid,
        "oracle_draws": ORACLE_DRAWS,
        "oracle_mean_radius": float(oracle),
        "base_epochs": settings.epochs,
        "release_draws": settings.release_draws,
        "precision": precision,
        "threads": torch.get_num_threads(),
    }
    print("  ".join(f"{name} {value}" for name, value in facts.items()))
    for name, row in rows.items():
        print(f"{name:30}" + "  ".join(f"{key} {value:.4f}" for key, value in row.items()))
    record.write("sigma" if settings.range == "release" else "sigma-preset", facts | {"results": rows}, settings.out)


if __name__ == "__main__":
    main()
