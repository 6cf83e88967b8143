"""Claims about inputs, and what a part of the attack reports of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from certssb_core.certify.bounds.registry import clopper_pearson_lower, clopper_pearson_upper
from certssb_core.results import certification
from certssb_core.results.votes import RunVotes
from certssb_core.runs.inputs import SETS, Inputs

CONFIDENCE = 0.95
"""Of the one-sided Clopper–Pearson bounds on how often something breaks."""


@dataclass(frozen=True, eq=False)
class Claims:
    """The certified inputs of a run in one mode; ABSTAIN claims nothing and is left out.

    Attributes:
        sets: ``(n,)`` names, indices: ``(n,)`` int64: where each input comes from.
        images: ``(n, C, H, W)`` float32; prediction: ``(n,)`` int64.
        margin: ``(n,)``; radius: ``(n,)``, L2 pixel units; their ratio is the σ_x of the claim.
        sigma: ``(n,)`` the noise at which the mode's votes were cast.
        classes: number of classes; bound, alpha: of the run.
        searched: whether every input's σ was searched for it, on the run's base classifier.
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
    searched: bool = False

    def __len__(self) -> int:
        return len(self.prediction)


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
        searched=mode == "sample-specific",
    )


def beyond_chance(broken: int, units: int, alpha: float) -> bool:
    """Decide whether more units break than claims that fail with probability ``alpha`` explain, at 95 %."""
    return bool(clopper_pearson_lower(broken, units, 1 - CONFIDENCE) > alpha)


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
