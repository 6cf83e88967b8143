"""Inspect a run: check point by point what its certificates rest on, and give each finding its reason.

What can be checked from the run's files is checked; what only the code that made the run can tell is said of
that code, by name. Nothing is trained or voted, and torch is not needed.
"""

from __future__ import annotations

from collections.abc import Callable

from certssb_core.audit import checks_of_training as training
from certssb_core.audit import checks_of_votes as votes
from certssb_core.audit.inspected import Finding, Inspected
from certssb_core.certify.certificate import FIXED
from certssb_core.results.vote_bounds import bound_rule
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run

CHECKS: tuple[Callable[[Inspected], Finding], ...] = (
    votes.noise_in_the_radius,
    training.training_noise,
    votes.count,
    votes.selection,
    votes.noise_map,
    training.batch,
    training.seeds,
    votes.store_order,
    training.base_classifier,
    training.sigma_ends,
    training.sigma_as_clue,
    votes.answers,
    training.attack,
)
RELEASE_CHECKS: tuple[Callable[[Inspected], Finding], ...] = (training.released_sigma, training.released_training_set)


def inspect(
    run: Run, *, mode: str | None = None, bound: str | None = None, alpha: float | None = None
) -> list[Finding]:
    """Inspect a finished run, in its own mode, bound and α or in others.

    Raises:
        RunError: the run is not finished, a file is damaged, or it has no votes in this mode.
    """
    config, run_votes = run.config, read_run_votes(run)
    mode, bound = mode or config.noise.test_map, bound or config.certification.bound
    rule = bound_rule(run_votes.sets[SETS[0]], config, mode=mode, bound=bound)
    evidence = Inspected(run, run_votes, mode, bound, config.certification.alpha if alpha is None else alpha, rule)
    more = RELEASE_CHECKS if evidence.imported else ()
    more += (training.denoiser,) if evidence.config.noise.denoises else ()
    more += (votes.classifier,) if mode == FIXED else ()
    found = [check(evidence) for check in (*CHECKS, *more)]
    return found if evidence.is_release else [*found, *votes.number_of_members(evidence)]


def counts(findings: list[Finding]) -> dict[str, int]:
    """Count the findings of each colour, worst first."""
    return {colour: sum(one.colour == colour for one in findings) for colour in ("red", "amber", "green")}
