"""Correct the public release's arithmetic one error at a time, on the same members."""

from __future__ import annotations

from typing import Any

import pandas as pd

from certssb_core.certify import published_release
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.metrics import clean_metrics
from certssb_core.results.certification import certify_by_rule
from certssb_core.results.vote_bounds import BoundRule
from certssb_core.results.votes import RunVotes


def attribution(run_votes: RunVotes, *, bound: str, alpha: float, radius: float = 0.25) -> pd.DataFrame:
    """Measure each error of the release: the certified radii after each correction.

    Args:
        run_votes: the votes of a run.
        bound: the bound of the last step, a key of ``BOUNDS``.
        alpha: failure probability per certificate.
        radius: where accuracy is read, L2 pixel units.

    Returns:
        One row per step: ``step``, the noise of the votes (``votes_at``) and that in the radius (``radius_at``),
        ``bound``, ``count``, ``mean_radius`` of the clean test images (0 where wrong or abstaining), its ``change``
        against the step before, ``accuracy`` (clean, radius > ``radius``). Only the last two are certificates.
    """
    own, members = run_votes.own_map, run_votes.members
    steps = {
        published_release.LABEL: BoundRule("uniform", own, published_release.BOUND, published_release.COUNT),
        "other noise: votes cast at the σ in the radius": BoundRule(
            own, own, published_release.BOUND, published_release.COUNT
        ),
        "other count: the members that voted": BoundRule(own, own, published_release.BOUND, members),
        "α split: the choice of the class paid for": BoundRule(own, own, BOUNDS["hoeffding"], members),
        "other bound: the one chosen": BoundRule(own, own, BOUNDS[bound], members),
    }
    rows = []
    for step, rule in steps.items():
        table = certify_by_rule(run_votes, rule, alpha=alpha)
        clean = table[table["set"] == "clean"]
        prediction, certified, label = (clean[name].to_numpy() for name in ("prediction", "radius", "label"))
        metrics: dict[str, Any] = clean_metrics(prediction, certified, label, radii=(radius,))
        rows.append(
            {
                "step": step,
                "votes_at": rule.drawn,
                "radius_at": rule.scaled,
                "bound": rule.bound.title,
                "count": rule.count,
                "mean_radius": metrics["average_certified_radius"],
                "accuracy": metrics["certified_accuracy"][str(float(radius))],
            }
        )
    table = pd.DataFrame(rows)
    table.insert(6, "change", table["mean_radius"].diff().fillna(0.0))
    return table
