"""Attack the test radius: search by gradient for a change of the input inside its certified ball."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from certssb_core.attacks.gradient import Voter, search
from certssb_core.ensemble import shards
from certssb_core.ensemble.voting import vote
from certssb_core.falsification import betting
from certssb_core.falsification.violations import Claims, Part, examples
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
BATCH = 1024
"""Points under noise that a judging member sees at once."""
JUDGING_DRAWS = 16
"""Draws of fresh noise per judging member."""


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


def ballot(context: RunContext, network: nn.Module, member: int, points: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Let one member vote on ``points`` ``(n, C, H, W)`` under its test noise at ``sigma`` ``(n,)``; its answers."""
    inputs, levels = (torch.from_numpy(array).to(context.device) for array in (points, sigma))
    return vote(network, context.test_inputs(inputs, levels, member=member)).hard.cpu().numpy()


def poll_shard(
    path: Path, shard: Path, but: tuple[int, ...], points: np.ndarray, sigma: np.ndarray, seed: int, draws: int
) -> np.ndarray | None:
    """Task: let a shard's members vote under fresh noise, except those in ``but``; None if none is left.

    Returns:
        ``(m, n, classes)`` float32, every member's shares of votes over so many ``draws``.
    """
    context = open_context(path)
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
                    shares.append(vote_shares(context, network, member, points, sigma, seed, draws))
    return np.stack(shares) if shares else None


def vote_shares(
    context: RunContext,
    network: nn.Module,
    member: int,
    points: np.ndarray,
    sigma: np.ndarray,
    seed: int,
    draws: int,
) -> np.ndarray:
    """One member's shares of votes ``(n, classes)`` float32 over ``draws`` of fresh noise."""
    images, levels = (torch.from_numpy(array).to(context.device) for array in (points, sigma))
    together = max(1, BATCH // len(points))
    counts = np.zeros((len(points), int(context.tensors["classes"])), np.float32)
    for start in range(0, draws, together):
        fresh = [with_fresh_noise(context, seed, draw) for draw in range(start, min(start + together, draws))]
        asked = torch.cat([drawn.test_inputs(images, levels, member=member) for drawn in fresh])
        cast = vote(network, asked).hard.cpu().numpy().reshape(len(fresh), len(points))
        np.add.at(counts, (np.broadcast_to(np.arange(len(points)), cast.shape), cast), 1)
    return counts / draws


def judged(
    run: Run,
    engine: Engine,
    steering: tuple[int, ...],
    points: np.ndarray,
    sigma: np.ndarray,
    *,
    seed: int,
    draws: int = JUDGING_DRAWS,
) -> np.ndarray:
    """Shares of votes ``(M, n, classes)`` of all stored members but those that steered, on ``points``."""
    tasks = [
        (run.path, shard, steering, points, sigma, seed, draws) for _, shard in shards.shards(run.path / "members")
    ]
    heard = {task[1]: shares for task, shares in engine.map(poll_shard, tasks) if shares is not None}
    return np.concatenate([heard[shard] for shard in sorted(heard)])


def searched(
    run: Run,
    engine: Engine,
    claims: Claims,
    steering: tuple[int, ...],
    chunks: Mapping[tuple[int, int], np.ndarray],
    *,
    deadline: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Search for the claims of every chunk, named by its lap and its beginning, until the time is up.

    Returns:
        the claims ``(n,)`` searched for, the points ``(n, C, H, W)`` found, and the other class's lead there ``(n,)``.
    """
    columns = (claims.images, claims.prediction, claims.radius, claims.sigma)
    work = ((run.path, steering, *(column[rows] for column in columns), seed, *chunk) for chunk, rows in chunks.items())
    found = {task[-2:]: result for task, result in engine.map(search_points, until(deadline, work))}
    done = sorted(found)
    rows = np.concatenate([np.empty(0, np.int64), *(chunks[chunk] for chunk in done)])
    points, lead = (
        np.concatenate([nothing, *(found[chunk][part] for chunk in done)])
        for part, nothing in enumerate((claims.images[:0], np.empty(0, np.float32)))
    )
    return rows, points, lead


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
    closest = np.zeros_like(claims.images)
    rows, points, lead = searched(run, engine, claims, steering, chunks, deadline=deadline, seed=seed)
    if not len(rows) or len(steering) == run.config.training.members:
        return _part(started, count, 0, rows[:0], [], claims, rows, steering, 0), closest
    best = np.argsort(lead, kind="stable")  # the largest lead of an input is written last
    closest[rows[best]] = points[best] - claims.images[rows[best]]

    shares = judged(run, engine, steering, points, claims.sigma[rows], seed=seed)
    verdict = betting.judge(shares, claims.prediction[rows], claims.alpha)
    change = points.astype(np.float64) - claims.images[rows]
    distance = np.linalg.norm(change.reshape(len(rows), -1), axis=1)
    inside = distance < claims.radius[rows]  # float32 pixels can step over a very small sphere
    broken = np.flatnonzero(verdict.broken & inside)
    shown = examples(
        {
            "set": claims.sets[rows[i]],
            "index": claims.indices[rows[i]],
            "claimed": claims.prediction[rows[i]],
            "found": verdict.leading[i],
            "share_claimed": verdict.shares[i, claims.prediction[rows[i]]],
            "share_found": verdict.shares[i, verdict.leading[i]],
            "distance": distance[i],
            "radius": claims.radius[rows[i]],
        }
        for i in broken[np.argsort(distance[broken] / claims.radius[rows[broken]])]
    )
    flips = int((verdict.flipped & inside).sum())
    part = _part(started, count, flips, rows[broken], shown, claims, rows[inside], steering, len(shares))
    return part, closest


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
        power=betting.NONE if needed is None else f"{judges:,} members judge, with {JUDGING_DRAWS} fresh draws each",
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
