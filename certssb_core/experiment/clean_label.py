"""Clean-label attacks with and without the denoising defence: each a run of its own, its undefended model beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.certify.metrics import wilson_interval
from certssb_core.data.poisoning import METHODS
from certssb_core.experiment import files
from certssb_core.experiment.presets import PRESETS
from certssb_core.experiment.run import Run, RunError, Status, default_runs_dir

SUITES: dict[str, str] = {"digits": "digits-39", "mnist": "mnist-49"}
"""The first part of the presets' names, by what is attacked."""
CRAFTED = [method for method in METHODS if method != "stamp"]


def result_path(suite: str, runs_dir: Path | None = None) -> Path:
    return (runs_dir or default_runs_dir()) / f"clean-label-{suite}.json"


def results(runs_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """What was measured, by suite.

    Raises:
        RunError: a file is damaged.
    """
    return files.read_results({suite: result_path(suite, runs_dir) for suite in SUITES}, command="attacks")


def attack(suite: str, follow: Callable[[Run], Status], runs_dir: Path | None = None) -> dict[str, Any]:
    """Make every run of a suite that has not been made, and write what came of them beside the runs.

    Raises:
        RunError: there is no such suite, or a run did not come to its end.
    """
    if suite not in SUITES:
        raise RunError(f"{suite!r} is no suite; there are {', '.join(SUITES)}")
    rows = []
    for method in CRAFTED:
        preset = f"{SUITES[suite]}-{method}"
        try:
            run = Run.open(preset, runs_dir)
        except RunError:
            run = Run.create(PRESETS[preset], preset, runs_dir)
        if run.status().state != "done" and follow(run).state != "done":
            raise RunError(f"{preset} did not come to its end: {run.status().message or 'stopped'}")
        rows.append(row(run))
    result = {"suite": suite, "title": PRESETS[preset].title.partition(": ")[2].rpartition(", ")[0], "attacks": rows}
    files.write_json(result_path(suite, runs_dir), result)
    return result


def row(run: Run) -> dict[str, Any]:
    """Success and accuracy of a run's attack, undefended first, and how far its poisons were moved."""
    metrics, poison = run.metrics, run.arrays("poison")
    undefended, triggered = metrics["undefended"], metrics["triggered"]
    return {
        "method": run.config.attack.method,
        "measured": triggered["n"],
        "undefended_success": undefended["attack_success_rate"],
        "undefended_accuracy": undefended["clean_accuracy"],
        "success": triggered["attack_success_rate"],
        "accuracy": metrics["clean"]["accuracy"],
        "abstained": metrics["clean"]["abstained"],
        "poisoned": len(poison["indices"]),
        "norm": float(np.median(poison["norms"])),
        "seconds": metrics["seconds"]["total"],
    }


def table(result: dict[str, Any]) -> pd.DataFrame:
    """One row per attack and defence: ``attack, source, defence, success, low, high, count, n, accuracy``."""
    rows = []
    for one in result["attacks"]:
        method, n = METHODS[one["method"]], one["measured"]
        for defence, prefix in (("none", "undefended_"), ("diffusion denoising", "")):
            success = one[f"{prefix}success"]
            low, high = wilson_interval(round(success * n), n)
            rows.append(
                {"attack": method.title, "source": method.source, "defence": defence, "success": success}
                | {"low": low, "high": high, "count": round(success * n), "n": n}
                | {"accuracy": one[f"{prefix}accuracy"], "norm": one["norm"], "poisoned": one["poisoned"]}
            )
    return pd.DataFrame(rows)
