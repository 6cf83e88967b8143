"""Maps of what certificates cover: n training images changed in one way or another, and the test input moved by τ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.results import certification
from certssb_core.results.comparison import image_steps
from certssb_core.results.votes import RunVotes

REPLACED, MOVED, MOVED_ALONE = "replaced", "moved", "moved-alone"
ATTACKS = {
    REPLACED: "n training images replaced by anything, labels included; the test input moved by τ",
    MOVED: "n training images and the test input each moved by τ, labels kept",
    MOVED_ALONE: "n training images each moved by τ, labels kept; the test input as given",
}
NORMS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""τ of a map; that of the attack's trigger comes on top."""
Covered = dict[float, np.ndarray]
"""By norm τ, the most training images for each certificate, -1 where not even τ at the test input is covered."""


def covered(
    run_votes: RunVotes,
    certificates: pd.DataFrame,
    attack: str,
    norms: Sequence[float],
    images: Sequence[int],
    **rule: Any,
) -> Covered:
    """Count what the certificates of a run cover of one of :data:`ATTACKS`; norms they say nothing about are left out.

    Args:
        certificates: of the run, rows of all test sets in their order.
        norms: τ, L2 pixel units.
        images: rising numbers of training images; a count between two of them may be the lower one.
        rule: ``bound`` and ``alpha`` of the certificates where they are not those of the run's config.
    """
    return _COVERED[attack](run_votes, certificates, norms, images, **rule)


def grid_steps(training_images: int, planted: int) -> list[int]:
    """Numbers of images for a map: none, those planted, and round ones from a thousandth of the training images on."""
    steps = image_steps(training_images, planted)
    return [step for step in steps if step in (0, planted) or step >= training_images / 1000]


def _replaced(
    run_votes: RunVotes, certificates: pd.DataFrame, norms: Sequence[float], images: Sequence[int], **rule: Any
) -> Covered:
    kind = run_votes.kind
    if kind.replaced is not None:
        return certification.replaced_images(run_votes, norms, **rule)
    if kind.sees == "partition":  # a replaced image is one out and one in
        return {0.0: _pairs(certificates)} if 0.0 in norms else {}
    if not run_votes.budgets:
        return {}
    return {norm: _steps(run_votes, certificates, norm, images) for norm in norms if kind.balls or norm == 0}


def _steps(run_votes: RunVotes, certificates: pd.DataFrame, norm: float, images: Sequence[int]) -> np.ndarray:
    """Count images that may be anything: some may, where members see a share."""
    most = np.full(len(certificates), -1)
    for number in images:
        stood = certification.joint_budget(run_votes, certificates, norm=0.0, test_norm=norm, replaced=number)
        stands = stood >= 0
        if not stands.any():
            break
        most[stands] = number
    return most


def _moved(
    run_votes: RunVotes, certificates: pd.DataFrame, norms: Sequence[float], images: Sequence[int], **rule: Any
) -> Covered:
    if run_votes.kind.replaced is not None:  # what covers anything covers a move
        return _replaced(run_votes, certificates, norms, images, **rule)
    if not (run_votes.budgets and run_votes.kind.balls):
        return {}
    return {norm: certification.joint_budget(run_votes, certificates, norm=norm) for norm in norms}


def _moved_alone(
    run_votes: RunVotes, certificates: pd.DataFrame, norms: Sequence[float], images: Sequence[int], **rule: Any
) -> Covered:
    if run_votes.budgets:
        return {norm: certification.joint_budget(run_votes, certificates, norm=norm, test_norm=0.0) for norm in norms}
    found = _replaced(run_votes, certificates, [0.0], images, **rule)
    return dict.fromkeys(norms, found[0.0]) if found else {}


def _pairs(certificates: pd.DataFrame) -> np.ndarray:
    return ((certificates["radius"] - 1) // 2).to_numpy(np.int64)


_COVERED: dict[str, Callable[..., Covered]] = {
    REPLACED: _replaced,
    MOVED: _moved,
    MOVED_ALONE: _moved_alone,
}
