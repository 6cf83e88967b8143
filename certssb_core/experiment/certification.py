"""From a run's stored votes to certificates and figures: nothing is trained, and torch is not needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.certify.bounds import BOUNDS, count_votes
from certssb_core.certify.candidates import forecast, largest_radius, take
from certssb_core.certify.certificate import CERTIFICATES, PROMISE, Certificates, images_certified
from certssb_core.certify.intervals import ClassBounds
from certssb_core.certify.metrics import clean_metrics, triggered_metrics
from certssb_core.data.poisoning import attacked_label, counts_for_attack
from certssb_core.experiment.config import RunConfig
from certssb_core.experiment.inputs import SETS
from certssb_core.experiment.run import Run, RunError


@dataclass(frozen=True, eq=False)
class Voted:
    """What a run's certificates are made of.

    Attributes:
        config: the run's config.
        votes: ``{(set, map): (M, n) uint8}``; softmax: ``{(set, map): (n, C) float64}``, its mean over members.
        sigma: ``{set: (n,) float64}``, σ*_x; sigma_train: ``(n_train,)`` float64, σ*_i.
        labels: ``(n,)`` int64, true classes of the test images.
        candidate_votes: ``{set: (M, K, n) uint8}``, votes at every candidate σ; empty where the run has none.
        candidate_softmax: ``{set: (K, n, C) float64}``.
    """

    config: RunConfig
    votes: dict[tuple[str, str], np.ndarray]
    softmax: dict[tuple[str, str], np.ndarray]
    sigma: dict[str, np.ndarray]
    sigma_train: np.ndarray
    labels: np.ndarray
    candidate_votes: dict[str, np.ndarray] = field(default_factory=dict)
    candidate_softmax: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return next(iter(self.softmax.values())).shape[1]

    @property
    def members(self) -> int:
        return len(next(iter(self.votes.values())))

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes this run can be certified in: the test noise that was voted on, and choices among candidates."""
        maps = tuple(dict.fromkeys(noise_map for _, noise_map in self.votes))
        return (*maps, "voted", "set-aside") if self.candidate_votes else maps

    def test_sigma(self, which: str, mode: str) -> np.ndarray:
        """The noise ``(n,)`` at which the votes of the noise map ``mode`` were cast."""
        if mode == "uniform":
            return np.full(len(self.labels), self.config.noise.sigma)
        return self.sigma[which]


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
        sigma_train=sigma["train"],
        labels=votes["labels"],
        **{
            f"candidate_{kind}": {which: votes[key] for which in SETS if (key := f"{kind}/{which}/candidates") in votes}
            for kind in ("votes", "softmax")
        },
    )


@dataclass(frozen=True)
class Reading:
    """What certifies n inputs: votes per class ``(n, C)`` of so many members, cast at ``sigma`` ``(n,)``."""

    bounds: ClassBounds
    counts: np.ndarray
    sigma: np.ndarray
    members: int


def read_votes(voted: Voted, which: str, *, mode: str, bound: str, alpha: float) -> Reading:
    """Bounds on the inputs of one set under ``mode``; each holds with probability >= 1 - ``alpha``.

    ``voted`` bounds all K candidates at alpha/K and takes the best; ``set-aside`` lets the first members choose
    and the others certify. Both certify the class that leads at the uniform σ₀ where they can.

    Raises:
        RunError: the bound cannot be read from these votes.
    """
    if mode == "voted":
        return _best_candidate(voted, which, bound, alpha)
    if mode == "set-aside":
        return _candidate_chosen_aside(voted, which, bound, alpha)
    votes = voted.votes[which, mode]
    bounds = BOUNDS[bound].from_votes(
        votes, classes=voted.classes, alpha=alpha, softmax=voted.softmax.get((which, mode))
    )
    return Reading(bounds, count_votes(votes, voted.classes), voted.test_sigma(which, mode), len(votes))


def _best_candidate(voted: Voted, which: str, bound: str, alpha: float) -> Reading:
    sigmas, votes = voted.config.noise.test_candidates, voted.candidate_votes[which]
    at = [
        BOUNDS[bound].from_votes(votes[:, k], classes=voted.classes, alpha=alpha / len(sigmas), softmax=softmax)
        for k, softmax in enumerate(voted.candidate_softmax[which])
    ]
    chosen = largest_radius(at, sigmas, _leading(voted, which))
    cast = np.take_along_axis(votes, chosen[None, None], axis=1)[:, 0]  # (M, n)
    return Reading(take(at, chosen), count_votes(cast, voted.classes), np.asarray(sigmas)[chosen], len(cast))


def _candidate_chosen_aside(voted: Voted, which: str, bound: str, alpha: float) -> Reading:
    if BOUNDS[bound].vote == "softmax":
        raise RunError("set-aside needs a bound on hard votes: softmax is kept as a mean over all members")
    noise, votes, classes = voted.config.noise, voted.candidate_votes[which], voted.classes
    aside = min(max(1, round(noise.aside * voted.members)), voted.members - 1)
    if aside < 1:
        raise RunError("set-aside needs at least two members")
    certifying = votes[aside:]
    forecasts = [
        BOUNDS["clopper-pearson"].class_bounds(
            forecast(count_votes(votes[:aside, k], classes), len(certifying)), len(certifying), alpha
        )
        for k in range(len(noise.test_candidates))
    ]
    chosen = largest_radius(forecasts, noise.test_candidates, _leading(voted, which, aside))
    cast = np.take_along_axis(certifying, chosen[None, None], axis=1)[:, 0]  # (M - aside, n)
    bounds = BOUNDS[bound].from_votes(cast, classes=classes, alpha=alpha)
    return Reading(bounds, count_votes(cast, classes), np.asarray(noise.test_candidates)[chosen], len(cast))


def _leading(voted: Voted, which: str, members: int | None = None) -> np.ndarray:
    """The class ``(n,)`` that leads at the uniform σ₀ among the first ``members``."""
    return count_votes(voted.votes[which, "uniform"][:members], voted.classes).argmax(axis=1)


def certify(voted: Voted, *, mode: str, bound: str, alpha: float) -> pd.DataFrame:
    """Certificates of all inputs of a run, one row each: certificates.csv without its store columns.

    Raises:
        RunError: the run has no votes in this mode.
    """
    if mode not in voted.modes:
        raise RunError(f"this run has no votes in mode {mode!r}; it has {', '.join(voted.modes)}")
    tables = []
    for which in SETS:
        reading = read_votes(voted, which, mode=mode, bound=bound, alpha=alpha)
        certificates = certificates_of(voted, reading, mode)
        table = pd.DataFrame(
            {
                "set": which,
                "index": np.arange(len(reading.counts)),
                "label": voted.labels,
                "sigma": certificates.sigma,
                "members": reading.members,
            }
            | {f"votes_{label}": reading.counts[:, label] for label in range(voted.classes)}
            | {
                name: getattr(certificates, name)
                for name in ("prediction", "p_a_lower", "p_b_upper", "margin", "radius")
            }
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def certificates_of(voted: Voted, reading: Reading, mode: str) -> Certificates:
    """The run's kind of certificate, from bounds read in ``mode``."""
    kind = CERTIFICATES[voted.config.certification.certificate]
    return kind.certify(reading.bounds, reading.sigma, training_map=voted.config.noise.train_map, test_map=mode)


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
    """
    return images_certified(
        certificates["margin"].to_numpy(), certificates["sigma"].to_numpy(), voted.sigma_train, norm=norm
    )


def promise(config: RunConfig, mode: str) -> Promise:
    """What certificates of ``mode`` promise, and under which condition (METHOD §5)."""
    alpha = config.certification.alpha
    kind = CERTIFICATES[config.certification.certificate]
    return Promise(
        test_radius=f"{PROMISE} Each certificate holds with probability at least {1 - alpha:g}.",
        joint_budget=(
            "The prediction stays the same although n training images, whichever they are, and the test input "
            "each change by at most the stated norm; labels and number of images as given."
        ),
        condition=kind.condition(config.noise.train_map, mode),
    )
