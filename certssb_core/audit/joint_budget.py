"""Translate joint budgets: n poisoned training images at norm τ to certified inputs, and back (docs/method.md §5).

Whatever the training noise, the attacker chooses which images to poison, so the n smallest σ_i count; where all
σ_i are equal this is RAB's radius over the whole training perturbation (arXiv 2003.08904).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from certssb_core.certify import share_budget
from certssb_core.certify.certificate import images_certified, norm_certified
from certssb_core.certify.share_budget import Share
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
        seen: images that a member sees, as counted here; training_images: N. If the two are equal although members
            drew a share, this is the plain theorem, which the draw can only help.
        inputs: clean test inputs; right: those whose true class is certified when nothing else moves.
        images: n; norm: τ, in L2 pixel units.
        replaced: further images that are replaced by anything, labels included.
        certified: how many of ``right`` stay certified under n images at norm τ.
        images_median, images_max: over ``right``, the largest n at norm τ (-1: not even the test input may move).
        norm_median, norm_max: over ``right``, the norm below which n images are certified.
        promise: in words, with its condition.
    """

    mode: str
    train_map: str
    seen: int
    training_images: int
    inputs: int
    right: int
    images: int
    norm: float
    replaced: int
    certified: int
    images_median: int
    images_max: int
    norm_median: float
    norm_max: float
    promise: Promise


def run_norm(run: Run) -> float:
    """τ of a run: the largest actual norm among its poisoned training images, else the trigger's nominal norm."""
    return float(run.arrays("poison")["norms"].max(initial=0.0)) or run.config.attack.norm


def translate(run_votes: RunVotes, *, images: int | None, norm: float, replaced: int = 0) -> list[Translation]:
    """Translate ``images`` at ``norm`` in every sound mode of a run.

    Where members draw a share of the images, a mode is translated twice: with the draw counted, and as if every member
    saw every image.

    Args:
        run_votes: the run's votes; they are certified by the bound and α of its config.
        images: n, from 0 to the number of training images; None: as published, 253, or all there are.
        norm: τ ≥ 0, L2 pixel units.
        replaced: so many further images are replaced by anything, labels included.

    Raises:
        RunError: a number outside its range, or the noise of the training images is not known.
    """
    shares = [certification.budget_share(run_votes, share_counted=counted) for counted in (True, False)]
    total = shares[0].images
    if not 0 <= replaced <= total:
        raise RunError(f"replaced must lie between 0 and the {total} training images, not {replaced}")
    images = min(PUBLISHED_IMAGES, total - replaced) if images is None else images
    if not 0 <= images <= total - replaced:
        raise RunError(f"images must lie between 0 and the {total - replaced} training images, not {images}")
    if not 0 <= norm < np.inf:
        raise RunError(f"norm must be a finite number of at least 0, not {norm}")
    rules = shares[: 1 if replaced or shares[0].seen == total else 2]
    return [
        _translation(run_votes, share, mode, images, norm, replaced)
        for mode in run_votes.joint_modes
        for share in rules
    ]


def _translation(run_votes: RunVotes, share: Share, mode: str, images: int, norm: float, replaced: int) -> Translation:
    settings = run_votes.config.certification
    table = certification.certify_votes(run_votes, mode=mode, bound=settings.bound, alpha=settings.alpha)
    clean = table[table["set"] == "clean"]
    right = clean[clean["prediction"] == clean["label"]]
    right = right.assign(sigma=run_votes.kind.moving(right["sigma"].to_numpy()))
    budgets = both_ways(right, share, images=images, norm=norm, replaced=replaced)
    none = not len(budgets)
    promise = certification.promise(run_votes.config, mode)
    if replaced:
        also = f" Besides, {replaced} further training images may be replaced by anything, labels included."
        promise = replace(promise, joint_budget=promise.joint_budget + also)
    return Translation(
        mode=mode,
        train_map=run_votes.config.noise.train_map,
        seen=share.seen,
        training_images=share.images,
        inputs=len(clean),
        right=len(budgets),
        images=images,
        norm=norm,
        replaced=replaced,
        certified=int((budgets["images"] >= images).sum()),
        images_median=-1 if none else int(np.median(budgets["images"])),
        images_max=-1 if none else int(budgets["images"].max()),
        norm_median=0.0 if none else float(budgets["norm"].median()),
        norm_max=0.0 if none else float(budgets["norm"].max()),
        promise=promise,
    )


def both_ways(certificates: pd.DataFrame, share: Share, *, images: int, norm: float, replaced: int = 0) -> pd.DataFrame:
    """Both budgets of each certificate: the largest n at ``norm``, and the norm below which ``images`` are certified.

    Args:
        certificates: rows with ``set, index, margin, sigma``, and where a share or replaced images count ``p_a_lower,
            p_b_upper``, none of them abstaining; σ infinite where the test input does not move.
        share: what a member sees of the training images, and the noise on them.
        images: n in [0, N - replaced]; norm: τ ≥ 0, L2 pixel units; replaced: in [0, N].
    """
    margin, sigma = certificates["margin"].to_numpy(), certificates["sigma"].to_numpy()
    if share.seen == share.images and not replaced:
        most = images_certified(margin, sigma, share.sigma_train, norm=norm)
        farthest = norm_certified(margin, sigma, share.sigma_train, images=images)
    else:
        bounds = (certificates["p_a_lower"], certificates["p_b_upper"], sigma, share)
        most = share_budget.moved_certified(*bounds, norm=norm, replaced=replaced)
        farthest = share_budget.norm_certified(*bounds, images=images, replaced=replaced)
    return certificates[["set", "index"]].assign(images=most, norm=farthest)
