"""Which votes certify an input and at which σ, in every noise map, a second time: for verification only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from certssb_core.config.schema import RunConfig
from certssb_core.verification.bounds import BOUNDS, Ballots


@dataclass(frozen=True, eq=False)
class Read:
    """The votes that certify ``n`` inputs, the ``sigma`` ``(n,)`` they were cast at, and the bounds they establish:
    columns ``prediction, p_a_lower, p_b_upper``."""

    ballots: Ballots
    sigma: np.ndarray
    bounds: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a run recorded of one set's votes, and the rules of its config."""

    which: str
    votes: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]
    config: RunConfig

    @property
    def classes(self) -> int:
        return self.votes[f"softmax/{self.which}/uniform"].shape[1]

    def ballots(self, noise_map: str) -> Ballots:
        votes, softmax = (self.votes[f"{kind}/{self.which}/{noise_map}"] for kind in ("votes", "softmax"))
        return Ballots(votes, softmax, self.classes)

    def candidates(self) -> list[Ballots]:
        votes, softmax = (self.votes[f"{kind}/{self.which}/candidates"] for kind in ("votes", "softmax"))
        return [Ballots(votes[:, k], softmax[k], self.classes) for k in range(len(self.config.noise.test_candidates))]

    def bound(self, ballots: Ballots, alpha: float) -> pd.DataFrame:
        rule = self.config.certification
        return BOUNDS["counted" if rule.certificate == "partition" else rule.bound](ballots, alpha)


def at_one_level(recorded: Recorded) -> Read:
    """Uniform: one level for all. Sample-specific: σ*_x."""
    noise = recorded.config.noise
    ballots = recorded.ballots(noise.test_map)
    count = ballots.votes.shape[1]
    sigma = np.full(count, noise.level) if noise.test_map == "uniform" else recorded.sigma[recorded.which]
    return Read(ballots, sigma, recorded.bound(ballots, recorded.config.certification.alpha))


def voted(recorded: Recorded) -> Read:
    """The best of K candidates, each bounded at α/K by all members."""
    candidates = recorded.candidates()
    alpha = recorded.config.certification.alpha / len(candidates)
    anchor = recorded.ballots("uniform").counts.argmax(axis=1)
    radii = _radii([recorded.bound(one, alpha) for one in candidates], recorded.config.noise.test_candidates, anchor)
    return _taken(recorded, candidates, pd.DataFrame(radii).idxmax(axis=0).tolist(), alpha)


def set_aside(recorded: Recorded) -> Read:
    """Of the few candidates that the first members promise most of, the best, each bounded by the others at its share
    of α."""
    noise, candidates = recorded.config.noise, recorded.candidates()
    kept = min(noise.kept, len(candidates))
    alpha = recorded.config.certification.alpha / kept
    members = candidates[0].members
    aside = min(max(1, round(noise.aside * members)), members - 1)
    anchor = Ballots(recorded.ballots("uniform").votes[:aside], None, recorded.classes).counts.argmax(axis=1)
    forecasts = [
        BOUNDS["clopper-pearson"](_forecast(one.votes[:aside], members - aside, one.classes), alpha)
        for one in candidates
    ]
    promised = _radii(forecasts, noise.test_candidates, anchor)
    rest = [Ballots(one.votes[aside:], None, one.classes) for one in candidates]
    radii = _radii([recorded.bound(one, alpha) for one in rest], noise.test_candidates, anchor)
    chosen = []
    for row in range(len(anchor)):
        best_first = sorted(range(len(candidates)), key=lambda k: -promised[k][row])[:kept]
        chosen.append(max(best_first, key=lambda k: radii[k][row]))
    return _taken(recorded, rest, chosen, alpha)


READINGS: dict[str, Callable[[Recorded], Read]] = {
    "uniform": at_one_level,
    "sample-specific": at_one_level,
    "voted": voted,
    "set-aside": set_aside,
}
"""By the name of the test noise map in the config."""


def _radii(frames: list[pd.DataFrame], sigmas: tuple[float, ...], anchor: np.ndarray) -> list[pd.Series]:
    """At each candidate, the radius of every input for the class that is to be certified; 0 where that is not it."""
    return [
        ((norm.ppf(frame["p_a_lower"]) - norm.ppf(frame["p_b_upper"])) * pd.Series(sigma, frame.index)).where(
            frame["prediction"] == anchor, 0.0
        )
        for frame, sigma in zip(frames, sigmas, strict=True)
    ]


def _taken(recorded: Recorded, candidates: list[Ballots], chosen: list[int], alpha: float) -> Read:
    """The votes of the chosen candidates, bounded at ``alpha``."""
    votes = np.column_stack([candidates[k].votes[:, row] for row, k in enumerate(chosen)])
    softmax = None
    if candidates[0].softmax is not None:
        softmax = np.stack([candidates[k].softmax[row] for row, k in enumerate(chosen)])
    ballots = Ballots(votes, softmax, recorded.classes)
    return Read(ballots, np.array(recorded.config.noise.test_candidates)[chosen], recorded.bound(ballots, alpha))


def _forecast(votes: np.ndarray, more: int, classes: int) -> Ballots:
    """``more`` votes in the shares (votes + 1/2) / (total + C/2), rounded down, what is over going to the leader."""
    columns = []
    for counts in Ballots(votes, None, classes).counts.tolist():
        expected = [(2 * count + 1) * more // (2 * len(votes) + classes) for count in counts]
        expected[counts.index(max(counts))] += more - sum(expected)
        columns.append(np.repeat(np.arange(classes), expected))
    return Ballots(np.column_stack(columns), None, classes)
