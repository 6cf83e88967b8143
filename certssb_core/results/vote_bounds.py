"""Reading votes: in every mode, which votes count, which bound they meet, and at which σ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certssb_core.certify import published_release
from certssb_core.certify.bounds.intervals import ClassBounds
from certssb_core.certify.bounds.registry import BOUNDS, Bound, count_votes
from certssb_core.certify.sigma_candidates import forecast, largest_radius, take
from certssb_core.errors import RunError
from certssb_core.results.votes import RunVotes


@dataclass(frozen=True)
class VoteBounds:
    """What certifies n inputs: votes per class ``(n, C)`` of so many members, cast at ``sigma`` ``(n,)``, which
    was chosen by ``test_map``."""

    bounds: ClassBounds
    counts: np.ndarray
    sigma: np.ndarray
    members: int
    test_map: str


@dataclass(frozen=True)
class BoundRule:
    """How votes become radii: the noise map they were ``drawn`` at, the one whose σ has ``scaled`` the radius, the
    bound, and the ``count`` of votes it is told. Sound only where both maps are one and the count is true."""

    drawn: str
    scaled: str
    bound: Bound
    count: int


def bound_rule(run_votes: RunVotes, *, mode: str, bound: str) -> BoundRule:
    """The arithmetic of a mode; the release's, and some kinds of certificate, have a bound of their own.

    Raises:
        RunError: the run has no votes in this mode.
    """
    if mode not in run_votes.modes:
        raise RunError(f"this run has no votes in mode {mode!r}; it has {', '.join(run_votes.modes)}")
    if mode == published_release.MODE:
        return BoundRule("uniform", run_votes.own_map, published_release.BOUND, published_release.COUNT)
    return BoundRule(mode, mode, run_votes.kind.bound or BOUNDS[bound], run_votes.members)


def apply_rule(run_votes: RunVotes, which: str, rule: BoundRule, *, alpha: float) -> VoteBounds:
    """What any arithmetic, sound or not, reads from the votes of one set."""
    votes, softmax = run_votes.votes[which, rule.drawn], run_votes.softmax.get((which, rule.drawn))
    if rule.bound.vote == "softmax":
        bounds = rule.bound.class_bounds(softmax, rule.count, alpha)
    else:
        bounds = rule.bound.from_votes(votes, classes=run_votes.classes, alpha=alpha)
    counts = count_votes(votes, run_votes.classes)
    return VoteBounds(bounds, counts, run_votes.test_sigma(which, rule.scaled), len(votes), rule.scaled)


def bound_votes(run_votes: RunVotes, which: str, *, mode: str, bound: str, alpha: float) -> VoteBounds:
    """Bounds on the inputs of one set under ``mode``; each holds with probability >= 1 - ``alpha``.

    ``voted`` bounds all K candidates at alpha/K and takes the best; ``set-aside`` lets the first members keep the
    most promising few, and the others do the same with those. Both certify the class that leads at the
    uniform σ₀ where they can.

    Raises:
        RunError: the bound cannot be read from these votes.
    """
    if mode == "voted":
        return _best_candidate(run_votes, which, bound, alpha)
    if mode == "set-aside":
        return _candidate_chosen_aside(run_votes, which, bound, alpha)
    return apply_rule(run_votes, which, bound_rule(run_votes, mode=mode, bound=bound), alpha=alpha)


def _best_candidate(run_votes: RunVotes, which: str, bound: str, alpha: float) -> VoteBounds:
    sigmas, votes = run_votes.config.noise.test_candidates, run_votes.candidate_votes[which]
    at = [
        BOUNDS[bound].from_votes(votes[:, k], classes=run_votes.classes, alpha=alpha / len(sigmas), softmax=softmax)
        for k, softmax in enumerate(run_votes.candidate_softmax[which])
    ]
    chosen = largest_radius(at, sigmas, _leading(run_votes, which))[0]
    cast = np.take_along_axis(votes, chosen[None, None], axis=1)[:, 0]  # (M, n)
    return VoteBounds(
        take(at, chosen), count_votes(cast, run_votes.classes), np.asarray(sigmas)[chosen], len(cast), "voted"
    )


def _candidate_chosen_aside(run_votes: RunVotes, which: str, bound: str, alpha: float) -> VoteBounds:
    if BOUNDS[bound].vote == "softmax":
        raise RunError("set-aside needs a bound on hard votes: softmax is kept as a mean over all members")
    noise, votes, classes = run_votes.config.noise, run_votes.candidate_votes[which], run_votes.classes
    aside = min(max(1, round(noise.aside * run_votes.members)), run_votes.members - 1)
    if aside < 1:
        raise RunError("set-aside needs at least two members")
    anchor, certifying = _leading(run_votes, which, aside), votes[aside:]
    kept = min(noise.kept, len(noise.test_candidates))
    forecasts = [
        BOUNDS["clopper-pearson"].class_bounds(
            forecast(count_votes(votes[:aside, k], classes), len(certifying)), len(certifying), alpha / kept
        )
        for k in range(len(noise.test_candidates))
    ]
    promising = largest_radius(forecasts, noise.test_candidates, anchor, kept=kept)  # (J, n)
    cast = [np.take_along_axis(certifying, one[None, None], axis=1)[:, 0] for one in promising]  # J of (M - aside, n)
    at = [BOUNDS[bound].from_votes(one, classes=classes, alpha=alpha / kept) for one in cast]
    sigma = np.asarray(noise.test_candidates)[promising]
    chosen = largest_radius(at, sigma, anchor)
    counts = np.stack([count_votes(one, classes) for one in cast])  # (J, n, C)
    return VoteBounds(
        take(at, chosen[0]),
        np.take_along_axis(counts, chosen[..., None], axis=0)[0],
        np.take_along_axis(sigma, chosen, axis=0)[0],
        len(certifying),
        "set-aside",
    )


def _leading(run_votes: RunVotes, which: str, members: int | None = None) -> np.ndarray:
    """The class ``(n,)`` that leads at the uniform σ₀ among the first ``members``."""
    return count_votes(run_votes.votes[which, "uniform"][:members], run_votes.classes).argmax(axis=1)
