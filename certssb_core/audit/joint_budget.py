"""Translate joint budgets: n poisoned training images at norm τ to certified inputs, and back (docs/method.md §5).

Whatever the training noise, the attacker chooses which images to poison, so the n smallest σ_i count; where all
σ_i are equal this is RAB's radius over the whole training perturbation (arXiv 2003.08904).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from certssb_core.certify.certificate import images_certified, norm_certified
from certssb_core.errors import RunError
from certssb_core.results import certification
from certssb_core.results.certification import Promise
from certssb_core.results.votes import RunVotes
from certssb_core.runs.run import Run

PUBLISHED_IMAGES = 253
"""2 % of the 12,665 training images of MNIST 0/1: the published setting."""


@dataclass(frozen=True)
class Translation:
    """One budget under one noise map of the test inputs; n images and the test input each move by at most τ.

    Attributes:
        mode: noise map of the test inputs; train_map: of the training images.
        inputs: clean test inputs; right: those whose true class is certified when nothing else moves.
        images: n; norm: τ, in L2 pixel units.
        certified: how many of ``right`` stay certified under n images at norm τ.
        images_median, images_max: over ``right``, the largest n at norm τ (-1: not even the test input may move).
        norm_median, norm_max: over ``right``, the norm below which n images are certified.
        promise: in words, with its condition.
    """

    mode: str
    train_map: str
    inputs: int
    right: int
    images: int
    norm: float
    certified: int
    images_median: int
    images_max: int
    norm_median: float
    norm_max: float
    promise: Promise


def run_norm(run: Run) -> float:
    """τ of a run: the largest actual norm among its poisoned training images, else the trigger's nominal norm."""
    return float(run.arrays("poison")["norms"].max(initial=0.0)) or run.config.attack.norm


def translate(run_votes: RunVotes, *, images: int | None, norm: float) -> list[Translation]:
    """Translate ``images`` at ``norm`` in every sound mode of a run.

    Args:
        run_votes: the run's votes; they are certified by the bound and α of its config.
        images: n, from 0 to the number of training images; None: as published, 253, or all there are.
        norm: τ ≥ 0, L2 pixel units.

    Raises:
        RunError: a number outside its range, or the noise of the training images is not known.
    """
    if not run_votes.kind.weighs:
        raise RunError(f"This certificate counts {run_votes.kind.unit}, not norms. {run_votes.kind.joint}")
    sigma_train = run_votes.sigma_train
    if sigma_train is None:
        raise RunError(certification.no_joint_budget(run_votes))
    images = min(PUBLISHED_IMAGES, len(sigma_train)) if images is None else images
    if not 0 <= images <= len(sigma_train):
        raise RunError(f"images must lie between 0 and the {len(sigma_train)} training images, not {images}")
    if not 0 <= norm < np.inf:
        raise RunError(f"norm must be a finite number of at least 0, not {norm}")
    return [_translation(run_votes, sigma_train, mode, images, norm) for mode in run_votes.joint_modes]


def _translation(run_votes: RunVotes, sigma_train: np.ndarray, mode: str, images: int, norm: float) -> Translation:
    settings = run_votes.config.certification
    table = certification.certify_votes(run_votes, mode=mode, bound=settings.bound, alpha=settings.alpha)
    clean = table[table["set"] == "clean"]
    right = clean[clean["prediction"] == clean["label"]]
    right = right.assign(sigma=run_votes.kind.moving(right["sigma"].to_numpy()))
    budgets = both_ways(right, sigma_train, images=images, norm=norm)
    none = not len(budgets)
    return Translation(
        mode=mode,
        train_map=run_votes.config.noise.train_map,
        inputs=len(clean),
        right=len(budgets),
        images=images,
        norm=norm,
        certified=int((budgets["images"] >= images).sum()),
        images_median=-1 if none else int(np.median(budgets["images"])),
        images_max=-1 if none else int(budgets["images"].max()),
        norm_median=0.0 if none else float(budgets["norm"].median()),
        norm_max=0.0 if none else float(budgets["norm"].max()),
        promise=certification.promise(run_votes.config, mode),
    )


def both_ways(certificates: pd.DataFrame, sigma_train: np.ndarray, *, images: int, norm: float) -> pd.DataFrame:
    """Both budgets of each certificate: the largest n at ``norm``, and the norm below which ``images`` are certified.

    Args:
        certificates: rows with ``set, index, margin, sigma``; σ infinite where the test input does not move.
        sigma_train: ``(N,)`` σ_i of all training images.
        images: n in [0, N]; norm: τ ≥ 0, L2 pixel units.
    """
    margin, sigma = certificates["margin"].to_numpy(), certificates["sigma"].to_numpy()
    return certificates[["set", "index"]].assign(
        images=images_certified(margin, sigma, sigma_train, norm=norm),
        norm=norm_certified(margin, sigma, sigma_train, images=images),
    )
