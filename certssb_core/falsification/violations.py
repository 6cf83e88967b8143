"""Claims about inputs, votes cast elsewhere, and the rule by which these votes break a claim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import betaincinv

from certssb_core.certify.bounds.registry import BOUNDS, clopper_pearson_lower, clopper_pearson_upper
from certssb_core.results import certification
from certssb_core.results.votes import RunVotes
from certssb_core.runs.inputs import SETS, Inputs

CONFIDENCE = 0.95
"""Of the one-sided Clopper–Pearson bounds on how often something breaks."""
CHANCE = 0.9
"""Chance of establishing a flip at which an attack's power is stated."""


@dataclass(frozen=True, eq=False)
class Claims:
    """The certified inputs of a run in one mode; ABSTAIN claims nothing and is left out.

    Attributes:
        sets: ``(n,)`` names, indices: ``(n,)`` int64: where each input comes from.
        images: ``(n, C, H, W)`` float32; prediction: ``(n,)`` int64.
        margin: ``(n,)``; radius: ``(n,)``, L2 pixel units; their ratio is the σ_x of the claim.
        sigma: ``(n,)`` the noise at which the mode's votes were cast.
        classes: number of classes; bound, alpha: of the run, by which votes are judged.
    """

    sets: np.ndarray
    indices: np.ndarray
    images: np.ndarray
    prediction: np.ndarray
    margin: np.ndarray
    radius: np.ndarray
    sigma: np.ndarray
    classes: int
    bound: str
    alpha: float

    def __len__(self) -> int:
        return len(self.prediction)


@dataclass(frozen=True, eq=False)
class Poll:
    """Votes of ``members`` on n points: ``counts`` ``(n, classes)`` int64, ``softmax`` ``(n, classes)``, their sum."""

    counts: np.ndarray
    softmax: np.ndarray
    members: int

    @classmethod
    def of(cls, hard: np.ndarray, softmax: np.ndarray) -> Poll:
        """Make a poll of one member's ballot."""
        return cls(np.eye(softmax.shape[1], dtype=np.int64)[hard], softmax.astype(np.float64), 1)

    def __add__(self, other: Poll) -> Poll:
        return Poll(self.counts + other.counts, self.softmax + other.softmax, self.members + other.members)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Verdict on each point: ``flipped``, another class leads; ``broken``, the votes establish that it does."""

    flipped: np.ndarray
    broken: np.ndarray
    leading: np.ndarray


@dataclass(frozen=True)
class Part:
    """One part of the attack: its trials and what they found.

    Trials of one unit share the same noise, so they say much the same: only units are independent.

    Attributes:
        name, title: for files, for people.
        trials: claims tested; flips: other class ahead in the votes; violations: flips that the votes establish.
        unit: what was drawn independently, in words; units: how many; broken_units: those with a violation.
        attack: what was tried, and power: what it could have found, in words.
        seconds: that it took.
        facts: what else there is to say; examples: violations, in detail.
    """

    name: str
    title: str
    trials: int
    flips: int
    violations: int
    unit: str
    units: int
    broken_units: int
    attack: str
    power: str
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def report(self, allowed: float) -> dict[str, Any]:
        """The part as falsification.json holds it.

        ``rate_upper`` bounds the probability that a further unit breaks anywhere, and so the mean share of its trials
        that break: no share is larger than whether there is any. ``units_lower`` bounds that probability from below.

        Args:
            allowed: the rate of violations per trial that the claims admit to.
        """
        level = 1 - CONFIDENCE
        rate = self.violations / self.trials if self.trials else None
        lower, upper = (
            float(bound(self.broken_units, self.units, level)) if self.trials else default
            for bound, default in ((clopper_pearson_lower, 0.0), (clopper_pearson_upper, 1.0))
        )
        return self.__dict__ | {
            "seconds": round(self.seconds, 2),
            "rate": rate,
            "units_lower": lower,
            "rate_upper": upper,
            "allowed": allowed,
            "within": rate is not None and rate <= allowed,
        }


def claims(run_votes: RunVotes, inputs: Inputs, *, mode: str) -> Claims:
    """The claims of a run in ``mode``, under its own bound and α.

    Raises:
        RunError: the run has no votes in this mode.
    """
    settings = run_votes.config.certification
    table = certification.certify_votes(run_votes, mode=mode, bound=settings.bound, alpha=settings.alpha)
    images = np.concatenate([inputs.test_images(which) for which in SETS])
    rows = np.flatnonzero((table["prediction"] >= 0) & (table["radius"] > 0))
    names = ("set", "index", "prediction", "margin", "radius", "sigma")
    column = {name: table[name].to_numpy()[rows] for name in names}
    if mode == "release":  # the public code votes at the global σ, whatever it multiplies the margin with
        column["sigma"] = np.full(len(rows), run_votes.config.noise.sigma)
    return Claims(
        sets=column["set"],
        indices=column["index"],
        images=images[rows],
        prediction=column["prediction"],
        margin=column["margin"],
        radius=column["radius"],
        sigma=column["sigma"],
        classes=run_votes.classes,
        bound=settings.bound,
        alpha=settings.alpha,
    )


def judge(poll: Poll, claims: Claims, prediction: np.ndarray) -> Verdict:
    """Judge by the votes the claim that ``prediction`` ``(n,)`` is the answer.

    Broken means that the run's own bound, with its correction for choosing the class, would certify another class
    on these votes: at confidence 1 − α the smoothed prediction is not the claimed one. A bound that needs the order of
    the votes is replaced by Clopper–Pearson.
    """
    bound = BOUNDS[claims.bound]
    if bound.vote == "sequence":  # it needs the order of the votes, which a poll does not keep
        bound = BOUNDS["clopper-pearson"]
    values = poll.counts if bound.vote == "hard" else poll.softmax / poll.members
    bounds = bound.class_bounds(values, poll.members, claims.alpha)
    broken = (bounds.prediction >= 0) & (bounds.prediction != prediction)
    return Verdict(flipped=bounds.top != prediction, broken=broken, leading=bounds.top)


def votes_needed(claims: Claims, members: int) -> int | None:
    """The smallest number of ``members`` votes for another class that establish a flip.

    None where not even unanimous votes do: then nothing could be found, whatever the claims are worth.
    """
    if not members:
        return None
    against = np.arange(members + 1)
    counts = np.zeros((members + 1, claims.classes), dtype=np.int64)
    counts[:, 0], counts[:, 1] = members - against, against
    broken = judge(Poll(counts, counts.astype(np.float64), members), claims, np.zeros(members + 1, int)).broken
    return int(against[broken].min()) if broken.any() else None


def power(needed: int | None, members: int) -> str:
    """Say how strong a flip must be for the votes to establish it."""
    if needed is None:
        return "none: too few votes to establish any flip"
    chance = betaincinv(needed, members - needed + 1, CHANCE)
    return (
        f"a flip counts from {needed:,} of {members:,} votes; one to a class of probability {chance:.2f} is "
        f"established with probability {CHANCE:g}, weaker ones mostly are not"
    )


def units(part: dict[str, Any]) -> str:
    """The independent units of a part and those that broke, in words; a report from before they were counted has
    none, and its bound takes all trials as independent."""
    return f"{part['broken_units']:,} of {part['units']:,} {part['unit']}" if "units" in part else "not counted"


def examples(rows: Iterable[dict[str, Any]], most: int = 20) -> list[dict[str, Any]]:
    """The first ``most`` violations, as plain numbers."""
    plain = [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()} for row in rows
    ]
    return plain[:most]
