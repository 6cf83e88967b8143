"""Checks of metrics.json: every number but the measurements (seconds, memory) is counted again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from certssb_core.errors import Differs, NotPossible
from certssb_core.store.store import CASES
from certssb_core.verification import recompute
from certssb_core.verification.evidence import Evidence, flat, same

ATTACK_WORKS, BASE_DISTANCE = 0.5, 0.25
"""Undefended attack success rate, and its distance from the base rate, from which an attack works."""


NEWER = ("after_store.", "sigma_at_ends.", "permuted_levels.", "collapsed", "planted_attack")
"""Figures that runs of earlier versions do not hold."""


def counted(evidence: Evidence) -> str:
    recorded, recomputed = flat(evidence.metrics), flat(_recomputed(evidence))
    for name, value in recomputed.items():
        if name not in recorded and name.startswith(NEWER):
            continue
        if name not in recorded:
            raise Differs(f"metrics.json: {name} is missing, recomputed {value}")
        same(name, [recorded[name]], [value], ["metrics.json"])
    return f"{len(recomputed)} figures"


def measured(evidence: Evidence) -> str:
    others = sorted(set(flat(evidence.metrics)) - set(flat(_recomputed(evidence))))
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
    clean = evidence.table[evidence.table["set"] == "clean"]
    found["collapsed"] = len(set(clean["prediction"]) - {-1}) == 1 < clean["label"].nunique()
    found["store"] = _store(evidence) if balls else None
    found["planted_attack"] = _planted_attack(evidence)
    if balls:
        table = evidence.table.assign(
            prediction=evidence.table["store_prediction"], radius=evidence.table["store_radius"]
        )
        found["after_store"] = recompute.metrics(table, **aim, radii=config.certification.radii)
    found["sigma_at_ends"] = _sigma_at_ends(evidence)
    if "votes/clean/permuted" in evidence.votes:
        found["permuted_levels"] = _permuted_levels(evidence)
    # A run of imported members has neither an undefended model nor levels of training noise, and says null.
    if evidence.metrics.get("undefended", {}) is not None or evidence.hashed("undefended.safetensors"):
        found["undefended"] = _undefended(evidence, **aim)
    if not evidence.kind.weighs or "left_out" in evidence.votes:
        found["joint_budget"] = None
    elif evidence.metrics.get("joint_budget", {}) is not None or "train" in evidence.sigma:
        found["joint_budget"] = _joint_budget(evidence)
    return found


def _planted_attack(evidence: Evidence) -> dict[str, Any] | None:
    if evidence.config.certification.certificate not in recompute.PLANTED:
        return _moved_attack(evidence)
    images, norm = len(evidence.run.arrays("poison")["indices"]), _trigger_norm(evidence)
    found: dict[str, Any] = {"images": images, "norm": norm, "training_images": len(evidence.sigma["train"])}
    stands = recompute.planted(evidence.claims, evidence.config, images, norm)
    for test_set, rows in stands.groupby(evidence.table["set"]):
        found[str(test_set)] = {"n": len(rows), "certified": int(rows.sum())}
    return found


def _moved_attack(evidence: Evidence) -> dict[str, Any] | None:
    """The planted attack where it kept the labels, certificates weigh what moves, and no σ_i follows the data."""
    config, kind = evidence.config, evidence.kind
    recorded = evidence.metrics.get("planted_attack")
    stays = kind.weighs and config.attack.label_mode == "clean-label" and config.noise.train_map == "uniform"
    if not stays or "left_out" in evidence.votes or "train" not in evidence.sigma or not recorded:
        return None
    norm, poison = _trigger_norm(evidence), evidence.run.arrays("poison")
    if norm and not kind.balls:
        return None
    moved, train = float(poison["norms"].max(initial=0.0)), evidence.sigma["train"]
    sigma = evidence.table["sigma"].to_numpy() if kind.balls else np.full(len(evidence.table), np.inf)
    most = recompute.share_certified(evidence.table, sigma, train, _seen(evidence), moved, norm)
    images = len(poison["indices"])
    found: dict[str, Any] = {"images": images, "norm": norm, "training_images": len(train), "moved": moved}
    stands = (evidence.table["prediction"] == evidence.table["label"]) & (most >= images)
    for test_set, rows in stands.groupby(evidence.table["set"]):
        found[str(test_set)] = {"n": len(rows), "certified": int(rows.sum())}
    return found


def _seen(evidence: Evidence) -> int:
    """The number of training images that a member draws."""
    return max(1, round(evidence.config.training.share * len(evidence.sigma["train"])))


def _trigger_norm(evidence: Evidence) -> float:
    """The largest L2 norm of the trigger on a test image; as recorded where the images are not here."""
    try:
        inputs = evidence.inputs
    except NotPossible:
        return evidence.metrics["planted_attack"]["norm"]
    change = inputs.triggered.astype(np.float64) - inputs.dataset.test_images
    return float(np.linalg.norm(change.reshape(len(change), -1), axis=1).max(initial=0.0))


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
    found = {
        "clean_accuracy": float((answers["clean"] == answers["label"]).mean()),
        "attack_success_rate": success,
        "attack_works": success >= ATTACK_WORKS,
    }
    if "base_rate" not in (evidence.metrics.get("undefended") or {}):  # a run of an earlier version
        return found
    if aim["victims"]:
        counts = recompute.attack(answers["label"], len(evidence.vote_columns), **aim | {"victims": 0})[1] & ~counts
    base = float((answers["clean"] == wanted)[counts].mean()) if counts.any() else 0.0
    poisoned = len(evidence.run.arrays("poison")["indices"])
    collapsed = len({*answers["clean"], *answers["triggered"]}) == 1
    works = success >= ATTACK_WORKS and success - base >= BASE_DISTANCE and poisoned > 0 and not collapsed
    return found | {"base_rate": base, "poisoned": poisoned, "collapsed": collapsed, "attack_works": works}


def _sigma_at_ends(evidence: Evidence) -> dict[str, Any]:
    noise, found = evidence.config.noise, {}
    for name in ("train", "clean", "triggered"):
        values = evidence.sigma.get(name, np.empty(0))
        chosen = noise.train_map if name == "train" else noise.test_map
        if chosen == "sample-specific" and len(values):
            found[name] = {
                "low": float((np.abs(values / noise.sigma_min - 1) <= 1e-6).mean()),
                "high": float((np.abs(values / noise.sigma_max - 1) <= 1e-6).mean()),
            }
    return found


def _permuted_levels(evidence: Evidence) -> dict[str, Any]:
    rows = evidence.votes["permuted/inputs"]
    answers = {
        name: pd.DataFrame(evidence.votes[f"votes/clean/{name}"]).mode().iloc[0].astype(int).to_numpy()
        for name in ("sample-specific", "permuted")
    }
    table = pd.DataFrame({"label": evidence.votes["labels"][rows], "permuted": answers["permuted"]})
    table["own"] = answers["sample-specific"][rows]
    return {
        "inputs": len(table),
        "same_answer": len(table.query("own == permuted")) / len(table),
        "accuracy": len(table.query("own == label")) / len(table),
        "accuracy_permuted": len(table.query("permuted == label")) / len(table),
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

    def counted(images: np.ndarray) -> dict[str, Any]:
        return {
            "images_median": int(pd.Series(images).median()) if len(images) else -1,
            "images_max": int(images.max()) if len(images) else -1,
            "certified_without_training_change": float((images >= 0).sum() / len(clean)),
        }

    found = {"norm": tau} | counted(images)
    if "share" in (evidence.metrics.get("joint_budget") or {}):  # not in a run of an earlier version
        seen = _seen(evidence)
        drawn = recompute.share_certified(right, sigma, evidence.sigma["train"], seen, tau, tau)
        found["share"] = {"seen": seen} | counted(drawn)
    return found
