"""Checks of certificates.csv: vote counts, noise levels, bounds, margins and radii."""

from __future__ import annotations

import numpy as np

from certssb_core.errors import NotPossible
from certssb_core.runs.inputs import SETS
from certssb_core.verification import recompute
from certssb_core.verification.bounds import uniform_draws
from certssb_core.verification.evidence import Evidence, same


def vote_counts(evidence: Evidence) -> str:
    table, labels = evidence.table, evidence.votes["labels"]
    keys = [f"{test_set} {index}" for test_set in SETS for index in range(len(labels))]
    same("row", evidence.rows, np.array(keys, object), keys)
    same("label", table["label"], np.tile(labels, len(SETS)), keys)
    members = evidence.certifying[0].ballots.members
    same("members", table["members"], np.full(len(keys), members), keys)
    counts = np.concatenate([read.ballots.counts for read in evidence.certifying])
    same("votes per class", table[evidence.vote_columns], counts, keys)
    return f"{len(keys)} rows count the votes of {members} members"


def bounds(evidence: Evidence) -> str:
    table, settings = evidence.table, evidence.config.certification
    for name in evidence.certifying[0].bounds:
        found = np.concatenate([read.bounds[name] for read in evidence.certifying])
        same(name, table[name], found, evidence.rows)
    for test_set in SETS:
        if f"draws/{test_set}" in evidence.votes and evidence.noise_seed is not None:  # drawn from it, not picked
            draws = evidence.votes[f"draws/{test_set}"]
            again = uniform_draws(evidence.noise_seed, test_set, len(draws))
            same("uniform draw", draws, again, [f"{test_set} {index}" for index in range(len(draws))])
    if evidence.kind.bound:
        return f"{len(table)} rows: {evidence.kind.bound.title}"
    return f"{len(table)} rows: {settings.bound} at α {settings.alpha:g}, from the votes"


def radii(evidence: Evidence) -> str:
    table = evidence.table
    name = evidence.config.certification.certificate
    if name not in recompute.RADII:
        raise NotPossible(f"the certificate {name} has no independent re-verification")
    margin, radius = recompute.RADII[name](evidence.claims, evidence.config)
    same("margin", table["margin"], margin, evidence.rows)
    same("radius", table["radius"], radius, evidence.rows)
    return f"{len(table)} rows, in {evidence.kind.unit}"
