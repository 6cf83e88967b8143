"""Turn a run's stored votes into certificates and metrics; nothing is trained, and torch is not needed.

The way is straight: :func:`read_run_votes` reads the votes, :func:`bound_votes` bounds the class probabilities,
:func:`certify_bounds` makes certificates of the bounds, the store (``pipeline.store_stage``) sees each certified input
in turn, and :func:`assess` measures the metrics. :func:`certify_votes` goes from votes to certificates in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.certify import published_release
from certssb_core.certify.certificate import (
    DENOISED,
    FIXED,
    FIXED_JOINT,
    FIXED_PROMISE,
    TEST_MAPS,
    Certificates,
    images_certified,
)
from certssb_core.certify.certificate_kinds import CERTIFICATES, DRAWN_BY_SEED
from certssb_core.certify.input_votes import VoteBounds
from certssb_core.certify.metrics import clean_metrics, triggered_metrics
from certssb_core.certify.share_budget import Share, moved_certified
from certssb_core.certify.subset import unseen_probability
from certssb_core.config.schema import RunConfig
from certssb_core.data.poisoning import attacked_label, counts_for_attack
from certssb_core.errors import RunError
from certssb_core.results.comparison import Series
from certssb_core.results.vote_bounds import BoundRule, apply_rule, bound_votes
from certssb_core.results.votes import RunVotes
from certssb_core.runs.inputs import SETS

MODES = (*TEST_MAPS, FIXED, published_release.MODE)
"""All modes in which votes can be counted; the release's, labelled so, gives no certificate."""

NO_JOINT_BUDGET = (
    "None: the members were imported. Their training noise was redrawn every epoch and its levels are not published, "
    "so nothing is certified about changes of the training images."
)

AS_IF_ALL = ", as if every member saw every image"
"""Ends the name of a joint budget that does not count that members draw a share of the images."""

SOME_LEFT_OUT = (
    "None: {count} members diverged and are left out. Whether a member diverges depends on the training images, so "
    "nothing is certified about changes of them; the test radius takes the training set as given and stands."
)


def no_joint_budget(run_votes: RunVotes) -> str:
    """Say why a run has no joint budget."""
    return SOME_LEFT_OUT.format(count=len(run_votes.left_out)) if run_votes.left_out else NO_JOINT_BUDGET


def label(mode: str) -> str:
    """The name of a mode wherever its numbers are shown."""
    return published_release.LABEL if mode == published_release.MODE else mode


@dataclass(frozen=True)
class Promise:
    """The promise of one mode's numbers, in words."""

    test_radius: str
    joint_budget: str
    condition: str


def certify_votes(
    run_votes: RunVotes, *, mode: str | None = None, bound: str | None = None, alpha: float | None = None
) -> pd.DataFrame:
    """Certify all test inputs of a run, one row each: certificates.csv without its store columns.

    In mode ``release`` the rows look the same and certify nothing. What is not given is as in the run's config.

    Args:
        run_votes: as :func:`read_run_votes` reads them.
        mode: the noise map to count votes of, one of ``run_votes.modes``.
        bound: a key of ``BOUNDS``.
        alpha: failure probability per input, in (0, 1).

    Raises:
        RunError: the run has no votes in this mode, or the bound cannot be read from them.
    """
    config = run_votes.config
    mode, bound = mode or config.noise.test_map, bound or config.certification.bound
    alpha = config.certification.alpha if alpha is None else alpha
    return _table(
        run_votes,
        {
            test_set: bound_votes(votes, config, mode=mode, bound=bound, alpha=alpha)
            for test_set, votes in run_votes.sets.items()
        },
    )


def certify_by_rule(run_votes: RunVotes, rule: BoundRule, *, alpha: float) -> pd.DataFrame:
    """The rows of :func:`certify_votes` under any rule, sound or not."""
    return _table(
        run_votes, {test_set: apply_rule(votes, rule, alpha=alpha) for test_set, votes in run_votes.sets.items()}
    )


def certify_bounds(bounds: VoteBounds, config: RunConfig) -> Certificates:
    """Certificates of the run's kind from bounds on its votes."""
    certificates = CERTIFICATES[config.certification.certificate].certify(
        bounds, config.noise.train_map, config.drawing
    )
    return replace(certificates, condition=conditions(config, certificates.condition))


def _table(run_votes: RunVotes, bounds: dict[str, VoteBounds]) -> pd.DataFrame:
    tables = []
    for test_set, read in bounds.items():
        certificates = certify_bounds(read, run_votes.config)
        columns: dict[str, Any] = {"set": test_set, "index": np.arange(len(read.counts)), "label": run_votes.labels}
        columns |= {"sigma": certificates.sigma, "members": read.members}
        columns |= {f"votes_{label}": read.counts[:, label] for label in range(run_votes.classes)}
        columns |= {
            name: getattr(certificates, name) for name in ("prediction", "p_a_lower", "p_b_upper", "margin", "radius")
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def assess(
    run_votes: RunVotes, certificates: pd.DataFrame, *, radii: tuple[float, ...] | None = None
) -> dict[str, Any]:
    """Measure the ``clean`` and ``triggered`` parts of metrics.json.

    Args:
        certificates: rows of :func:`certify_votes`.
        radii: certified accuracy is reported above each of these; default: those of the run's config.
    """
    radii = run_votes.config.certification.radii if radii is None else radii
    clean, triggered = (
        {name: table[name].to_numpy() for name in ("prediction", "radius", "label")}
        for table in (certificates[certificates["set"] == test_set] for test_set in SETS)
    )
    attack = run_votes.config.attack
    return {
        "clean": clean_metrics(clean["prediction"], clean["radius"], clean["label"], radii=radii),
        "triggered": triggered_metrics(
            triggered["prediction"],
            triggered["radius"],
            triggered["label"],
            attacked_label(
                triggered["label"], classes=run_votes.classes, label_mode=attack.label_mode, target=attack.target
            ),
            counts_for_attack(triggered["label"], **attack.aim),
            radii=radii,
        ),
    }


def replaced_images(
    run_votes: RunVotes, norms: Sequence[float], *, bound: str | None = None, alpha: float | None = None
) -> dict[float, np.ndarray]:
    """The most training images that may be replaced by anything, at every norm.

    Args:
        norms: L2 pixel units, by which the test input moves at most.
        bound, alpha: default: those of the run's config.

    Returns:
        for each norm ``(n,)`` int64 over all test sets in their order; -1 where the answer is wrong or moving the test
        input alone is not certified.

    Raises:
        RunError: the kind of certificate cannot say.
    """
    config, replaced, drawing = run_votes.config, run_votes.kind.replaced, run_votes.config.drawing
    if replaced is None or drawing is None:
        raise RunError(
            f"This certificate counts {run_votes.kind.unit}, and says nothing about replaced training images."
        )
    mode, rule = config.noise.test_map, config.certification
    how: dict[str, Any] = {"mode": mode, "bound": bound or rule.bound, "alpha": alpha or rule.alpha}
    sets = [bound_votes(run_votes.sets[test_set], config, **how) for test_set in SETS]

    def stand(bounds: VoteBounds, norm: float) -> np.ndarray:
        right = bounds.bounds.prediction == run_votes.labels
        return np.where(right, replaced(bounds, drawing, norm), -1)

    return {norm: np.concatenate([stand(bounds, norm) for bounds in sets]) for norm in norms}


def planted_attack(
    run_votes: RunVotes, certificates: pd.DataFrame, *, images: int, norm: float, moved: float | None = None
) -> dict[str, Any] | None:
    """Count the inputs that are certified right against the attack as planted: its images and its trigger together.

    Args:
        images: number of poisoned training images, whatever number the radii allow.
        norm: largest L2 norm by which the trigger changes a test image, as measured: a patch has no nominal norm.
        moved: largest L2 norm by which a poisoned training image moved where all kept their labels, else None.

    Returns:
        ``images`` replaced, trigger's ``norm``, ``training_images``, where labels were kept ``moved``, and of each test
        set ``n`` and ``certified``; None where the kind of certificate cannot say.
    """
    drawing, share = run_votes.config.drawing, run_votes.share
    if run_votes.kind.replaced is not None and drawing is not None:
        found: dict[str, Any] = {"images": images, "norm": norm, "training_images": drawing.images}
        most = replaced_images(run_votes, [norm])[norm]
    elif moved is not None and share is not None and _says_of_moved(run_votes, norm):
        found = {"images": images, "norm": norm, "training_images": share.images, "moved": moved}
        most = _moved(run_votes, certificates, norm=moved, test_norm=norm)
    else:
        return None
    stands = (certificates["prediction"] == certificates["label"]) & (most >= images)
    for test_set in SETS:
        rows = stands[certificates["set"] == test_set]
        found[test_set] = {"n": len(rows), "certified": int(rows.sum())}
    return found


def _says_of_moved(run_votes: RunVotes, norm: float) -> bool:
    """True where certificates are about moved training images whose noise no attacker influences, and the trigger."""
    kind, uniform = run_votes.kind, run_votes.config.noise.train_map == "uniform"
    return uniform and kind.weighs and (kind.balls or norm == 0)


def after_store(certificates: pd.DataFrame) -> pd.DataFrame:
    """Rows of certificates.csv as the store answers them: its label and radius in place of the members'."""
    return certificates.assign(
        prediction=certificates["store_prediction"].astype(np.int64), radius=certificates["store_radius"]
    )


def joint_budget(
    run_votes: RunVotes,
    certificates: pd.DataFrame,
    *,
    norm: float,
    test_norm: float | None = None,
    replaced: int = 0,
    share_counted: bool = True,
) -> np.ndarray:
    """Largest number of poisoned training images certified when each moves by at most ``norm``, per row (L2, pixel
    units), and so does a test input that has a ball: the worst images have the smallest σ_i. -1: none, and no move.

    Args:
        certificates: rows of :func:`certify_votes`.
        norm: τ, L2 pixel units.
        test_norm: of the test input's move where it is another; 0: as given.
        replaced: so many other training images are replaced by anything, labels included.
        share_counted: count that a member sees a share of the images (docs/method.md §9.3); False: as if every member
            saw them all (§5).

    Raises:
        RunError: the noise of the training images is not known, or the certificates are about no norm.
    """
    share = budget_share(run_votes, share_counted=share_counted)
    if share.seen == share.images and not replaced and test_norm is None:
        sigma = run_votes.kind.moving(certificates["sigma"].to_numpy())
        return images_certified(certificates["margin"].to_numpy(), sigma, share.sigma_train, norm=norm)
    return _moved(run_votes, certificates, norm=norm, test_norm=test_norm, replaced=replaced)


def joint_budgets(
    run_votes: RunVotes, series: Series, *, norm: float, replaced: int = 0
) -> list[tuple[Series, np.ndarray]]:
    """:func:`joint_budget` of ``series``; where members draw a share, also as if they did not, under a name that says
    so: unless images are ``replaced``, which nothing but the draw bears."""
    table, share = series.certificates, budget_share(run_votes)
    found = [(series, joint_budget(run_votes, table, norm=norm, replaced=replaced))]
    if share.seen < share.images and not replaced:
        plain = replace(series, name=f"{series.name}{AS_IF_ALL}")
        found.append((plain, joint_budget(run_votes, table, norm=norm, share_counted=False)))
    return found


def replaced_at_most(run_votes: RunVotes) -> int:
    """The most images that a joint budget can bear to be replaced: half of the members must see none of them."""
    share = budget_share(run_votes)
    unseen = unseen_probability(share.images, share.seen, np.arange(share.images + 1))
    return int(np.sum(unseen > 0.5)) - 1


def budget_share(run_votes: RunVotes, *, share_counted: bool = True) -> Share:
    """The share that a joint budget counts: all images where the draw is not to be counted.

    Raises:
        RunError: as :func:`joint_budget`.
    """
    if not run_votes.kind.weighs:
        raise RunError(f"This certificate counts {run_votes.kind.unit}, not norms. {run_votes.kind.joint}")
    share = run_votes.share
    if share is None:
        raise RunError(no_joint_budget(run_votes))
    return share if share_counted else Share(share.images, share.sigma_train)


def _moved(run_votes: RunVotes, rows: pd.DataFrame, **budget: Any) -> np.ndarray:
    """:func:`moved_certified` of rows of certificates; -1 where they abstain."""
    assert run_votes.share is not None
    sigma = run_votes.kind.moving(rows["sigma"].to_numpy())
    certified = moved_certified(rows["p_a_lower"], rows["p_b_upper"], sigma, run_votes.share, **budget)
    return np.where(rows["prediction"] >= 0, certified, -1)


def conditions(config: RunConfig, condition: str) -> str:
    """``condition`` of a certificate, and what the run's preprocessing adds to it."""
    return f"{condition} {DENOISED}" if config.noise.denoises else condition


def promise(config: RunConfig, mode: str) -> Promise:
    """The promise of ``mode`` and its condition (docs/method.md §5); ``release`` promises nothing."""
    if mode == published_release.MODE:
        return Promise(
            test_radius=published_release.PROMISE,
            joint_budget=published_release.PROMISE,
            condition=published_release.CONDITION,
        )
    kind = CERTIFICATES[config.certification.certificate]
    counted = ""
    if kind.weighs and config.training.share < 1:
        counted = (
            f" The joint budget counts that a member sees {config.training.share:.3g} of the images. {DRAWN_BY_SEED}"
        )
    sampled = f" Each certificate holds with probability at least {1 - config.certification.alpha:g}."
    if mode == FIXED:
        return Promise(FIXED_PROMISE + sampled, FIXED_JOINT, kind.condition(config.noise.train_map, mode))
    return Promise(
        test_radius=kind.promise + ("" if kind.certain else sampled),
        joint_budget=kind.joint if config.origin == "trained" else NO_JOINT_BUDGET,
        condition=conditions(config, kind.condition(config.noise.train_map, mode) + counted),
    )
