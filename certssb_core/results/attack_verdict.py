"""The planted attack's success, and a check that the models learned anything: a certificate is worth no more.

The attack's success on a model without defence is compared with its base rate: how often the same model gives the
attacker's answer to images without the trigger. A model that always answers the target class reaches 100 % of both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from certssb_core.config.schema import AttackConfig
from certssb_core.data.poisoning import attacked_label, counts_for_attack
from certssb_core.errors import RunError
from certssb_core.results import permuted_levels
from certssb_core.runs.run import Run

WORKS = 0.5
"""Least attack success rate on the undefended model at which an attack works."""
LEAD = 0.25
"""Least distance between success and base rate at which it works."""


def undefended_metrics(
    answers: dict[str, np.ndarray], labels: np.ndarray, attack: AttackConfig, *, classes: int, poisoned: int
) -> dict[str, Any]:
    """The ``undefended`` part of metrics.json.

    Args:
        answers: the undefended model's classes of the ``clean`` and the ``triggered`` images, ``(n,)`` each.
        labels: ``(n,)`` true classes.
        attack: decides which images measure the attack, and what the attacker wants of them.
        classes: number of classes.
        poisoned: number of poisoned training images.
    """
    wanted = attacked_label(labels, classes=classes, label_mode=attack.label_mode, target=attack.target)
    measured = counts_for_attack(labels, **attack.aim)
    # Victims carry no trigger: others of their classes show what the model answers without an attack on them.
    without = counts_for_attack(labels, **attack.aim | {"victims": 0}) & ~measured if attack.victims else measured
    success, base = (
        float((answers[test_set] == wanted)[rows].mean()) if rows.any() else 0.0
        for test_set, rows in (("triggered", measured), ("clean", without))
    )
    collapsed = len(np.unique(np.concatenate([answers["clean"], answers["triggered"]]))) == 1
    return {
        "clean_accuracy": float((answers["clean"] == labels).mean()),
        "attack_success_rate": success,
        "base_rate": base,
        "poisoned": poisoned,
        "collapsed": collapsed,
        "attack_works": bool(poisoned and not collapsed and success >= WORKS and success - base >= LEAD),
    }


def caveats(metrics: dict[str, Any]) -> list[str]:
    """The first thing that a reader of a run's metrics.json must know, in words; nothing where the attack works.

    A run of an earlier version does not record base rates, and none is compared then.
    """
    found = attack_caveats(metrics["undefended"])
    if metrics.get("collapsed"):
        found.append("The ensemble collapsed: it answers one class to every image that it answers at all.")
    if clue := permuted_levels.clue(metrics):
        found.append(permuted_levels.caveat(clue))
    return found


def caution(run: Run) -> str:
    """A finished run's gravest caveat in two or three words, for lists; empty where there is none."""
    try:
        metrics = run.metrics
    except RunError:
        return ""
    if metrics.get("collapsed"):
        return "collapsed: one class for everything"
    if permuted_levels.clue(metrics):
        return "σ* gives the class away"
    works = (metrics.get("undefended") or {}).get("attack_works")
    return "defends against nothing" if works is False else ""


def attack_caveats(undefended: dict[str, Any] | None) -> list[str]:
    """The part of :func:`caveats` that the undefended model tells."""
    if undefended is None:
        return ["There is no undefended model: whether the attack works at all is not known."]
    if undefended["attack_works"]:
        return []
    if undefended.get("poisoned") == 0:
        return ["No training image is poisoned: this certificate defends against nothing."]
    if undefended.get("collapsed"):
        return [
            "The undefended model collapsed: it answers one class to every image, so its attack success says nothing, "
            "and this certificate defends against nothing."
        ]
    return [f"This certificate defends against nothing: {success_in_words(undefended)}."]


def success_in_words(undefended: dict[str, Any]) -> str:
    """The undefended model's attack success beside its base rate."""
    words = f"without a defence the attack succeeds on {undefended['attack_success_rate']:.1%} of the triggered images"
    if "base_rate" in undefended:
        words += f", and {undefended['base_rate']:.1%} get the attacker's answer without the trigger"
    return words
