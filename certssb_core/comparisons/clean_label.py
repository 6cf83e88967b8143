"""Clean-label attacks with and without the denoising defence: runs of their own, the undefended models beside them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.certify.metrics import wilson_interval
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.data.poisoning import METHODS, counts_for_attack
from certssb_core.errors import RunError
from certssb_core.runs import files
from certssb_core.runs.run import Run, default_runs_dir

STEM = "clean-label"


CRAFTED = tuple(name for name, method in METHODS.items() if method.crafted)


@dataclass(frozen=True)
class Suite:
    """Attacked data: presets and trials.

    Attributes:
        presets: first part of the presets' names.
        trials: runs of an attack that aims at a few victims, each with another seed and the next images as victims.
    """

    title: str
    presets: str
    trials: int


SUITES: dict[str, Suite] = {
    "digits": Suite("Handwritten digits 3 and 9", "digits-39", trials=3),
    "mnist": Suite("MNIST 4 and 9", "mnist-49", trials=2),
}


def results(runs_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """Measured results, by suite.

    Raises:
        RunError: a file is damaged.
    """
    return files.read_results(STEM, runs_dir or default_runs_dir(), command="attacks")


def plan(name: str) -> dict[str, RunConfig]:
    """The runs of a suite: one of every attack, several where it aims at victims, and for every seed one of the same
    data without poisons, which tells what is taken for the target class without an attack.

    Raises:
        RunError: there is no such suite.
    """
    if name not in SUITES:
        raise RunError(f"{name!r} is no suite; there are {', '.join(SUITES)}")
    suite, runs = SUITES[name], {}
    for seed in range(suite.trials):
        stem, changes = f"{suite.presets}-unpoisoned", {"attack.method": "stamp", "attack.rate": "0"}
        changes["title"] = f"The data of {suite.presets}-… without poisons, diffusion denoising"
        runs[f"{stem}-{seed}" if seed else stem] = override(
            PRESETS[f"{suite.presets}-clean-label-backdoor"], changes | {"seed": str(seed)}
        )
    for method in CRAFTED:
        preset = f"{suite.presets}-{method}"
        for seed in range(suite.trials if METHODS[method].victims else 1):
            changes = {"seed": str(seed), "attack.first_victim": str(seed)}
            runs[f"{preset}-{seed}" if seed else preset] = override(PRESETS[preset], changes)
    return runs


def conclude(name: str, runs: dict[str, Run]) -> dict[str, Any]:
    """Result of the finished runs of :func:`plan`, with a few poisons of every attack to look at."""
    from certssb_core.comparisons.poison_images import samples  # loads torch, which reading a result does not need

    of = {method: [run for run in runs.values() if run.config.attack.method == method] for method in CRAFTED}
    settings = next(iter(of.values()))[0].config.title.partition(": ")[2].rpartition(", ")[0]
    unpoisoned = {run.config.seed: run for run in runs.values() if not run.config.attack.rate}
    return {
        "suite": name,
        "title": settings,
        "attacks": [row(made, unpoisoned) | {"stages": samples(made[0])} for made in of.values()],
    }


def row(runs: list[Run], unpoisoned: dict[int, Run]) -> dict[str, Any]:
    """Success and accuracy of an attack over its runs, undefended first, and how far its poisons were moved.

    Args:
        unpoisoned: by seed, a run on the same data without poisons: how many of those that are aimed at it takes for
            the target class is ``chance``, and ``undefended_chance`` how many its undefended model does.
    """
    chance = np.concatenate([taken_for_target(run, unpoisoned[run.config.seed]) for run in runs])
    aimed = np.array([run.metrics["triggered"]["n"] for run in runs])

    def success(group: str) -> float:
        return float(np.average([run.metrics[group]["attack_success_rate"] for run in runs], weights=aimed))

    def mean(group: str, name: str) -> float:
        return float(np.mean([run.metrics[group][name] for run in runs]))

    poisons = [run.arrays("poison") for run in runs]
    return {
        "method": runs[0].config.attack.method,
        "runs": len(runs),
        "measured": int(aimed.sum()),
        "undefended_success": success("undefended"),
        "undefended_accuracy": mean("undefended", "clean_accuracy"),
        "undefended_chance": float(chance[:, 0].mean()),
        "success": success("triggered"),
        "chance": float(chance[:, 1].mean()),
        "accuracy": mean("clean", "accuracy"),
        "abstained": mean("clean", "abstained"),
        "poisoned": len(poisons[0]["indices"]),
        "norm": float(np.median(np.concatenate([poison["norms"] for poison in poisons]))),
        "seconds": sum(run.metrics["seconds"]["total"] for run in runs),
    }


def taken_for_target(attacked: Run, other: Run) -> np.ndarray:
    """Test inputs that ``attacked`` aims at and ``other`` takes for the target class: ``(n, 2)`` bool, first by its
    undefended model, then by its members."""
    attack = attacked.config.attack
    shown = "clean" if METHODS[attack.method].victims else "triggered"
    table = other.certificates().query("set == @shown")
    counts = counts_for_attack(table["label"].to_numpy(), **attack.aim)
    answers = np.stack([other.arrays("undefended")[shown], table["prediction"].to_numpy()], axis=1)
    return answers[counts] == attack.target


def stages(result: dict[str, Any], *, method: str, sigma: float) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """A few poisons of an attack on their way through the defence, and how far from where denoising leaves them.

    Returns:
        ``(k, C, H, W)`` float images in [0, 1] of every stage, and ``to_before, to_poison``: the median L2 distance of
        the denoised poisons to the images that they were and to the poisons.
    """
    one = next(one for one in result["attacks"] if one["method"] == method)["stages"]
    level = next(level for level in one["levels"] if level["sigma"] == sigma)
    images = {"as it was": one["before"], "poison": one["poison"]}
    images |= {f"σ = {sigma:g}": level["noisy"], "denoised": level["denoised"]}
    return {stage: _unpacked(found) for stage, found in images.items()}, {
        name: level[name] for name in ("to_before", "to_poison")
    }


def _unpacked(images: dict[str, Any]) -> np.ndarray:
    """Undo :func:`~certssb_core.comparisons.poison_images.packed`."""
    pixels = np.frombuffer(base64.b64decode(images["pixels"]), np.uint8)
    return pixels.reshape(images["shape"]) / 255


def table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per attack and defence: ``attack, source, defence, success, low, high, count, chance, n, accuracy, norm,
    poisoned``; ``chance`` of the n are taken for the target class without an attack."""
    rows = []
    for one in result["attacks"]:
        method, n = METHODS[one["method"]], one["measured"]
        for defence, prefix in (("none", "undefended_"), ("diffusion denoising", "")):
            success = one[f"{prefix}success"]
            chance = round(one[f"{prefix}chance"] * n)
            low, high = wilson_interval(round(success * n), n)
            rows.append(
                {"attack": method.title, "source": method.source, "defence": defence, "success": success}
                | {"low": low, "high": high, "count": round(success * n), "chance": chance, "n": n}
                | {"accuracy": one[f"{prefix}accuracy"], "norm": one["norm"], "poisoned": one["poisoned"]}
            )
    return pd.DataFrame(rows)
