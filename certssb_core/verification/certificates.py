"""Checks of certificates.csv: vote counts, noise levels, bounds, margins and radii."""

from __future__ import annotations

import numpy as np

from certssb_core.runs.inputs import SETS
from certssb_core.verification import recompute
from certssb_core.verification.evidence import Evidence, same


def vote_counts(evidence: Evidence) -> str:
    table, labels = evidence.table, evidence.votes["labels"]
    keys = [f"{which} {index}" for which in SETS for index in range(len(labels))]
    same("row", evidence.rows, np.array(keys, object), keys)
    same("label", table["label"], np.tile(labels, len(SETS)), keys)
    members = evidence.readings[0].ballots.members
    same("members", table["members"], np.full(len(keys), members), keys)
    counts = np.concatenate([read.ballots.counts for read in evidence.readings])
    same("votes per class", table[evidence.vote_columns], counts, keys)
    return f"{len(keys)} rows count the votes of {members} members"


def bounds(evidence: Evidence) -> str:
    table, settings = evidence.table, evidence.config.certification
    for name in evidence.readings[0].bounds:
        found = np.concatenate([read.bounds[name] for read in evidence.readings])
        same(name, table[name], found, evidence.rows)
    if evidence.kind.bound:
        return f"{len(table)} rows: shares of the votes of fixed members"
    return f"{len(table)} rows: {settings.bound} at α {settings.alpha:g}, from the votes"


def radii(evidence: Evidence) -> str:
    table = evidence.table
    margin, radius = recompute.RADII[evidence.config.certification.certificate](table)
    same("margin", table["margin"], margin, evidence.rows)
    same("radius", table["radius"], radius, evidence.rows)
    return f"{len(table)} rows, in {evidence.kind.unit}"
