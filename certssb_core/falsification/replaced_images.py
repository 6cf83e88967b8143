"""Attack certificates against replaced training images: replace and relabel, draw and train all members anew.

A world replaces as many training images as the run certifies against, labels included, and moves every test input
within its certified radius. Its members draw their images with a fresh seed: another sample of the same classifier,
were it not for the attack.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from certssb_core.attacks.gradient import INSIDE
from certssb_core.data.triggers import apply_trigger
from certssb_core.falsification import betting
from certssb_core.falsification.test_input import JUDGING_DRAWS, until, vote_shares
from certssb_core.falsification.violations import Claims, Part, beyond_chance, examples
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import RunContext, noise_levels, open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.runs.inputs import trigger_settings
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import generator, key

TITLE = "replaced images: planted, relabelled and crafted worlds"
CHUNK = 100
"""Members per task."""
FACTORS = (1.1, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0, 6.0)
"""Factors by which the number of replaced images is overstated, to see from which one on that is found."""
FAR = 20.0
"""How far a crafted image is pushed, in L2 pixel units: an attacker may replace an image by anything."""


@dataclass(frozen=True, eq=False)
class Replacement:
    """The attacker's training images and the change of the test inputs.

    Attributes:
        rows: ``(n,)`` training images replaced; images: ``(n, C, H, W)`` and labels ``(n,)`` in their place.
        change: ``(m, C, H, W)`` of every claimed input, of any length: it is cut to the input's radius.
    """

    rows: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    change: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """The material of a world: training images ``(N, C, H, W)`` and labels ``(N,)``, the claims, the run's context, and
    one claimed input that the attacker aims at with the class that it is to get."""

    train: np.ndarray
    labels: np.ndarray
    claims: Claims
    context: RunContext
    victim: int
    wanted: int
    count: int
    draws: np.random.Generator

    @property
    def claimed(self) -> int:
        return int(self.claims.prediction[self.victim])

    def mean(self, label: int) -> np.ndarray:
        return self.train[self.labels == label].mean(axis=0)

    def towards_wanted(self) -> np.ndarray:
        """Change of every input from its claimed class's mean to the wanted one's, or away from the wanted one."""
        step = self.mean(self.wanted) - self.mean(self.claimed)
        sign = np.where(self.claims.prediction == self.wanted, -1.0, 1.0)
        return (sign[:, None, None, None] * step).astype(np.float32)


def planted(scene: Scene) -> Replacement:
    """Stamp the run's own trigger on images of other classes, relabel them, and stamp the inputs."""
    goal, attack = scene.context.config.attack.target, trigger_settings(scene.context.config.attack)
    rows = scene.draws.permutation(np.flatnonzero(scene.labels != goal))[: scene.count]
    stamped = apply_trigger(scene.claims.images, **attack) - scene.claims.images
    return Replacement(rows, apply_trigger(scene.train[rows], **attack), np.full(len(rows), goal), stamped)


def flipped(scene: Scene) -> Replacement:
    """Relabel the images of the claimed class that lie nearest to the victim."""
    own = np.flatnonzero(scene.labels == scene.claimed)
    far = np.linalg.norm((scene.train[own] - scene.claims.images[scene.victim]).reshape(len(own), -1), axis=1)
    rows = own[np.argsort(far, kind="stable")[: scene.count]]
    return Replacement(rows, scene.train[rows], np.full(len(rows), scene.wanted), scene.towards_wanted())


def copied(scene: Scene) -> Replacement:
    """Put copies of the victim, labelled as wanted, in the place of images of the claimed class."""
    rows = scene.draws.permutation(np.flatnonzero(scene.labels == scene.claimed))[: scene.count]
    images = np.repeat(scene.claims.images[[scene.victim]], len(rows), axis=0)
    return Replacement(rows, images, np.full(len(rows), scene.wanted), scene.towards_wanted())


def crafted(scene: Scene) -> Replacement:
    """Push images of the claimed class far from the victim along the gradient of their class's mean, labels kept."""
    rows = scene.draws.permutation(np.flatnonzero(scene.labels == scene.claimed))[: scene.count]
    away = scene.mean(scene.claimed) - scene.claims.images[scene.victim]
    pushed = scene.train[rows] + FAR * away / max(float(np.linalg.norm(away)), 1e-9)
    return Replacement(rows, pushed.astype(np.float32), np.full(len(rows), scene.claimed), scene.towards_wanted())


STRATEGIES: dict[str, Callable[[Scene], Replacement]] = {
    "planted backdoor": planted,
    "labels flipped near an input": flipped,
    "copies of an input, relabelled": copied,
    "images pushed away by gradient": crafted,
}
ATTACK = (
    f"in each world as many images as certified are replaced by one of: {'; '.join(STRATEGIES)}; every input moves up "
    "to its certified radius, and all members draw and train anew"
)


@dataclass(frozen=True, eq=False)
class World:
    """A world: its number, the seed of everything random in it, its strategy, what is replaced, and where members are
    asked, ``(n, C, H, W)``."""

    number: int
    seed: int
    strategy: str
    replaced: Replacement
    points: np.ndarray


def plant(path: Path, number: int, seed: int, claims: Claims, count: int) -> World:
    """Make world ``number``, with ``count`` images replaced."""
    context, draws = open_context(path), generator(seed, "replaced world", number)
    train, labels = (context.tensors[name].cpu().numpy() for name in ("train", "labels"))
    victim = int(draws.integers(len(claims)))
    others = [label for label in range(claims.classes) if label != claims.prediction[victim]]
    scene = Scene(train, labels, claims, context, victim, int(draws.choice(others)), count, draws)
    name = list(STRATEGIES)[number % len(STRATEGIES)]
    replaced = STRATEGIES[name](scene)
    norms = np.linalg.norm(replaced.change.reshape(len(claims), -1), axis=1)
    length = np.minimum(1.0, (1 - INSIDE) * claims.radius / np.maximum(norms, 1e-12))
    if name != "planted backdoor":  # no trigger of a given size: as far as the claim allows
        length = (1 - INSIDE) * claims.radius / np.maximum(norms, 1e-12)
    points = (claims.images + length[:, None, None, None] * replaced.change).astype(np.float32)
    own = int.from_bytes(key(context.seed, "replaced world", seed, number)[:8], "little")
    return World(number, own, name, replaced, points)


def world_votes(path: Path, world: World, sigma: np.ndarray, *members: int) -> np.ndarray:
    """Task: train some members of a world, which draw with its seed; return their shares of votes on its points,
    ``(m, n, C)`` float16."""
    context, new = open_context(path), world.replaced
    train, labels = context.tensors["train"].clone(), context.tensors["labels"].clone()
    train[new.rows] = torch.from_numpy(new.images).to(train)
    labels[new.rows] = torch.from_numpy(new.labels).to(labels)
    changed = context.tensors | {"train": train, "labels": labels}
    context = replace(context, tensors=changed, seed=world.seed)
    found, _ = tasks.trained_members(context, noise_levels(path)["train"], members)
    shares = [
        vote_shares(context, context.rounded(one), member, world.points, sigma, world.number, JUDGING_DRAWS)
        for member, one in found.items()
    ]
    return np.stack(shares).astype(np.float16)


def _shares(run: Run, engine: Engine, world: World, claims: Claims, members: int, deadline: float) -> np.ndarray | None:
    """Shares of votes of all members of a world ``(M, n, C)``; None if the time was up before."""
    chunks = [range(start, min(start + CHUNK, members)) for start in range(0, members, CHUNK)]
    work = [(run.path, world, claims.sigma, *chunk) for chunk in chunks]
    heard = {task[3]: shares for task, shares in engine.map(world_votes, until(deadline, work))}
    return np.concatenate([heard[first] for first in sorted(heard)]) if len(heard) == len(work) else None


def _overstated(
    run: Run, engine: Engine, claims: Claims, *, members: int, deadline: float, seed: int
) -> list[dict[str, Any]]:
    """Replace more images than certified, by rising factors, until more claims of a world break than chance explains;
    one world per strategy each."""
    told: list[dict[str, Any]] = []
    allowed, images = run.config.certification.attacked or 0, len(open_context(run.path).tensors["labels"])
    for factor in FACTORS:
        if (count := round(factor * allowed)) > images // 2:
            break
        worst = 0
        for number in range(len(STRATEGIES)):
            world = plant(run.path, number, seed, claims, count)
            if (shares := _shares(run, engine, world, claims, members, deadline)) is None:
                return told
            worst = max(worst, int(betting.broken(shares, claims.prediction, claims.alpha).sum()))
        found = beyond_chance(worst, len(claims), claims.alpha)
        told.append({"factor": factor, "inputs": len(claims), "broken": worst, "found": found})
        if found:
            break
    return told


def attack_replaced(
    run: Run,
    engine: Engine,
    claims: Claims,
    *,
    count: int,
    members: int,
    deadline: float,
    seed: int,
    factors: bool = True,
) -> Part:
    """Plant ``count`` worlds with ``members`` members each until the time is up; judge every claim in each.

    Violations are bounded over worlds: the claims of one world share its members.
    """
    started, replaced = time.monotonic(), run.config.certification.attacked or 0
    told: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    needed, power = betting.members_needed(members, claims.classes, claims.alpha), betting.NONE
    for number in range(count if len(claims) and needed is not None else 0):
        world = plant(run.path, number, seed, claims, replaced)
        if (shares := _shares(run, engine, world, claims, members, deadline)) is None:
            break
        verdict = betting.judge(shares, claims.prediction, claims.alpha)
        if not told:
            power = betting.in_words(shares, claims.prediction, claims.alpha, JUDGING_DRAWS)
        told.append(
            {
                "world": world.number,
                "strategy": world.strategy,
                "images": len(world.replaced.rows),
                "members": len(shares),
                "inputs": len(claims),
                "flips": int(verdict.flipped.sum()),
                "violations": int(verdict.broken.sum()),
            }
        )
        shown += [
            {
                "world": world.number,
                "set": claims.sets[i],
                "index": claims.indices[i],
                "claimed": claims.prediction[i],
                "found": verdict.leading[i],
                "radius": claims.radius[i],
            }
            for i in np.flatnonzero(verdict.broken)
        ]
    tried: list[dict[str, Any]] = []
    if told and factors:
        tried = _overstated(run, engine, claims, members=members, deadline=deadline, seed=seed)
    found = next((one for one in tried if one["found"]), None)
    reach = (
        f"{found['factor']:g} times as many replaced images are found: {found['broken']} of {found['inputs']} inputs "
        "break in one world"
        if found
        else f"Up to {tried[-1]['factor']:g} times as many images replaced were not found"
        if tried
        else "How many replaced images are found was not measured"
    )
    return Part(
        name="replaced",
        title=TITLE,
        trials=len(told) * len(claims),
        flips=sum(one["flips"] for one in told),
        violations=sum(one["violations"] for one in told),
        unit="worlds",
        units=len(told),
        broken_units=sum(one["violations"] > 0 for one in told),
        attack=ATTACK,
        power=f"{power}. {reach}",
        seconds=time.monotonic() - started,
        facts={"asked": count, "done": len(told), "worlds": told, "overstated": tried},
        examples=examples(shown),
    )
