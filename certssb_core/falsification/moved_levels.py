"""Attack the noise levels: whoever moves an input, or training images, also moves the σ* that is found for them.

A certificate holds for the levels as fixed. So an input moved inside its ball is asked twice: at the level of its
certificate, where the claim must hold, and at the level that the run's own search finds for the moved input, where
nothing is claimed (2110.05365). The store makes up for that: once the ball is stored, it answers every point in it.
Training images that move choose their levels anew in worlds of :mod:`.training_set`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from certssb_core.falsification import betting
from certssb_core.falsification.test_input import CHUNK, JUDGING_DRAWS, judged, searched, searchers, until
from certssb_core.falsification.violations import Claims, Part, examples
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import base_network, open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.runs.run import Run

TITLE = "noise levels: inputs moved so that σ changes"
MOST = 512
"""Most inputs attacked."""


def levels_anew(path: Path, points: np.ndarray, begin: int) -> np.ndarray:
    """Task: σ* ``(n,)`` of moved inputs, found as the run found those of its test inputs; ``begin`` names the chunk."""
    context = open_context(path)
    moved = replace(context, tensors=context.tensors | {"clean": torch.from_numpy(points).to(context.device)})
    return tasks.searched(moved, base_network(path), "clean", 0, len(points)).sigma.cpu().numpy()


def attack_levels(run: Run, engine: Engine, claims: Claims, *, deadline: float, seed: int) -> Part:
    """Search under the smallest and the largest σ for inputs that flip there, and ask them at both levels.

    Of the two points of an input, the one counts whose level comes closer to the one that it was sought for.

    Returns:
        a part whose trials are claims at their certified levels; ``facts["anew"]`` counts what broke at the levels
        chosen anew. No trials, and the reason, where nothing could be judged.
    """
    started, noise, members = time.monotonic(), run.config.noise, run.config.training.members
    steering = searchers(members, seed=seed)
    attack = (
        f"inputs are moved inside their balls to where they would flip under σ {noise.sigma_min:g} or "
        f"{noise.sigma_max:g}, and asked at the σ of their certificate"
    )
    if betting.members_needed(members - len(steering), claims.classes, claims.alpha) is None:
        return _nothing(attack, betting.NONE, "too few members judge")
    kept = np.sort(np.argsort(-claims.radius, kind="stable")[:MOST])
    points, levels, missed = claims.images[kept], np.zeros(len(kept)), np.full(len(kept), np.inf)
    for level in (noise.sigma_min, noise.sigma_max):
        sought = replace(claims, sigma=np.full(len(claims), level))
        chunks = {(0, begin): kept[begin : begin + CHUNK] for begin in range(0, len(kept), CHUNK)}
        rows, found, _ = searched(run, engine, sought, steering, chunks, deadline=deadline, seed=seed)
        work = ((run.path, found[begin : begin + CHUNK], begin) for begin in range(0, len(rows), CHUNK))
        heard = {task[2]: sigma for task, sigma in engine.map(levels_anew, until(deadline, work))}
        if len(rows) < len(kept) or sum(map(len, heard.values())) < len(rows):
            return _nothing(attack, "none: nothing was judged", "the time was up; give it more --minutes")
        sigma = np.concatenate([heard[begin] for begin in sorted(heard)])
        off = np.abs(np.log(sigma / level))
        closer = off < missed
        points = np.where(closer[:, None, None, None], found, points)
        levels, missed = np.where(closer, sigma, levels), np.where(closer, off, missed)
    both = judged(
        run, engine, steering, np.concatenate([points, points]), np.concatenate([claims.sigma[kept], levels]), seed=seed
    )
    shares, anew = both[:, : len(kept)], both[:, len(kept) :]
    claimed = claims.prediction[kept]
    verdict, other = (betting.judge(cast, claimed, claims.alpha) for cast in (shares, anew))
    moved = np.exp(np.abs(np.log(levels / claims.sigma[kept])))
    distance = np.linalg.norm((points.astype(np.float64) - claims.images[kept]).reshape(len(kept), -1), axis=1)
    inside = distance < claims.radius[kept]  # float32 pixels can step over a very small sphere
    violations, broken = (np.flatnonzero(told.broken & inside) for told in (verdict, other))
    flips = [int((told.flipped & inside).sum()) for told in (verdict, other)]
    return Part(
        name="levels",
        title=TITLE,
        trials=len(kept),
        flips=flips[0],
        violations=len(violations),
        unit="inputs",
        units=len(kept),
        broken_units=len(violations),
        attack=attack,
        power=f"{betting.in_words(shares, claimed, claims.alpha, JUDGING_DRAWS)}. The search for σ gives the moved "
        f"inputs other levels, up to {moved.max():.2f} times apart. Asked at those, {len(broken):,} of "
        f"{len(kept):,} break: no certificate covers that, and the store answers such inputs from their ball",
        seconds=time.monotonic() - started,
        facts={
            "anew": {
                "inputs": len(kept),
                "flips": flips[1],
                "broken": len(broken),
                "largest_change": float(moved.max()),
            }
        },
        examples=examples(
            {
                "set": claims.sets[kept[i]],
                "index": claims.indices[kept[i]],
                "claimed": claimed[i],
                "found": verdict.leading[i],
                "distance": distance[i],
                "radius": claims.radius[kept[i]],
            }
            for i in violations
        ),
    )


def _nothing(attack: str, power: str, reason: str) -> Part:
    facts = {"asked": 1, "done": 0, "reason": reason}
    return Part("levels", TITLE, 0, 0, 0, "inputs", 0, 0, attack, power, 0.0, facts)
