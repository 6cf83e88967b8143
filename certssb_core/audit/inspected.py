"""The run that is inspected, and a finding about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from certssb_core.certify import published_release
from certssb_core.certify.certificate import FIXED
from certssb_core.config.schema import RunConfig
from certssb_core.results.vote_bounds import BoundRule, bound_votes
from certssb_core.results.votes import RunVotes
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run

Colour = Literal["green", "amber", "red"]
"""Green: sound. Amber: holds under a condition, or cannot be told. Red: what is claimed does not hold."""


@dataclass(frozen=True)
class Finding:
    """One point of the checklist."""

    colour: Colour
    title: str
    reason: str


@dataclass(frozen=True, eq=False)
class Inspected:
    """The files of a run, and the mode, bound and α in which its votes are counted."""

    run: Run
    run_votes: RunVotes
    mode: str
    bound: str
    alpha: float
    rule: BoundRule

    @property
    def config(self) -> RunConfig:
        return self.run.config

    @property
    def imported(self) -> bool:
        return self.config.origin != "trained"

    @property
    def is_release(self) -> bool:
        return self.mode == published_release.MODE

    @property
    def own(self) -> bool:
        """True if the run itself stored these certificates."""
        rule = self.config.certification
        return (self.mode, self.bound, self.alpha) == (self.config.noise.test_map, rule.bound, rule.alpha)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return self.run.metrics

    @cached_property
    def stored(self) -> pd.DataFrame:
        return self.run.certificates()

    @property
    def draws(self) -> int:
        """Number of draws of the fixed ensemble per input."""
        return len(self.run_votes.sets[SETS[0]].votes[FIXED])

    @property
    def voters(self) -> int:
        """Number of votes per input: draws of the fixed ensemble, or members."""
        return self.draws if self.mode == FIXED else self.run_votes.members

    def certifying(self, mode: str, bound: str, alpha: float) -> int:
        """Count the members whose votes certify in a mode."""
        votes = self.run_votes.sets[SETS[0]]
        return bound_votes(votes, self.config, mode=mode, bound=bound, alpha=alpha).members
