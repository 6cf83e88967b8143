"""Attack the test radius: search by gradient for a change of the input inside its certified ball."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from certssb_core.attacks.gradient import Voter, search
from certssb_core.ensemble import shards
from certssb_core.ensemble.voting import vote
from certssb_core.falsification import betting
from certssb_core.falsification.violations import Claims, Part, Poll, examples
from certssb_core.pipeline.context import RunContext, open_context
from certssb_core.pipeline.engines.local import Engine, Task
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import generator, key

SEARCHERS = 40
"""Most members that steer the searches, never more than a quarter of the ensemble. They do not judge the result."""
STEPS = 20
"""Gradient steps per search."""
CHUNK = 64
"""Searches per task."""
STEERING_DRAWS = 2
"""Draws of fresh noise per steering member: an average over more noise is closer to the smoothed classifier."""
JUDGING_DRAWS = 16
"""Draws of fresh noise per judging member."""
FACTORS = (1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0)
"""Factors by which radii are overstated, to see from which one on that is found."""


def until(deadline: float, tasks: Iterable[Task]) -> Iterator[Task]:
    """Yield tasks until ``deadline`` (of :func:`time.monotonic`)."""
    for task in tasks:
        if time.monotonic() >= deadline:
            return
        yield task


def searchers(members: int, *, seed: int) -> tuple[int, ...]:
    """Choose the members that steer, at random."""
    count = min(SEARCHERS, max(1, members // 4))
    return tuple(sorted(generator(seed, "falsification searchers").permutation(members)[:count].tolist()))


@lru_cache(maxsize=1)
def networks(path: Path, members: tuple[int, ...]) -> list[nn.Module]:
    """Load stored members of a run, ready for gradients with respect to their input."""
    context, wanted, loaded = open_context(path), set(members), []
    for member, weights in shards.iterate(path / "members", shards.WEIGHT):
        if member in wanted:
            network = context.network(member)
            network.load_state_dict(weights)
            loaded.append(network.eval().requires_grad_(False))
    return loaded


def search_points(
    path: Path,
    members: tuple[int, ...],
    images: np.ndarray,
    prediction: np.ndarray,
    radius: np.ndarray,
    sigma: np.ndarray,
    seed: int,
    lap: int,
    begin: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Task: let ``members`` search a point for each input; return the points and the other class's lead there.

    The first ``lap`` starts at the inputs themselves, later ones on their spheres; ``begin`` names the chunk.
    """
    context = open_context(path)
    fresh = [with_fresh_noise(context, seed, -1 - draw) for draw in range(STEERING_DRAWS)]
    start = np.zeros_like(images)
    if lap:
        drawn = generator(seed, "falsification starts", lap, begin).standard_normal(images.shape, dtype=np.float32)
        lengths = np.linalg.norm(drawn.reshape(len(drawn), -1), axis=1)
        start = (drawn * (radius / lengths)[:, None, None, None]).astype(np.float32)
    points, answers, ends, levels, starts = (
        torch.from_numpy(array).to(context.device) for array in (images, prediction, radius, sigma, start)
    )
    voters: list[Voter] = [
        partial(_logits, network, drawn, levels, member)
        for member, network in zip(members, networks(path, members), strict=True)
        for drawn in fresh
    ]
    found = search(voters, points, answers, ends, starts, steps=STEPS)
    return found.points.cpu().numpy(), found.lead.cpu().numpy()


def with_fresh_noise(context: RunContext, seed: int, draw: int) -> RunContext:
    """The same run with test noise of its own: of the attack's ``seed``, by number of the ``draw``."""
    words = key(context.seed, "falsification noise", seed, draw)[:8]
    return replace(context, seed=int.from_bytes(words, "little"))


def _logits(
    network: nn.Module, context: RunContext, sigma: torch.Tensor, member: int, points: torch.Tensor
) -> torch.Tensor:
    return network(context.test_inputs(points, sigma, member=member))


def ballot(context: RunContext, network: nn.Module, member: int, points: np.ndarray, sigma: np.ndarray) -> Poll:
    """Let one member vote on ``points`` ``(n, C, H, W)`` under its test noise at ``sigma`` ``(n,)``."""
    inputs, levels = (torch.from_numpy(array).to(context.device) for array in (points, sigma))
    answers = vote(network, context.test_inputs(inputs, levels, member=member))
    return Poll.of(answers.hard.cpu().numpy(), answers.softmax.cpu().numpy())


def poll_shard(
    path: Path, shard: Path, but: tuple[int, ...], points: np.ndarray, sigma: np.ndarray, seed: int
) -> np.ndarray | None:
    """Task: let a shard's members vote under fresh noise, except those in ``but``; None if none is left.

    Returns:
        ``(m, n, classes)`` float32, every member's shares of votes over :data:`JUDGING_DRAWS` draws.
    """
    context = open_context(path)
    fresh = [with_fresh_noise(context, seed, draw) for draw in range(JUDGING_DRAWS)]
    network = context.network(0).eval()
    shares = []
    for members, found in shards.shards(path / "members"):
        if found == shard and members:
            stacked = shards.read(shard, (shards.WEIGHT,))
            for row, member in enumerate(members):
                if member not in but:
                    network.load_state_dict(
                        {name.removeprefix(shards.WEIGHT): tensor[row] for name, tensor in stacked.items()}
                    )
                    cast = [ballot(drawn, network, member, points, sigma).counts for drawn in fresh]
                    shares.append(np.mean(cast, axis=0, dtype=np.float32))
    return np.stack(shares) if shares else None


def attack_inputs(
    run: Run, engine: Engine, claims: Claims, *, count: int, deadline: float, seed: int
) -> tuple[Part, np.ndarray]:
    """Search inside every certified ball in turn, until ``count`` searches are done or the time is up.

    The first search of an input starts at its centre, later ones at random points of the sphere.

    Returns:
        the part, and per claim the change ``(n, C, H, W)`` that came closest to a flip (0 where none was sought).

    Notes:
        Members that steered a search have been fitted by it, so they do not judge it: only the others vote on the
        point, under noise that the search never saw. That these others also voted on the certificate makes them, if
        anything, slow to contradict it.
    """
    started = time.monotonic()
    steering = searchers(run.config.training.members, seed=seed)
    chunks: dict[tuple[int, int], np.ndarray] = {}
    for lap in range(-(-count // max(1, len(claims)))):
        order = generator(seed, "falsification order", lap).permutation(len(claims))[: count - lap * len(claims)]
        chunks |= {(lap, begin): order[begin : begin + CHUNK] for begin in range(0, len(order), CHUNK)}
    columns = (claims.images, claims.prediction, claims.radius, claims.sigma)
    work = ((run.path, steering, *(column[rows] for column in columns), seed, *chunk) for chunk, rows in chunks.items())
    found = {task[-2:]: result for task, result in engine.map(search_points, until(deadline, work))}
    closest = np.zeros_like(claims.images)
    done = sorted(found)
    rows = np.concatenate([np.empty(0, np.int64), *(chunks[chunk] for chunk in done)])
    if not done or len(steering) == run.config.training.members:
        return _part(started, count, 0, rows[:0], [], claims, rows, steering, 0), closest
    points, lead = (np.concatenate([found[chunk][part] for chunk in done]) for part in (0, 1))
    best = np.argsort(lead, kind="stable")  # the largest lead of an input is written last
    closest[rows[best]] = points[best] - claims.images[rows[best]]

    tasks = [
        (run.path, shard, steering, points, claims.sigma[rows], seed)
        for _, shard in shards.shards(run.path / "members")
    ]
    heard = {task[1]: shares for task, shares in engine.map(poll_shard, tasks) if shares is not None}
    shares = np.concatenate([heard[shard] for shard in sorted(heard)])
    mean = shares.mean(axis=0, dtype=np.float64)
    change = points.astype(np.float64) - claims.images[rows]
    distance = np.linalg.norm(change.reshape(len(rows), -1), axis=1)
    inside = distance < claims.radius[rows]  # float32 pixels can step over a very small sphere
    leading = mean.argmax(axis=1)
    broken = np.flatnonzero(betting.broken(shares, claims.prediction[rows], claims.alpha) & inside)
    shown = examples(
        {
            "set": claims.sets[rows[i]],
            "index": claims.indices[rows[i]],
            "claimed": claims.prediction[rows[i]],
            "found": leading[i],
            "share_claimed": mean[i, claims.prediction[rows[i]]],
            "share_found": mean[i, leading[i]],
            "distance": distance[i],
            "radius": claims.radius[rows[i]],
        }
        for i in broken[np.argsort(distance[broken] / claims.radius[rows[broken]])]
    )
    flips = int(((leading != claims.prediction[rows]) & inside).sum())
    part = _part(started, count, flips, rows[broken], shown, claims, rows[inside], steering, len(shares))
    return part, closest


def overstatement(run: Run, engine: Engine, claims: Claims, *, deadline: float, seed: int) -> list[dict[str, Any]]:
    """Overstate every radius by rising factors, until the searches find out.

    Found out means that the inputs that break are more than chance explains at α. One search per input, from the input.

    Returns:
        of each factor tried: ``factor, inputs, broken, found``; the last one is the power of the searches.
    """
    told: list[dict[str, Any]] = []
    for factor in FACTORS:
        if time.monotonic() >= deadline or not len(claims):
            break
        inflated = replace(claims, radius=claims.radius * factor)
        part, _ = attack_inputs(run, engine, inflated, count=len(claims), deadline=deadline, seed=seed)
        found = bool(part.units) and part.report(claims.alpha)["units_lower"] > claims.alpha
        told.append({"factor": factor, "inputs": part.units, "broken": part.broken_units, "found": found})
        if found:
            break
    return told


def overstated(told: list[dict[str, Any]]) -> str:
    """Say in words from which factor on overstated radii are found."""
    if not told:
        return "not measured"
    last = told[-1]
    if not last["found"]:
        return f"radii that are {last['factor']:g} times too large were not found"
    return (
        f"radii that are {last['factor']:g} times too large are found: {last['broken']:,} of {last['inputs']:,} inputs "
        "break"
    )


def _part(
    started: float,
    asked: int,
    flips: int,
    broken: np.ndarray,
    shown: list,
    claims: Claims,
    rows: np.ndarray,
    steering: tuple[int, ...],
    judges: int,
) -> Part:
    needed = betting.members_needed(judges, claims.classes, claims.alpha)
    return Part(
        name="test",
        title="test radius: gradient searches inside the ball",
        trials=len(rows) if needed else 0,
        flips=flips,
        violations=len(broken),
        unit="inputs",
        units=len(np.unique(rows)) if needed else 0,
        broken_units=len(np.unique(broken)),
        attack=f"projected gradient ascent of another class's lead, {STEPS} steps, steered by {len(steering)} members "
        "under fresh noise; from the input itself, then from random points of its sphere",
        power="none: too few members to establish any flip"
        if needed is None
        else f"{judges:,} members judge, with {JUDGING_DRAWS} fresh draws each",
        seconds=time.monotonic() - started,
        facts={
            "asked": asked,
            "done": len(rows),
            "inputs": len(np.unique(rows)),
            "steps": STEPS,
            "steering_members": len(steering),
            "judging_members": judges,
            "votes_needed": needed,
        },
        examples=shown,
    )
