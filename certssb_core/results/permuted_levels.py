"""Tell from votes at exchanged σ* whether σ* gives classes away (docs/method.md §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

PERMUTED = "votes/clean/permuted"
"""Name of those votes ``(M, k)`` in votes.safetensors."""
CLUE = 0.1
"""Accuracy, as a share of the inputs, that an exchange costs from which σ* counts as a clue."""


def permuted_levels(votes: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Compare clean test inputs' answers at their own σ* with those at each other's.

    Args:
        votes: as votes.safetensors holds them.

    Returns:
        ``inputs``, their number; ``same_answer``, the share of them that keeps its answer; ``accuracy`` at their own
        levels and ``accuracy_permuted``. None where no σ* was searched for test inputs, and of runs of an earlier
        version.
    """
    if PERMUTED not in votes:
        return None
    rows = votes["permuted/inputs"]
    if not len(rows):
        return None
    labels = votes["labels"][rows]
    own, permuted = (_answers(votes[name]) for name in ("votes/clean/sample-specific", PERMUTED))
    return {
        "inputs": len(rows),
        "same_answer": float((own[rows] == permuted).mean()),
        "accuracy": float((own[rows] == labels).mean()),
        "accuracy_permuted": float((permuted == labels).mean()),
    }


def _answers(votes: np.ndarray) -> np.ndarray:
    """The class most voted for, of votes ``(M, n)``; the lowest of several."""
    counts = np.stack([(votes == label).sum(axis=0) for label in range(int(votes.max(initial=0)) + 1)])
    return counts.argmax(axis=0)


def clue(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The ``permuted_levels`` of metrics.json where an exchange costs :data:`CLUE` or more; None elsewhere."""
    found = metrics.get("permuted_levels")
    return found if found and found["accuracy"] - found["accuracy_permuted"] >= CLUE else None


def in_words(found: Mapping[str, Any]) -> str:
    """Say what came of the exchange, with the number of inputs."""
    return (
        f"{found['inputs']:,} clean test images were asked again with each other's σ*: {found['same_answer']:.1%} keep "
        f"their answer, and {found['accuracy_permuted']:.1%} are right ({found['accuracy']:.1%} with their own)"
    )


def caveat(found: Mapping[str, Any]) -> str:
    """Say what follows where σ* gives classes away."""
    return (
        f"σ* gives the class away. {in_words(found)}. Members answer by the strength of the noise as well as by the "
        "image, and σ* sets that strength. Certificates keep each input's σ*: they hold, and say less about the image "
        "than their radius suggests. Less is given away with noise.base_map=spread, and nothing with "
        "noise.test_map=uniform."
    )
