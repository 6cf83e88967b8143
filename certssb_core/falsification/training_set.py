"""Attack the joint budget: move training images, and train all members anew (a *world*).

A world moves some training images by a total weighted norm w = (Σ ‖δ_i‖²/σ_i²)^½. Every certificate of margin > w
covers it, and what is left of its budget, (margin² − w²)^½ σ_x, may be spent on its test input. The ensemble of
that world draws fresh noise: it is another sample of the same smoothed classifier, were it not for the attack.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from certssb_core.attacks.gradient import INSIDE, unit
from certssb_core.ensemble.training import Diverged
from certssb_core.falsification import betting
from certssb_core.falsification.image_moves import STRATEGIES
from certssb_core.falsification.test_input import JUDGING_DRAWS, networks, until, vote_shares
from certssb_core.falsification.violations import Claims, Part, examples
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import RunContext, noise_levels, open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import generator, key

TITLE = "joint budget: moved training images, retrained members"
IMAGES = (1, 8, 64)
"""Numbers of training images that a world may move."""
QUANTILES = (0.05, 0.25, 0.5, 0.75)
"""Quantiles of the certified margins: a world spends one of them, as weighted norm, on training images."""
ANEW = 2
"""Worlds that are made a second time with σ_i found anew, where the run searched them."""
SEARCHED = 256
"""Images whose σ are searched at once."""
VICTIMS = 256
"""Most certified inputs that the attacker aims at."""


@dataclass(frozen=True, eq=False)
class World:
    """The attacker's changes, and the inputs whose certificates cover them.

    Attributes:
        number: of the world; seed: of everything random in it.
        strategy: a key of :data:`STRATEGIES`; quantile: of the margins that fixed its weighted norm.
        images: ``(k,)`` training images moved, changes: ``(k, C, H, W)`` float32; weight: their weighted norm.
        moves_inputs: whether the test inputs spend what is left of their budgets.
        rows: ``(n,)`` the claims that cover it; points: ``(n, C, H, W)`` where they are asked; sigma: ``(n,)``.
        levels: ``(N,)`` σ_i found anew for the moved images, which no certificate covers; None for those of the run.
    """

    number: int
    seed: int
    strategy: str
    quantile: float
    images: np.ndarray
    changes: np.ndarray
    weight: float
    moves_inputs: bool
    rows: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    levels: torch.Tensor | None = None

    @property
    def key(self) -> tuple[int, bool]:
        """Names the world beside its twin with levels found anew."""
        return self.number, self.levels is not None


ATTACK = (
    f"in each world {', '.join(map(str, IMAGES[:-1]))} or {IMAGES[-1]} training images are moved, labels kept. In half "
    "of them inputs move too. A world takes one of these attacks. "
    + ". ".join(strategy.title.capitalize() for strategy in STRATEGIES.values())
)


def plant(
    path: Path, number: int, seed: int, members: tuple[int, ...], claims: Claims, closest: np.ndarray
) -> World | None:
    """Task: make world ``number``; None where the strategy finds no image to move.

    Args:
        members: stored members that lend their gradients.
        closest: ``(n, C, H, W)`` per claim, a change of the test input that comes close to a flip.
    """
    context, levels = open_context(path), noise_levels(path)["train"].double().cpu().numpy()
    draws = generator(seed, "falsification world", number)
    name = list(STRATEGIES)[number % len(STRATEGIES)]
    strategy = STRATEGIES[name]
    count, quantile = int(draws.choice(IMAGES)), float(draws.choice(QUANTILES))
    goal = context.config.attack.target
    eligible = np.arange(len(levels))
    if strategy.of_target:
        eligible = np.flatnonzero(context.tensors["labels"].cpu().numpy() == goal)
    ranked = eligible[np.argsort(-levels[eligible] if strategy.noisiest else levels[eligible], kind="stable")]
    images = ranked[:count]
    victims = claims.images[draws.permutation(np.flatnonzero(claims.prediction != goal))[:VICTIMS]]
    if not len(images) or not len(victims):
        return None

    lent = partial(networks, path, members)
    direction = unit(torch.from_numpy(strategy.direction(context, images, victims, lent))).numpy()
    share = float(np.quantile(claims.margin, quantile)) * (1 - INSIDE) / np.sqrt(len(images))
    before = context.tensors["train"][images].cpu().numpy()
    after = (before + (levels[images] * share)[:, None, None, None] * direction).astype(np.float32)
    moved = np.linalg.norm((after.astype(np.float64) - before).reshape(len(images), -1), axis=1)
    weight = float(np.sqrt(((moved / levels[images]) ** 2).sum()))

    rows = np.flatnonzero(claims.margin > weight)
    points = claims.images[rows]
    moves_inputs = bool(draws.integers(2))
    if moves_inputs:
        left = np.sqrt(claims.margin[rows] ** 2 - weight**2) / claims.margin[rows] * claims.radius[rows]
        towards = unit(torch.from_numpy(closest[rows])).numpy()
        points = (points + ((1 - INSIDE) * left)[:, None, None, None] * towards).astype(np.float32)
    return World(
        number=number,
        seed=int.from_bytes(key(context.seed, "falsification world", seed, number)[:8], "little"),
        strategy=name,
        quantile=quantile,
        images=images,
        changes=after - before,
        weight=weight,
        moves_inputs=moves_inputs,
        rows=rows,
        points=points,
        sigma=claims.sigma[rows],
    )


def world_votes(path: Path, world: World, member: int) -> np.ndarray:
    """Task: train member ``member`` of a world, under its fresh noise, and let it vote on the world's points.

    Returns:
        ``(1, n, C)`` float16, its shares of votes; ``(0, n, C)`` where it diverged, as it is left out in the run too.
    """
    context, levels = _inside(path, world), noise_levels(path)["train"] if world.levels is None else world.levels
    try:
        network = context.rounded(context.trained(member, levels))
    except Diverged:
        return np.empty((0, len(world.points), int(context.tensors["classes"])), np.float16)
    shares = vote_shares(context, network, member, world.points, world.sigma, world.number, JUDGING_DRAWS)
    return shares[None].astype(np.float16)


def _inside(path: Path, world: World) -> RunContext:
    """The run's context with the world's training images and seed."""
    context = open_context(path)
    images = context.tensors["train"].clone()
    images[world.images] += torch.from_numpy(world.changes).to(images)
    return replace(context, tensors=context.tensors | {"train": images}, seed=world.seed)


def with_levels_anew(path: Path, world: World) -> World:
    """Task: the same world, where σ*_i are found anew, on a base classifier trained in it."""
    context = _inside(path, world)
    base = context.base_classifier()
    starts = range(0, len(context.tensors["train"]), SEARCHED)
    found = [tasks.searched(context, base, "train", start, start + SEARCHED).sigma for start in starts]
    return replace(world, levels=torch.cat(found))


def attack_training(
    run: Run,
    engine: Engine,
    claims: Claims,
    closest: np.ndarray,
    *,
    count: int,
    members: int,
    steering: tuple[int, ...],
    deadline: float,
    seed: int,
) -> Part:
    """Plant ``count`` worlds, train members in them until the time is up, and compare the answers.

    Args:
        members: at most so many per world.
        steering: stored members that lend their gradients.
    """
    started = time.monotonic()
    if "train" not in run.arrays("sigma"):
        return _nothing(count, "the members were imported: how they were trained is not known, so nothing is promised")
    planting = [(run.path, number, seed, steering, claims, closest) for number in range(count)]
    worlds = sorted(
        (world for _, world in engine.map(plant, until(deadline, planting)) if world is not None and len(world.rows)),
        key=lambda world: world.number,
    )
    if run.config.noise.searches_train:
        again = [(run.path, world) for world in worlds[:ANEW]]
        made = [world for _, world in engine.map(with_levels_anew, until(deadline, again))]
        worlds += sorted(made, key=lambda world: world.number)
    work = [(run.path, world, member) for world, member in rota(worlds, members, first=enough(claims, members))]
    heard: dict[tuple[int, bool], dict[int, np.ndarray]] = defaultdict(dict)
    for (_, world, member), shares in engine.map(world_votes, until(deadline, work)):
        heard[world.key][member] = shares

    told, shown, trials, flips, violations = [], [], 0, 0, 0
    powers: list[str] = []
    for world in worlds:
        cast = heard[world.key]
        judges = sum(len(cast[member]) for member in cast)
        needed = betting.members_needed(judges, claims.classes, claims.alpha)
        told.append(_told(world, judges, needed))
        if needed is None:
            continue
        shares = np.concatenate([cast[member] for member in sorted(cast)])
        verdict = betting.judge(shares, claims.prediction[world.rows], claims.alpha)
        told[-1] |= {"flips": int(verdict.flipped.sum()), "violations": int(verdict.broken.sum())}
        if world.levels is not None:
            continue
        powers.append(betting.in_words(shares, claims.prediction[world.rows], claims.alpha, JUDGING_DRAWS))
        trials += len(world.rows)
        flips += int(verdict.flipped.sum())
        violations += int(verdict.broken.sum())
        shown += _shown(world, claims, verdict)
    judged = [world["members"] for world in told]
    return Part(
        name="joint",
        title=TITLE,
        trials=trials,
        flips=flips,
        violations=violations,
        unit="worlds",
        units=len(powers),
        broken_units=sum(world["violations"] > 0 for world in told if world["levels"] == "certified"),
        attack=ATTACK,
        power=". ".join([powers[0] if powers else betting.NONE, *_anew(told)]),
        seconds=time.monotonic() - started,
        facts={
            "asked": count,
            "done": len(powers),
            "members_per_world": [min(judged, default=0), max(judged, default=0)],
            "worlds": told,
        },
        examples=examples(shown),
    )


def enough(claims: Claims, members: int) -> int:
    """The fewest judges, up to ``members``, of whom nine in ten for another class establish a flip."""
    for judges in range(1, members):
        needed = betting.members_needed(judges, claims.classes, claims.alpha)
        if needed is not None and needed <= 0.9 * judges:
            return judges
    return members


def rota(worlds: Sequence[World], members: int, *, first: int) -> Iterator[tuple[World, int]]:
    """Order the training: ``first`` members world by world, as fewer establish nothing; then one per world in turn."""
    yield from ((world, member) for world in worlds for member in range(first))
    yield from ((world, member) for member in range(first, members) for world in worlds)


def _nothing(asked: int, reason: str) -> Part:
    return Part(
        "joint",
        TITLE,
        0,
        0,
        0,
        "worlds",
        0,
        0,
        ATTACK,
        betting.NONE,
        0.0,
        {"asked": asked, "done": 0, "reason": reason},
    )


def _anew(told: Sequence[dict]) -> list[str]:
    """Say what broke where σ_i was found anew for the moved images."""
    worlds = [world for world in told if world["levels"] == "anew" and world["votes_needed"] is not None]
    if not worlds:
        return []
    broken, trials = (sum(world[name] for world in worlds) for name in ("violations", "inputs"))
    return [
        f"With σ found anew for the moved images, which no certificate covers, {broken:,} of {trials:,} claims break "
        f"in {len(worlds)} worlds"
    ]


def _told(world: World, judges: int, needed: int | None) -> dict:
    changes = np.linalg.norm(world.changes.reshape(len(world.images), -1).astype(np.float64), axis=1)
    return {
        "world": world.number,
        "strategy": world.strategy,
        "images": len(world.images),
        "weighted_norm": world.weight,
        "largest_change": float(changes.max()),
        "moves_inputs": world.moves_inputs,
        "levels": "certified" if world.levels is None else "anew",
        "inputs": len(world.rows),
        "members": judges,
        "votes_needed": needed,
        "flips": 0,
        "violations": 0,
    }


def _shown(world: World, claims: Claims, verdict: betting.Verdict) -> list[dict]:
    return [
        {
            "world": world.number,
            "set": claims.sets[world.rows[i]],
            "index": claims.indices[world.rows[i]],
            "claimed": claims.prediction[world.rows[i]],
            "found": verdict.leading[i],
            "share_claimed": verdict.shares[i, claims.prediction[world.rows[i]]],
            "share_found": verdict.shares[i, verdict.leading[i]],
            "weighted_norm": world.weight,
            "margin": claims.margin[world.rows[i]],
        }
        for i in np.flatnonzero(verdict.broken)
    ]
