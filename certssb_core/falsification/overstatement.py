"""Measure the power of the searches: the factor from which on overstated radii are found.

Three things keep small factors from being found. *Slack of the bound*: it states less than is true, by the chance of M
votes. *Slack of the theorem*: only the worst classifier with these probabilities flips at its radius, and a trained one
flips farther out. *Chance of the judges*: a class that barely leads takes many votes to establish. The first two make
the overstated claim true, and no attack can find it. The third shrinks with more judges and draws, so these are spent
on the few inputs that the searchers find most promising, and further members are trained to judge.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from certssb_core.falsification import betting
from certssb_core.falsification.test_input import CHUNK, judged, searched, searchers, until, vote_shares
from certssb_core.falsification.violations import Claims, beyond_chance
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import noise_levels, open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import key

FACTORS = (1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.75, 2.0, 2.5, 3.0)
"""Factors by which radii are overstated."""
RANKED = 1.5
"""Factor at which every input is searched, to choose the promising ones."""
CANDIDATES = 64
"""Most inputs that are searched at every factor: the others count as unbroken."""
JUDGED = 24
"""Most of them that are judged at a factor: those with the largest lead."""
VOTES, MOST_DRAWS = 16_000, 64
"""Votes per point that are aimed at, and most draws per member."""
FRESH, TASK = 1_000, 10
"""Most members trained anew to judge, and how many in one task."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Radii overstated by ``factor``: the claims ``rows`` judged at ``points``, and the judges' ``shares``
    ``(M, n, C)`` of votes there. Factor 0 asks at the inputs themselves."""

    factor: float
    rows: np.ndarray
    points: np.ndarray
    shares: np.ndarray

    def broken(self, claims: Claims) -> int:
        return int(betting.broken(self.shares, claims.prediction[self.rows], claims.alpha).sum())

    def told(self, claims: Claims) -> dict[str, Any]:
        """The trial as falsification.json holds it. Found: more inputs break than chance explains at α."""
        broken, inputs = self.broken(claims), len(claims)
        own, other = leaders(self.shares, claims.prediction[self.rows])
        return {
            "factor": self.factor,
            "inputs": inputs,
            "judged": len(self.rows),
            "judges": len(self.shares),
            "flips": int((other > own).sum()),
            "broken": broken,
            "found": beyond_chance(broken, inputs, claims.alpha),
        }


def overstatement(run: Run, engine: Engine, claims: Claims, *, deadline: float, seed: int) -> dict[str, Any]:
    """Overstate every radius by rising factors until the searches find out; then let more members judge the lower ones.

    An input that is not judged counts as unbroken, so the searchers' choice costs power and no validity. Bets may go on
    for as many members as there are, so neither does stopping when the time is up.

    Returns:
        ``factors``: what each found, with ``found`` where more inputs break than chance explains; ``slack``: the least
        factor by which a judged input's radius could be larger, by the judges' votes on the input itself.
    """
    members = run.config.training.members
    steering = searchers(members, seed=seed)
    if not len(claims) or len(steering) == members:
        return {"factors": [], "slack": None}
    rows, _, lead = _search(run, engine, claims, np.arange(len(claims)), RANKED, deadline, seed)
    promising = rows[np.argsort(-lead, kind="stable")[:CANDIDATES]]
    draws = min(MOST_DRAWS, -(-VOTES // (members - len(steering))))
    trials: list[Trial] = []
    for factor in (0.0, *FACTORS):
        if time.monotonic() >= deadline or not len(promising):
            break
        if factor:
            rows, points, lead = _search(run, engine, claims, promising, factor, deadline, seed)
            best = np.argsort(-lead, kind="stable")[:JUDGED]
            rows, points = rows[best], points[best]
        else:
            rows, points = promising, claims.images[promising]
        if not len(rows):
            break
        shares = judged(run, engine, steering, points, claims.sigma[rows], seed=seed, draws=draws)
        trials.append(Trial(factor, rows, points, shares))
        if factor and trials[-1].told(claims)["found"]:
            break
    if trials and trials[-1].factor and trials[-1].told(claims)["found"]:
        trials[1:-1] = _more_judges(run, engine, claims, trials[1:-1], draws, deadline=deadline, seed=seed)
    told = [trial.told(claims) for trial in trials[1:]]
    first = next((place for place, one in enumerate(told) if one["found"]), len(told))
    return {"factors": told[: first + 1], "slack": slack(trials[0], claims) if trials else None}


def overstated(told: dict[str, Any]) -> str:
    """Say in words from which factor on overstated radii are found."""
    if not told["factors"]:
        return "How far radii must be overstated to be found was not measured"
    last = told["factors"][-1]
    words = f"Radii {last['factor']:g} times too large were not found"
    if last["found"]:
        words = (
            f"Radii {last['factor']:g} times too large are found: {last['broken']:,} of {last['inputs']:,} inputs "
            f"break, judged by {last['judges']:,} members"
        )
    if told["slack"] is None:
        return words
    return f"{words}. Up to {told['slack']:.2f} times all would be true: votes state less than is true"


def leaders(shares: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean shares ``(n,)`` of the claimed class and of the strongest other one."""
    mean = shares.mean(axis=0, dtype=np.float64)
    rows = np.arange(len(mean))
    own = mean[rows, prediction]
    mean[rows, prediction] = -np.inf
    return own, mean.max(axis=1)


def slack(trial: Trial, claims: Claims) -> float:
    """The least factor by which a radius could be larger if the judges' shares on the input were the probabilities:
    up to there the theorem makes the overstated claim true, whatever the classifier (1902.02918)."""
    votes = len(trial.shares) * MOST_DRAWS
    own, other = (
        np.clip(share, 1 / votes, 1 - 1 / votes) for share in leaders(trial.shares, claims.prediction[trial.rows])
    )
    margin = (ndtri(own) - ndtri(other)) / 2
    return float((margin / claims.margin[trial.rows]).min())


def _search(
    run: Run, engine: Engine, claims: Claims, rows: np.ndarray, factor: float, deadline: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Search for ``rows`` of the claims in radii overstated by ``factor``, from the inputs themselves."""
    steering = searchers(run.config.training.members, seed=seed)
    larger = replace(claims, radius=claims.radius * factor)
    chunks = {(0, begin): rows[begin : begin + CHUNK] for begin in range(0, len(rows), CHUNK)}
    return searched(run, engine, larger, steering, chunks, deadline=deadline, seed=seed)


def fresh_shares(
    path: Path, members: tuple[int, ...], points: np.ndarray, sigma: np.ndarray, seed: int, draws: int
) -> np.ndarray:
    """Task: train members of the same run with a seed of the attack's own; return their shares ``(m, n, C)``."""
    context = open_context(path)
    own = int.from_bytes(key(context.seed, "falsification judges", seed)[:8], "little")
    context = replace(context, seed=own)
    shares, together = [], context.config.training.together or 1
    for start in range(0, len(members), together):
        found, _ = tasks.trained_members(context, noise_levels(path)["train"], members[start : start + together])
        shares += [
            vote_shares(context, context.rounded(network), member, points, sigma, seed, draws)
            for member, network in found.items()
        ]
    return np.stack(shares) if shares else np.empty((0, len(points), int(context.tensors["classes"])), np.float32)


def _more_judges(
    run: Run, engine: Engine, claims: Claims, trials: list[Trial], draws: int, *, deadline: float, seed: int
) -> list[Trial]:
    """The trials with the votes of further members, trained until the time is up."""
    if not trials or "train" not in run.arrays("sigma"):
        return trials
    points = np.concatenate([trial.points for trial in trials])
    sigma = claims.sigma[np.concatenate([trial.rows for trial in trials])]
    groups = [tuple(range(start, start + TASK)) for start in range(0, FRESH, TASK)]
    work = ((run.path, group, points, sigma, seed, draws) for group in groups)
    heard = {task[1]: shares for task, shares in engine.map(fresh_shares, until(deadline, work))}
    if not heard:
        return trials
    fresh = np.concatenate([heard[group] for group in sorted(heard)])
    ends = np.cumsum([len(trial.rows) for trial in trials])[:-1]
    return [
        replace(trial, shares=np.concatenate([trial.shares, own]))
        for trial, own in zip(trials, np.split(fresh, ends, axis=1), strict=True)
    ]
