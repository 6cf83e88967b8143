"""From a run's stored votes to certificates and figures: nothing is trained, and torch is not needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.certify import release
from certssb_core.certify.bounds import BOUNDS, Bound
from certssb_core.certify.certificate import CERTIFICATES, NOISE_MAPS, PROMISE, images_certified
from certssb_core.certify.metrics import clean_metrics, triggered_metrics
from certssb_core.data.poisoning import attacked_label, counts_for_attack
from certssb_core.experiment.config import RunConfig
from certssb_core.experiment.inputs import SETS
from certssb_core.experiment.run import Run, RunError

MODES = (*NOISE_MAPS, release.MODE)
"""How the votes of a run can become radii; one of them, labelled so, is no certificate."""

NO_JOINT_BUDGET = (
    "None: the members were imported. Their training noise was redrawn every epoch and its levels are not published, "
    "so nothing is certified about changes of the training images."
)


def label(mode: str) -> str:
    """What a mode is called wherever its numbers are shown."""
    return release.LABEL if mode == release.MODE else mode


@dataclass(frozen=True, eq=False)
class Voted:
    """What a run's certificates are made of.

    Attributes:
        config: the run's config.
        votes: ``{(set, map): (M, n) uint8}``; softmax: ``{(set, map): (n, C) float64}``, its mean over members.
        sigma: ``{set: (n,) float64}``, σ*_x.
        sigma_train: ``(n_train,)`` float64, σ*_i; None where they are not known (an imported release).
        labels: ``(n,)`` int64, true classes of the test images.
    """

    config: RunConfig
    votes: dict[tuple[str, str], np.ndarray]
    softmax: dict[tuple[str, str], np.ndarray]
    sigma: dict[str, np.ndarray]
    sigma_train: np.ndarray | None
    labels: np.ndarray

    @property
    def classes(self) -> int:
        return next(iter(self.softmax.values())).shape[1]

    @property
    def members(self) -> int:
        return len(next(iter(self.votes.values())))

    @property
    def modes(self) -> tuple[str, ...]:
        """What the run's votes can be counted in: the noise maps they were cast at, and the release's arithmetic."""
        return (*dict.fromkeys(noise_map for _, noise_map in self.votes), release.MODE)

    def test_sigma(self, which: str, mode: str) -> np.ndarray:
        """The noise ``(n,)`` at which the votes of the noise map ``mode`` were cast."""
        if mode == "uniform":
            return np.full(len(self.labels), self.config.noise.sigma)
        return self.sigma[which]


@dataclass(frozen=True)
class Arithmetic:
    """How votes become radii: the noise map they were ``drawn`` at, the one whose σ has ``scaled`` the radius, the
    bound, and the ``count`` of votes it is told. Sound only where both maps are one and the count is true."""

    drawn: str
    scaled: str
    bound: Bound
    count: int


def arithmetic(voted: Voted, *, mode: str, bound: str) -> Arithmetic:
    """The arithmetic of a mode; the release's has a bound of its own, whatever ``bound`` says.

    Raises:
        RunError: the run has no votes in this mode.
    """
    if mode not in voted.modes:
        raise RunError(f"this run has no votes in mode {mode!r}; it has {', '.join(voted.modes)}")
    if mode == release.MODE:
        return Arithmetic("uniform", voted.config.noise.test_map, release.BOUND, release.COUNT)
    return Arithmetic(mode, mode, BOUNDS[bound], voted.members)


@dataclass(frozen=True)
class Promise:
    """What the numbers of one mode promise, in words."""

    test_radius: str
    joint_budget: str
    condition: str


def voted(run: Run) -> Voted:
    """Read the votes of a run.

    Raises:
        RunError: the run has not voted yet, or a file is damaged.
    """
    votes, sigma = run.arrays("votes"), run.arrays("sigma")

    def named(kind: str) -> dict[tuple[str, str], np.ndarray]:
        keys = [(which, noise_map) for which in SETS for noise_map in ("sample-specific", "uniform")]
        return {key: votes["/".join((kind, *key))] for key in keys if "/".join((kind, *key)) in votes}

    return Voted(
        config=run.config,
        votes=named("votes"),
        softmax=named("softmax"),
        sigma={which: sigma[which] for which in SETS},
        sigma_train=sigma.get("train"),
        labels=votes["labels"],
    )


def count_votes(votes: np.ndarray, classes: int) -> np.ndarray:
    """Votes ``(M, n)`` → counts per class ``(n, C)`` int64."""
    return np.stack([(votes == label).sum(axis=0) for label in range(classes)], axis=1)


def certify(voted: Voted, *, mode: str, bound: str, alpha: float) -> pd.DataFrame:
    """Certificates of all inputs of a run, one row each: certificates.csv without its store columns.

    In mode ``release`` the rows look the same and certify nothing.

    Raises:
        RunError: the run has no votes in this mode.
    """
    return computed(voted, arithmetic(voted, mode=mode, bound=bound), alpha=alpha)


def computed(voted: Voted, rule: Arithmetic, *, alpha: float) -> pd.DataFrame:
    """The rows of :func:`certify` under any arithmetic."""
    kind, training_map = CERTIFICATES[voted.config.certification.certificate], voted.config.noise.train_map
    tables = []
    for which in SETS:
        counts = count_votes(voted.votes[which, rule.drawn], voted.classes)
        values = counts if rule.bound.vote == "hard" else voted.softmax[which, rule.drawn]
        bounds = rule.bound.class_bounds(values, rule.count, alpha)
        sigma = voted.test_sigma(which, rule.scaled)
        certificates = kind.certify(bounds, sigma, training_map=training_map, test_map=rule.scaled)
        table = pd.DataFrame(
            {
                "set": which,
                "index": np.arange(len(counts)),
                "label": voted.labels,
                "sigma": certificates.sigma,
                "members": voted.members,
            }
            | {f"votes_{label}": counts[:, label] for label in range(voted.classes)}
            | {
                name: getattr(certificates, name)
                for name in ("prediction", "p_a_lower", "p_b_upper", "margin", "radius")
            }
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def assess(voted: Voted, certificates: pd.DataFrame, *, radii: tuple[float, ...]) -> dict[str, Any]:
    """The ``clean`` and ``triggered`` parts of metrics.json."""
    rows = {which: certificates[certificates["set"] == which][["prediction", "radius", "label"]] for which in SETS}
    clean, triggered = (
        {name: table[name].to_numpy() for name in ("prediction", "radius", "label")} for table in rows.values()
    )
    attack = voted.config.attack
    aim = {"label_mode": attack.label_mode, "target": attack.target}
    return {
        "clean": clean_metrics(clean["prediction"], clean["radius"], clean["label"], radii=radii),
        "triggered": triggered_metrics(
            triggered["prediction"],
            triggered["radius"],
            triggered["label"],
            attacked_label(triggered["label"], classes=voted.classes, **aim),
            counts_for_attack(triggered["label"], **aim),
            radii=radii,
        ),
    }


def joint_budget(voted: Voted, certificates: pd.DataFrame, *, norm: float) -> np.ndarray:
    """Per row, the largest number of poisoned training images certified when each, and the test input, moves by
    at most ``norm`` (L2, pixel units): the worst images have the smallest σ_i. -1: not even the test input may.

    Raises:
        RunError: the noise of the training images is not known.
    """
    if voted.sigma_train is None:
        raise RunError(NO_JOINT_BUDGET)
    return images_certified(
        certificates["margin"].to_numpy(), certificates["sigma"].to_numpy(), voted.sigma_train, norm=norm
    )


def promise(config: RunConfig, mode: str) -> Promise:
    """What the numbers of ``mode`` promise, and under which condition (METHOD §5); of ``release``, nothing."""
    if mode == release.MODE:
        return Promise(test_radius=release.PROMISE, joint_budget=release.PROMISE, condition=release.CONDITION)
    kind = CERTIFICATES[config.certification.certificate]
    joint_budget = (
        "The prediction stays the same although n training images, whichever they are, and the test input "
        "each change by at most the stated norm; labels and number of images as given."
    )
    return Promise(
        test_radius=f"{PROMISE} Each certificate holds with probability at least {1 - config.certification.alpha:g}.",
        joint_budget=joint_budget if config.origin == "trained" else NO_JOINT_BUDGET,
        condition=kind.condition(config.noise.train_map, mode),
    )
