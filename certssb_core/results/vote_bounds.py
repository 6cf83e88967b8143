"""Turn votes into class bounds: in every mode, the votes that count, the bound on them, and their σ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from certssb_core.certify import published_release
from certssb_core.certify.bounds.registry import BOUNDS, Bound
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.input_votes import InputVotes, VoteBounds, bound_at
from certssb_core.certify.margin_votes import AT_ANY_MARGIN
from certssb_core.certify.partition import spread_changes_certified
from certssb_core.certify.partition_margin import changes_while_moved
from certssb_core.certify.run_off import elect
from certssb_core.certify.sigma_candidates import choose_by_all_votes, choose_by_members_set_aside
from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError


@dataclass(frozen=True)
class BoundRule:
    """A rule that turns votes at one noise level into radii; sound only if both maps are one and the count is true.

    Attributes:
        drawn: the noise map of the votes; scaled: the noise map whose σ scales the radius.
        bound: on the class probabilities; count: the number of votes it is told.
    """

    drawn: str
    scaled: str
    bound: Bound
    count: int


def bound_votes(votes: InputVotes, config: RunConfig, *, mode: str, bound: str, alpha: float) -> VoteBounds:
    """Bound the class probabilities of some inputs; each bound holds with probability >= 1 - ``alpha``.

    Args:
        votes: of the members, on these inputs.
        config: of the run whose members voted.
        mode: the noise map to count votes of, one of :func:`modes`.
        bound: a key of ``BOUNDS``; a kind of certificate that has its own bound uses that one.
        alpha: failure probability per input, in (0, 1).

    Raises:
        RunError: there are no votes in this mode, or the bound cannot be read from them.
    """
    rule = bound_rule(votes, config, mode=mode, bound=bound)
    match mode:
        case "voted":
            return choose_by_all_votes(votes, bound=rule.bound, alpha=alpha)
        case "set-aside":
            noise = config.noise
            return choose_by_members_set_aside(votes, bound=rule.bound, alpha=alpha, aside=noise.aside, kept=noise.kept)
        case _:
            return _with_changes(votes, config, mode, apply_rule(votes, rule, alpha=alpha))


def _with_changes(votes: InputVotes, config: RunConfig, mode: str, bounds: VoteBounds) -> VoteBounds:
    """Hold the second round where members ranked classes, and add the certified changes of training images where counts
    of votes do not tell them; none if each reaches several members and some are left out."""
    training = config.training
    if training.sees == "partition" and votes.margins is not None:
        changes = changes_while_moved(votes.votes[mode], votes.margins, bounds.bounds.top, votes.classes)
        return replace(bounds, changes=changes)
    if votes.ranks is not None:
        election = elect(votes.ranks, members=training.members, spread=training.spread)
        return replace(bounds, bounds=election.bounds, changes=election.changes)
    if training.sees != "partition" or training.spread == 1:
        return bounds
    whole = votes.members == training.members
    counted = spread_changes_certified(votes.votes[mode], votes.classes, training.spread) if whole else 0
    return replace(bounds, changes=np.broadcast_to(counted, bounds.sigma.shape).astype(np.int64))


def apply_rule(votes: InputVotes, rule: BoundRule, *, alpha: float) -> VoteBounds:
    """Bound the votes of one noise map by a rule, sound or not."""
    return bound_at(
        votes.votes[rule.drawn],
        votes.sigma[rule.scaled],
        bound=rule.bound,
        classes=votes.classes,
        alpha=alpha,
        test_map=rule.scaled,
        softmax=votes.softmax.get(rule.drawn),
        count=rule.count,
        draws=votes.draws,
        margins=votes.margins if rule.bound is AT_ANY_MARGIN else None,
    )


def bound_rule(votes: InputVotes, config: RunConfig, *, mode: str, bound: str) -> BoundRule:
    """The rule of a mode; the release's, and some kinds of certificate, have a bound of their own.

    Raises:
        RunError: there are no votes in this mode, or there is no such bound.
    """
    if mode not in (known := modes(votes, config)):
        raise RunError(f"this run has no votes in mode {mode!r}; it has {', '.join(known)}")
    if mode == published_release.MODE:
        return BoundRule("uniform", own_map(votes, config), published_release.BOUND, published_release.COUNT)
    kind = CERTIFICATES[config.certification.certificate]
    if kind.bound is None and bound not in BOUNDS:
        raise RunError(f"there is no bound {bound!r}; choose one of {', '.join(BOUNDS)}")
    count = len(votes.votes[mode]) if mode in votes.votes else votes.members
    return BoundRule(mode, mode, kind.bound or BOUNDS[bound], count)


def sound_modes(votes: InputVotes) -> tuple[str, ...]:
    """The modes whose numbers are certificates: noise maps with votes, and choices among candidates."""
    return (*votes.votes, "voted", "set-aside") if votes.candidates else tuple(votes.votes)


def modes(votes: InputVotes, config: RunConfig) -> tuple[str, ...]:
    """All modes that the votes can be counted in: the sound ones and, of L2 balls, the release's arithmetic."""
    balls = CERTIFICATES[config.certification.certificate].balls
    return (*sound_modes(votes), published_release.MODE) if balls else sound_modes(votes)


def own_map(votes: InputVotes, config: RunConfig) -> str:
    """The noise map of the run's own test inputs, or the uniform one where they choose among candidates."""
    return config.noise.test_map if config.noise.test_map in votes.votes else "uniform"
