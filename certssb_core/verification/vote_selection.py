"""The votes that certify each input, and their σ, in every noise map: chosen a second time, for verification only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import norm

from certssb_core.config.schema import RunConfig
from certssb_core.errors import NotPossible
from certssb_core.verification.bounds import BOUNDS, OWN_BOUNDS, Ballots


@dataclass(frozen=True, eq=False)
class CertifyingVotes:
    """The votes that certify ``n`` inputs.

    Attributes:
        ballots: the votes.
        sigma: ``(n,)`` noise levels at which they were cast.
        bounds: columns ``prediction, p_a_lower, p_b_upper``.
    """

    ballots: Ballots
    sigma: np.ndarray
    recorded: RecordedVotes
    alpha: float

    @cached_property
    def bounds(self) -> pd.DataFrame:
        return self.recorded.bound(self.ballots, self.alpha)


@dataclass(frozen=True, eq=False)
class RecordedVotes:
    """A run's recorded votes on one test set, and the rules of its config."""

    test_set: str
    votes: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]
    config: RunConfig

    @property
    def classes(self) -> int:
        return self.votes[f"softmax/{self.test_set}/uniform"].shape[1]

    @property
    def draws(self) -> np.ndarray | None:
        return self.votes.get(f"draws/{self.test_set}")

    def ballots(self, noise_map: str) -> Ballots:
        votes, softmax = (self.votes[f"{kind}/{self.test_set}/{noise_map}"] for kind in ("votes", "softmax"))
        margins, ranks = (self.votes.get(f"votes/{self.test_set}/{name}") for name in ("margins", "ranks"))
        return Ballots(votes, softmax, self.classes, self.draws, margins, ranks)

    def candidates(self) -> list[Ballots]:
        votes, softmax = (self.votes[f"{kind}/{self.test_set}/candidates"] for kind in ("votes", "softmax"))
        chosen = range(len(self.config.noise.test_candidates))
        return [Ballots(votes[:, k], softmax[k], self.classes, self.draws) for k in chosen]

    def bound(self, ballots: Ballots, alpha: float) -> pd.DataFrame:
        """Bound the ballots by the run's rule.

        Raises:
            NotPossible: the rule has no second implementation.
        """
        rule = self.config.certification
        recount = OWN_BOUNDS.get(rule.certificate) or BOUNDS.get(rule.bound)
        if recount is None:
            raise NotPossible(f"the bound {rule.bound} has no independent re-verification")
        return recount(ballots, alpha)


def at_one_level(recorded: RecordedVotes) -> CertifyingVotes:
    """Uniform: one level for all. Sample-specific: σ*_x."""
    noise = recorded.config.noise
    ballots = recorded.ballots(noise.test_map)
    levels = recorded.sigma[recorded.test_set] if noise.searches_test else np.full(ballots.votes.shape[1], noise.level)
    return CertifyingVotes(ballots, levels, recorded, recorded.config.certification.alpha)


def voted(recorded: RecordedVotes) -> CertifyingVotes:
    """Bound each of K candidates at α/K by all members; take the best."""
    candidates = recorded.candidates()
    alpha = recorded.config.certification.alpha / len(candidates)
    leading = recorded.ballots("uniform").counts.argmax(axis=1)
    bounds = [recorded.bound(ballots, alpha) for ballots in candidates]
    radii = _radii(bounds, recorded.config.noise.test_candidates, leading)
    return _taken(recorded, candidates, pd.DataFrame(radii).idxmax(axis=0).tolist(), alpha)


def set_aside(recorded: RecordedVotes) -> CertifyingVotes:
    """The first members shortlist J candidates; the others bound each at α/J; take the best."""
    noise, candidates = recorded.config.noise, recorded.candidates()
    kept = min(noise.kept, len(candidates))
    alpha = recorded.config.certification.alpha / kept
    members = candidates[0].members
    aside = min(max(1, round(noise.aside * members)), members - 1)
    leading = Ballots(recorded.ballots("uniform").votes[:aside], None, recorded.classes).counts.argmax(axis=1)
    forecasts = [
        BOUNDS["clopper-pearson"](_forecast(ballots.votes[:aside], members - aside, ballots.classes), alpha)
        for ballots in candidates
    ]
    promised = _radii(forecasts, noise.test_candidates, leading)
    rest = [Ballots(ballots.votes[aside:], None, ballots.classes, ballots.draws) for ballots in candidates]
    radii = _radii([recorded.bound(ballots, alpha) for ballots in rest], noise.test_candidates, leading)
    chosen = []
    for row in range(len(leading)):
        best_first = sorted(range(len(candidates)), key=lambda k: -promised[k][row])[:kept]
        chosen.append(max(best_first, key=lambda k: radii[k][row]))
    return _taken(recorded, rest, chosen, alpha)


SELECTIONS: dict[str, Callable[[RecordedVotes], CertifyingVotes]] = {
    "uniform": at_one_level,
    "sample-specific": at_one_level,
    "voted": voted,
    "set-aside": set_aside,
}
"""By the name of the test noise map in the config."""


def _radii(frames: list[pd.DataFrame], sigmas: tuple[float, ...], leading: np.ndarray) -> list[pd.Series]:
    """Radius of every input at each candidate, for the ``leading`` class; 0 if another class is certified."""
    return [
        ((norm.ppf(frame["p_a_lower"]) - norm.ppf(frame["p_b_upper"])) * pd.Series(sigma, frame.index)).where(
            frame["prediction"] == leading, 0.0
        )
        for frame, sigma in zip(frames, sigmas, strict=True)
    ]


def _taken(recorded: RecordedVotes, candidates: list[Ballots], chosen: list[int], alpha: float) -> CertifyingVotes:
    """The votes of the chosen candidates, to be bounded at ``alpha``."""
    votes = np.column_stack([candidates[k].votes[:, row] for row, k in enumerate(chosen)])
    means = [candidate.softmax for candidate in candidates if candidate.softmax is not None]
    softmax = np.stack([means[k][row] for row, k in enumerate(chosen)]) if means else None
    ballots = Ballots(votes, softmax, recorded.classes, recorded.draws)
    return CertifyingVotes(ballots, np.array(recorded.config.noise.test_candidates)[chosen], recorded, alpha)


def _forecast(votes: np.ndarray, more: int, classes: int) -> Ballots:
    """``more`` votes in the shares (votes + 1/2) / (total + C/2), rounded down, what is over going to the leader."""
    columns = []
    for counts in Ballots(votes, None, classes).counts.tolist():
        expected = [(2 * count + 1) * more // (2 * len(votes) + classes) for count in counts]
        expected[counts.index(max(counts))] += more - sum(expected)
        columns.append(np.repeat(np.arange(classes), expected))
    return Ballots(np.column_stack(columns), None, classes)
