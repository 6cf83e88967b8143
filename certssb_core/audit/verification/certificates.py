"""Checks of certificates.csv: vote counts, bounds, margins and radii."""

from __future__ import annotations

import numpy as np

from certssb_core.audit.verification import recompute
from certssb_core.audit.verification.evidence import Evidence, NotPossible, same
from certssb_core.certify.certificate import NOISE_MAPS
from certssb_core.experiment.inputs import SETS


def vote_counts(evidence: Evidence) -> str:
    table, labels = evidence.table, evidence.votes["labels"]
    _known_map(evidence)
    votes = np.hstack(evidence.both_sets(evidence.votes, f"votes/{{}}/{evidence.config.noise.test_map}"))  # (M, rows)
    keys = [f"{which} {index}" for which in SETS for index in range(len(labels))]
    same("row", evidence.rows, np.array(keys, object), keys)
    same("label", table["label"], np.tile(labels, len(SETS)), keys)
    same("members", table["members"], np.full(len(keys), len(votes)), keys)
    counts = np.array([np.bincount(column, minlength=len(evidence.vote_columns)) for column in votes.T])
    same("votes per class", table[evidence.vote_columns], counts, keys)
    return f"{len(keys)} rows count the votes of {len(votes)} members"


def bounds(evidence: Evidence) -> str:
    table, settings, members = evidence.table, evidence.config.certification, evidence.config.training.members
    _known_map(evidence)
    if settings.bound not in recompute.BOUNDS:
        raise NotPossible(f"the bound {settings.bound} has no second implementation: bounds are taken as recorded")
    if settings.bound == "hoeffding":
        pattern = f"softmax/{{}}/{evidence.config.noise.test_map}"
        values = np.concatenate(evidence.both_sets(evidence.votes, pattern))
    else:
        values = table[evidence.vote_columns].to_numpy()
    found = recompute.BOUNDS[settings.bound](values, members, settings.alpha)
    for name in found:
        same(name, table[name], found[name], evidence.rows)
    return f"{len(table)} rows: {settings.bound} at α {settings.alpha:g} over {members} members"


def radii(evidence: Evidence) -> str:
    table = evidence.table
    margin = recompute.margins(*(table[name].to_numpy() for name in ("prediction", "p_a_lower", "p_b_upper")))
    same("margin", table["margin"], margin, evidence.rows)
    same("radius", table["radius"], table["margin"] * table["sigma"], evidence.rows)
    return f"{len(table)} rows"


def _known_map(evidence: Evidence) -> None:
    if (test_map := evidence.config.noise.test_map) not in NOISE_MAPS:
        raise NotPossible(f"the noise map {test_map} has no second implementation: rows are taken as recorded")
