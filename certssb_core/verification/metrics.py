"""Checks of metrics.json: every figure that is not a measurement, counted again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from certssb_core.errors import Differs, NotPossible
from certssb_core.store.store import CASES
from certssb_core.verification import recompute
from certssb_core.verification.evidence import Evidence, same

ATTACK_WORKS = 0.5
"""Undefended attack success rate from which an attack is said to work."""


def counted(evidence: Evidence) -> str:
    recorded, recomputed = _flat(evidence.metrics), _flat(_recomputed(evidence))
    for name, value in recomputed.items():
        if name not in recorded:
            raise Differs(f"metrics.json: {name} is missing, recomputed {value}")
        same(name, [recorded[name]], [value], ["metrics.json"])
    return f"{len(recomputed)} figures"


def measured(evidence: Evidence) -> str:
    others = sorted(set(_flat(evidence.metrics)) - set(_flat(_recomputed(evidence))))
    if not others:
        return "metrics.json holds nothing that cannot be counted again"
    raise NotPossible(f"measured, and held by their hash alone: {', '.join(others)}")


def _recomputed(evidence: Evidence) -> dict[str, Any]:
    config, balls = evidence.config, evidence.kind.balls
    aim = config.attack.aim
    found = recompute.metrics(evidence.table, **aim, radii=config.certification.radii)
    if "unit" in evidence.metrics:  # not in a run of an earlier version, whose certificates are all in L2
        found["unit"] = evidence.kind.unit
    if "left_out" in evidence.votes:
        found["left_out"] = evidence.votes["left_out"].tolist()
    found["store"] = _store(evidence) if balls else None
    # A run of imported members has neither an undefended model nor levels of training noise, and says null.
    if evidence.metrics.get("undefended", {}) is not None or evidence.hashed("undefended.safetensors"):
        found["undefended"] = _undefended(evidence, **aim)
    if not evidence.kind.weighs or "left_out" in evidence.votes:
        found["joint_budget"] = None
    elif evidence.metrics.get("joint_budget", {}) is not None or "train" in evidence.sigma:
        found["joint_budget"] = _joint_budget(evidence)
    return found


def _store(evidence: Evidence) -> dict[str, int]:
    ledger = evidence.ledger
    cases = pd.Series(np.array(CASES, object)[ledger["case"]]).value_counts()
    return {"stored": int(ledger["stored"].sum())} | {
        case: int(cases.get(case, 0)) for case in ("disjoint", "same_label", "trimmed", "aligned")
    }


def _undefended(evidence: Evidence, **aim: Any) -> dict[str, Any]:
    answers = pd.DataFrame(evidence.run.arrays("undefended")).assign(label=evidence.votes["labels"])
    wanted, counts = recompute.attack(answers["label"], len(evidence.vote_columns), **aim)
    success = float((answers["triggered"] == wanted)[counts].mean()) if counts.any() else 0.0
    return {
        "clean_accuracy": float((answers["clean"] == answers["label"]).mean()),
        "attack_success_rate": success,
        "attack_works": success >= ATTACK_WORKS,
    }


def _joint_budget(evidence: Evidence) -> dict[str, Any]:
    norms = evidence.run.arrays("poison")["norms"]
    tau = float(norms.max()) if norms.any() else evidence.config.attack.norm
    clean = evidence.table[evidence.table["set"] == "clean"]
    right = clean[clean["prediction"] == clean["label"]]
    margin, sigma = right["margin"].to_numpy(), right["sigma"].to_numpy()
    if not evidence.kind.balls:  # the test input stays as it is
        sigma = sigma + np.inf
    images = recompute.images_certified(margin, sigma, evidence.sigma["train"], tau)
    return {
        "norm": tau,
        "images_median": int(pd.Series(images).median()) if len(images) else -1,
        "images_max": int(images.max()) if len(images) else -1,
        "certified_without_training_change": float((images >= 0).sum() / len(clean)),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
