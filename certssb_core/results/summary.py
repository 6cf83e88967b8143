"""Numbers of a finished run by name, for texts that quote them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from certssb_core.config.schema import RunConfig, flatten
from certssb_core.data.poisoning import counts_for_attack
from certssb_core.store.overlaps import Survey

Fact = float | int | str


def facts(
    config: RunConfig,
    metrics: dict[str, Any],
    samples: pd.DataFrame,
    before: Survey,
    after: Survey,
    *,
    dimensions: int,
) -> dict[str, Fact]:
    """Name the numbers of a run that a text may quote.

    Args:
        config: its settings, quoted as ``attack.norm``, ``noise.sigma``, ``training.members`` …
        metrics: its metrics.json, quoted as ``clean.accuracy``, ``triggered.attack_success_rate`` …
        samples: one row per image, of :func:`certssb_core.results.per_image.samples`.
        before, after: its balls, before and after the storage-update.
        dimensions: pixels times channels of an image.

    Returns:
        ``{name: number or word}``, without those that the run does not know.
    """
    found: dict[str, Fact] = {}
    for key, value in {**flatten(config), **_flat(metrics)}.items():
        if isinstance(value, float | int | str) and not isinstance(value, bool):
            found[key] = value
    found |= _images(samples)
    found |= _balls(before, after)
    inputs = float(found["images.asked"])
    shift = config.attack.norm / config.noise.sigma
    triggered = samples[samples["set"] == "triggered"]
    counts = counts_for_attack(triggered["label"].to_numpy(), **config.attack.aim)
    return found | {
        "images.dimensions": dimensions,
        "triggered.abstained": float((triggered.loc[counts, "margin"] == 0).mean()),
        "attack.shift": shift,
        # Of two Gaussians that far apart, in units of σ: one less their total variation distance.
        "attack.overlap": float(2 * ndtr(-shift / 2)),
        "certificates.wrong_at_most": inputs * config.certification.alpha,
        "certificates.confidence": 1 - config.certification.alpha,
    }


def _images(samples: pd.DataFrame) -> dict[str, Fact]:
    test = samples[samples["set"] != "train"]
    found: dict[str, Fact] = {"images.asked": len(test), "images.certified": int((test["radius"] > 0).sum())}
    for name, rows in samples.groupby("set", sort=False):
        found |= {f"images.{name}": len(rows), f"sigma.{name}_median": float(rows["sigma"].median())}
        found |= {f"sigma.{name}_min": float(rows["sigma"].min()), f"sigma.{name}_max": float(rows["sigma"].max())}
    train, clean = (samples[samples["set"] == name] for name in ("train", "clean"))
    if len(train):
        found["images.poisoned"] = int(train["poisoned"].sum())
        for word, rows in (("poisoned", train[train["poisoned"]]), ("unpoisoned", train[~train["poisoned"]])):
            found[f"sigma.{word}_median"] = float(rows["sigma"].median())
    by_class = clean.groupby("name")["sigma"].median()
    found |= {"sigma.boldest_class": str(by_class.idxmax()), "sigma.boldest_median": float(by_class.max())}
    found |= {"sigma.shyest_class": str(by_class.idxmin()), "sigma.shyest_median": float(by_class.min())}
    right = clean.loc[clean["right"].fillna(False), "radius"]
    return found | {"radius.median": float(right.median()), "radius.max": float(right.max())}


def _balls(before: Survey, after: Survey) -> dict[str, Fact]:
    found: dict[str, Fact] = {"balls.pairs": before.pairs, "balls.touching": before.touching}
    found |= {"balls.conflicts": before.conflicts, "balls.conflicts_after": after.conflicts}
    if len(before.first):
        found["balls.smallest_gap"] = float(np.min(before.distance - before.radius_sum))
    return found


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
