"""Attack the joint budget: move training images, and train all members anew (a *world*).

A world moves some training images by a total weighted norm w = (Σ ‖δ_i‖²/σ_i²)^½. Every certificate of margin > w
covers it, and what is left of its budget, (margin² − w²)^½ σ_x, may be spent on its test input. The ensemble of
that world draws fresh noise: it is another sample of the same smoothed classifier, were it not for the attack.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from torch import nn

from certssb_core.attacks.gradient import INSIDE, alignment, unit
from certssb_core.data.triggers import apply_trigger
from certssb_core.ensemble.training import Diverged
from certssb_core.falsification.test_input import ballot, networks, until
from certssb_core.falsification.violations import Claims, Part, Poll, Verdict, examples, judge, power, votes_needed
from certssb_core.pipeline.context import RunContext, noise_levels, open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.runs.inputs import trigger_settings
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import generator, key

TITLE = "joint budget: moved training images, retrained members"
IMAGES = (1, 8, 64)
"""Numbers of training images that a world may move."""
QUANTILES = (0.05, 0.25, 0.5, 0.75)
"""Quantiles of the certified margins: a world spends one of them, as weighted norm, on training images."""
MATCHED = 8
"""Number of stored members whose gradients are matched."""
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


def towards_trigger(
    context: RunContext, images: np.ndarray, victims: np.ndarray, members: Callable[[], list[nn.Module]]
) -> np.ndarray:
    """Add the run's own trigger to images of the attacker's class."""
    blank = np.zeros((1, *context.tensors["train"].shape[1:]), np.float32)
    return np.repeat(apply_trigger(blank, **trigger_settings(context.config.attack)), len(images), axis=0)


def towards_victims(
    context: RunContext, images: np.ndarray, victims: np.ndarray, members: Callable[[], list[nn.Module]]
) -> np.ndarray:
    """Move to the mean of the inputs aimed at, so that their region gets the attacker's class."""
    return victims.mean(axis=0) - context.tensors["train"][images].cpu().numpy()


def by_gradient(
    context: RunContext, images: np.ndarray, victims: np.ndarray, members: Callable[[], list[nn.Module]]
) -> np.ndarray:
    """Match gradients: training on the images then pulls the victims to the attacker's class."""
    aim = torch.full((len(victims),), context.config.attack.target, device=context.device)
    direction = alignment(
        members()[:MATCHED],
        context.tensors["train"][images],
        context.tensors["labels"][images],
        torch.from_numpy(victims).to(context.device),
        aim,
    )
    return direction.cpu().numpy()


@dataclass(frozen=True)
class Strategy:
    """Way in which an attacker moves training images.

    Attributes:
        title: for people.
        direction: from images and victims to changes ``(k, C, H, W)`` of any length.
        of_target: only images that carry the attacker's class.
        noisiest: the images of largest σ_i, which move farthest for one weighted norm; else those of smallest σ_i,
            which cost most at one norm.
    """

    title: str
    direction: Callable[[RunContext, np.ndarray, np.ndarray, Callable[[], list[nn.Module]]], np.ndarray]
    of_target: bool
    noisiest: bool


STRATEGIES: dict[str, Strategy] = {
    "trigger": Strategy("the trigger, on images of smallest σ", towards_trigger, True, False),
    "gradient": Strategy("gradient matching, on images of smallest σ", by_gradient, False, False),
    "collision": Strategy("towards the victims, on images of largest σ", towards_victims, True, True),
    "gradient-noisiest": Strategy("gradient matching, on images of largest σ", by_gradient, False, True),
}


ATTACK = (
    f"in each world {', '.join(map(str, IMAGES[:-1]))} or {IMAGES[-1]} training images are moved, labels kept, by one "
    f"of: {'; '.join(strategy.title for strategy in STRATEGIES.values())}; in half of them inputs move too"
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


def world_votes(path: Path, world: World, member: int) -> Poll:
    """Task: train member ``member`` of a world, under its fresh noise, and let it vote on the world's points."""
    images = open_context(path).tensors["train"].clone()
    images[world.images] += torch.from_numpy(world.changes).to(images)
    context = open_context(path)
    context = replace(context, tensors=context.tensors | {"train": images}, seed=world.seed)
    try:
        network = context.rounded(context.trained(member, noise_levels(path)["train"]))
    except Diverged:  # left out, as in the run itself
        shape = len(world.points), int(context.tensors["classes"])
        return Poll(np.zeros(shape, np.int64), np.zeros(shape), 0)
    return ballot(context, network, member, world.points, world.sigma)


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
    work = [(run.path, world, member) for world, member in rota(worlds, members, first=enough(claims, members))]
    polls: dict[int, list[Poll]] = defaultdict(list)
    for (_, world, _), poll in engine.map(world_votes, until(deadline, work)):
        polls[world.number].append(poll)

    told, shown, trials, flips, violations = [], [], 0, 0, 0
    powers: list[str] = []
    for world in worlds:
        poll = reduce(add, polls[world.number]) if polls[world.number] else None
        needed = votes_needed(claims, poll.members) if poll else None
        told.append(_told(world, claims, poll, needed))
        if poll is None or needed is None:
            continue
        verdict = judge(poll, claims, claims.prediction[world.rows])
        powers.append(power(needed, poll.members))
        told[-1] |= {"flips": int(verdict.flipped.sum()), "violations": int(verdict.broken.sum())}
        trials += len(world.rows)
        flips += int(verdict.flipped.sum())
        violations += int(verdict.broken.sum())
        shown += _shown(world, claims, poll, verdict)
    heard = [world["members"] for world in told]
    return Part(
        name="joint",
        title=TITLE,
        trials=trials,
        flips=flips,
        violations=violations,
        unit="worlds",
        units=len(powers),
        broken_units=sum(world["violations"] > 0 for world in told),
        attack=ATTACK,
        power=powers[0] if powers else power(None, 0),
        seconds=time.monotonic() - started,
        facts={
            "asked": count,
            "done": sum(world["votes_needed"] is not None for world in told),
            "members_per_world": [min(heard, default=0), max(heard, default=0)],
            "worlds": told,
        },
        examples=examples(shown),
    )


def enough(claims: Claims, members: int) -> int:
    """The smallest number of votes, up to ``members``, of which nine in ten for another class establish a flip."""
    for heard in range(1, members):
        needed = votes_needed(claims, heard)
        if needed is not None and needed <= 0.9 * heard:
            return heard
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
        power(None, 0),
        0.0,
        {"asked": asked, "done": 0, "reason": reason},
    )


def _told(world: World, claims: Claims, poll: Poll | None, needed: int | None) -> dict:
    changes = np.linalg.norm(world.changes.reshape(len(world.images), -1).astype(np.float64), axis=1)
    return {
        "world": world.number,
        "strategy": world.strategy,
        "images": len(world.images),
        "weighted_norm": world.weight,
        "largest_change": float(changes.max()),
        "moves_inputs": world.moves_inputs,
        "inputs": len(world.rows),
        "members": poll.members if poll else 0,
        "votes_needed": needed,
        "flips": 0,
        "violations": 0,
    }


def _shown(world: World, claims: Claims, poll: Poll, verdict: Verdict) -> list[dict]:
    return [
        {
            "world": world.number,
            "set": claims.sets[world.rows[i]],
            "index": claims.indices[world.rows[i]],
            "claimed": claims.prediction[world.rows[i]],
            "found": verdict.leading[i],
            "votes_claimed": poll.counts[i, claims.prediction[world.rows[i]]],
            "votes_found": poll.counts[i, verdict.leading[i]],
            "weighted_norm": world.weight,
            "margin": claims.margin[world.rows[i]],
        }
        for i in np.flatnonzero(verdict.broken)
    ]
