"""Reading votes: in every mode, which votes count, which bound they meet, and at which σ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certssb_core.certify import release
from certssb_core.certify.bounds import BOUNDS, Bound, count_votes
from certssb_core.certify.candidates import forecast, largest_radius, take
from certssb_core.certify.intervals import ClassBounds
from certssb_core.experiment.run import RunError
from certssb_core.experiment.voted import Voted


@dataclass(frozen=True)
class Reading:
    """What certifies n inputs: votes per class ``(n, C)`` of so many members, cast at ``sigma`` ``(n,)``, which
    was chosen by ``test_map``."""

    bounds: ClassBounds
    counts: np.ndarray
    sigma: np.ndarray
    members: int
    test_map: str


@dataclass(frozen=True)
class Arithmetic:
    """How votes become radii: the noise map they were ``drawn`` at, the one whose σ has ``scaled`` the radius, the
    bound, and the ``count`` of votes it is told. Sound only where both maps are one and the count is true."""

    drawn: str
    scaled: str
    bound: Bound
    count: int


def arithmetic(voted: Voted, *, mode: str, bound: str) -> Arithmetic:
    """The arithmetic of a mode; the release's, and some kinds of certificate, have a bound of their own.

    Raises:
        RunError: the run has no votes in this mode.
    """
    if mode not in voted.modes:
        raise RunError(f"this run has no votes in mode {mode!r}; it has {', '.join(voted.modes)}")
    if mode == release.MODE:
        return Arithmetic("uniform", voted.own_map, release.BOUND, release.COUNT)
    return Arithmetic(mode, mode, voted.kind.bound or BOUNDS[bound], voted.members)


def follow(voted: Voted, which: str, rule: Arithmetic, *, alpha: float) -> Reading:
    """What any arithmetic, sound or not, reads from the votes of one set."""
    votes, softmax = voted.votes[which, rule.drawn], voted.softmax.get((which, rule.drawn))
    if rule.bound.vote == "softmax":
        bounds = rule.bound.class_bounds(softmax, rule.count, alpha)
    else:
        bounds = rule.bound.from_votes(votes, classes=voted.classes, alpha=alpha)
    counts = count_votes(votes, voted.classes)
    return Reading(bounds, counts, voted.test_sigma(which, rule.scaled), len(votes), rule.scaled)


def read_votes(voted: Voted, which: str, *, mode: str, bound: str, alpha: float) -> Reading:
    """Bounds on the inputs of one set under ``mode``; each holds with probability >= 1 - ``alpha``.

    ``voted`` bounds all K candidates at alpha/K and takes the best; ``set-aside`` lets the first members keep the
    most promising few, and the others do the same with those. Both certify the class that leads at the
    uniform σ₀ where they can.

    Raises:
        RunError: the bound cannot be read from these votes.
    """
    if mode == "voted":
        return _best_candidate(voted, which, bound, alpha)
    if mode == "set-aside":
        return _candidate_chosen_aside(voted, which, bound, alpha)
    return follow(voted, which, arithmetic(voted, mode=mode, bound=bound), alpha=alpha)


def _best_candidate(voted: Voted, which: str, bound: str, alpha: float) -> Reading:
    sigmas, votes = voted.config.noise.test_candidates, voted.candidate_votes[which]
    at = [
        BOUNDS[bound].from_votes(votes[:, k], classes=voted.classes, alpha=alpha / len(sigmas), softmax=softmax)
        for k, softmax in enumerate(voted.candidate_softmax[which])
    ]
    chosen = largest_radius(at, sigmas, _leading(voted, which))[0]
    cast = np.take_along_axis(votes, chosen[None, None], axis=1)[:, 0]  # (M, n)
    return Reading(take(at, chosen), count_votes(cast, voted.classes), np.asarray(sigmas)[chosen], len(cast), "voted")


def _candidate_chosen_aside(voted: Voted, which: str, bound: str, alpha: float) -> Reading:
    if BOUNDS[bound].vote == "softmax":
        raise RunError("set-aside needs a bound on hard votes: softmax is kept as a mean over all members")
    noise, votes, classes = voted.config.noise, voted.candidate_votes[which], voted.classes
    aside = min(max(1, round(noise.aside * voted.members)), voted.members - 1)
    if aside < 1:
        raise RunError("set-aside needs at least two members")
    anchor, certifying = _leading(voted, which, aside), votes[aside:]
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
    return Reading(
        take(at, chosen[0]),
        np.take_along_axis(counts, chosen[..., None], axis=0)[0],
        np.take_along_axis(sigma, chosen, axis=0)[0],
        len(certifying),
        "set-aside",
    )


def _leading(voted: Voted, which: str, members: int | None = None) -> np.ndarray:
    """The class ``(n,)`` that leads at the uniform σ₀ among the first ``members``."""
    return count_votes(voted.votes[which, "uniform"][:members], voted.classes).argmax(axis=1)
