"""Backdoor smoothing (arXiv 2006.06721) on the undefended models of runs: attacks of rising success, measured alike.

The result lies beside the runs as ``smoothness-NAME.json``. It is a measurement: nothing is defended or certified.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.comparisons import roc
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.runs import files
from certssb_core.runs.run import Run, default_runs_dir

STEM = "smoothness"
SUITES: dict[str, str] = {name: PRESETS[name].title.split(",")[0] for name in ("digits", "mnist-01-onepixel")}
"""Presets whose attack is measured from the dashboard; the command line measures any."""
RATES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
"""Poisoning rates of attacks of rising success; at 0 there is no backdoor to be found."""
SCALES = (0.1, 0.2, 0.4, 0.8)
"""s of the noise around an input, pixel units."""
DRAWS = 200
MEASURED = 400
"""At most so many test images, of those that measure the attack."""
PATTERNS = 8
"""Control patterns."""
GROUPS = ("clean", "triggered", "control")
MEASURES: dict[str, str] = {
    "entropy": "Entropy of the predictions",
    "doubt": "1 − largest share of a class",
    "distance": "Mean L1 change of the softmax",
}
QUANTILES = np.linspace(0, 1, 21)
ALARMS = np.linspace(0, 1, 41)


def rising(preset: str) -> list[RunConfig]:
    """An attack at every one of :data:`RATES`: the preset cut down to its undefended model."""
    smallest = {"training.members": "1", "training.epochs": "1", "noise.paths": "0"}
    smallest |= {"noise.train_map": "uniform", "noise.test_map": "uniform"}
    return [override(PRESETS[preset], smallest | {"attack.rate": str(rate), "title": ""}) for rate in RATES]


def plan(name: str) -> dict[str, RunConfig]:
    """An attack at every rate, of a preset.

    Raises:
        RunError: there is no such preset.
    """
    if name not in PRESETS:
        raise RunError(f"{name!r} is no preset")
    return {f"{STEM}-{name}-{config.attack.rate:g}": config for config in rising(name)}


def results(runs_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """All measurements, by name.

    Raises:
        RunError: a file is damaged.
    """
    return files.read_results(STEM, runs_dir or default_runs_dir(), command="smoothness")


def conclude(name: str, runs: dict[str, Run], *, draws: int = DRAWS) -> dict[str, Any]:
    """Measure the undefended model of every finished run around clean, triggered and control inputs.

    Raises:
        RunError: a run has no undefended model.
    """
    from certssb_core.comparisons.undefended import undefended  # loads torch, which reading a result does not need

    attacks, spread, separation = [], [], []
    for run in runs.values():
        model = undefended(run, at_most=MEASURED, patterns=PATTERNS)
        attacks.append(
            {"run": run.name, "rate": run.config.attack.rate, "images": len(model.images["clean"])}
            | {"norm": model.norm("triggered"), "control_norm": model.norm("control")}
            | {"attack_success": model.attack_success, "control_success": model.control_success}
        )
        for scale in SCALES:
            found = {group: model.smoothness(group, scale=scale, draws=draws) for group in GROUPS}
            for measure in MEASURES:
                values = {group: found[group][measure] for group in GROUPS}
                at = {"run": run.name, "scale": scale, "measure": measure}
                spread += [
                    at | {"group": group, "quantiles": _rounded(np.quantile(values[group], QUANTILES))}
                    for group in GROUPS
                ]
                separation += [
                    at | {"against": other} | _separated(values["triggered"], values[other])
                    for other in ("clean", "control")
                ]
    first = next(iter(runs.values())).config
    return {
        "title": PRESETS[name].title.split(",")[0] if name in PRESETS else name,
        "data": first.data.name,
        "trigger": first.attack.trigger,
        "draws": draws,
        "attacks": attacks,
        "spread": spread,
        "separation": separation,
    }


def _separated(triggered: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """AUC with which a *low* value tells a triggered input from another one."""
    area = roc.area(-triggered, -other)
    return {"auc": area.value, "low": area.low, "high": area.high} | {
        "hits": _rounded(roc.hits(-triggered, -other, ALARMS))
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]


def table(result: dict[str, Any], *, measure: str, scale: float) -> pd.DataFrame:
    """One row per attack, weakest first: its success, the median of every group, AUC against clean and control.

    Columns ``run, rate, attack_success``, of every group ``GROUP, GROUP_low, GROUP_high`` (median and quartiles), and
    of both other groups ``auc_OTHER, auc_OTHER_low, auc_OTHER_high``.
    """
    rows = []
    for attack in sorted(result["attacks"], key=lambda one: (one["attack_success"], one["rate"])):
        row = {name: attack[name] for name in ("run", "rate", "attack_success", "control_success")}
        for cell in _cells(result["spread"], attack["run"], measure, scale):
            low, median, high = np.interp([0.25, 0.5, 0.75], QUANTILES, cell["quantiles"])
            row |= {cell["group"]: median, f"{cell['group']}_low": low, f"{cell['group']}_high": high}
        for cell in _cells(result["separation"], attack["run"], measure, scale):
            name = f"auc_{cell['against']}"
            row |= {name: cell["auc"], f"{name}_low": cell["low"], f"{name}_high": cell["high"]}
        rows.append(row)
    return pd.DataFrame(rows)


def spread(result: dict[str, Any], *, run: str, measure: str, scale: float) -> pd.DataFrame:
    """Spread of each group's values in one attack: columns ``group, value, share`` (of inputs below)."""
    cells = _cells(result["spread"], run, measure, scale)
    parts = [pd.DataFrame({"group": c["group"], "value": c["quantiles"], "share": QUANTILES}) for c in cells]
    return pd.concat(parts, ignore_index=True)


def curves(result: dict[str, Any], *, run: str, measure: str, scale: float) -> pd.DataFrame:
    """ROC curves of one attack: columns ``against, alarms, hits``, both shares."""
    cells = _cells(result["separation"], run, measure, scale)
    parts = [pd.DataFrame({"against": c["against"], "alarms": ALARMS, "hits": c["hits"]}) for c in cells]
    return pd.concat(parts, ignore_index=True)


def _cells(rows: list[dict[str, Any]], run: str, measure: str, scale: float) -> list[dict[str, Any]]:
    return [row for row in rows if (row["run"], row["measure"], row["scale"]) == (run, measure, scale)]
