"""Attack with known noise: choose an input on which the members' own draws of noise mislead (docs/method.md §9.5).

Whoever knows the seed knows every member's test noise, and can climb to an input where these draws say more than is
true. No certificate covers that: its condition is noise drawn independently of the input. The same input, asked under
fresh noise, gives no false claim but for chance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from certssb_core.certify.bounds.intervals import clopper_pearson_lower, clopper_pearson_upper
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.ensemble import shards
from certssb_core.falsification.test_input import ballot, networks, until, with_fresh_noise
from certssb_core.falsification.violations import Claims
from certssb_core.pipeline.context import RunContext, open_context
from certssb_core.pipeline.engines.local import Engine
from certssb_core.runs.files import PUBLISHED_SEED
from certssb_core.runs.run import Run
from certssb_core.smoothing.seeds import generator

INPUTS, MEMBERS = 8, 200
"""Inputs attacked, and members that take part, at most."""
STEPS, STEP, MOMENTUM = 100, 0.2, 0.9
"""Gradient steps, the length of the first in units of σ, which falls linearly, and how much of the last one stays."""
SHARPER = 3.0
"""Factor on logits while climbing: softmax then comes closer to the votes that are counted."""
JUDGING_DRAWS = 50
"""Fresh draws per member that tell a class's true probability."""
LEVEL = 0.001
"""Failure probability of the interval for the true probability, on either side."""
CONTESTED = 0.65
"""Probability of the claimed class at the start: where votes are contested there is most to gain."""


def attack_with_known_noise(run: Run, engine: Engine, claims: Claims, *, deadline: float, seed: int) -> dict[str, Any]:
    """Attack some certified inputs of a run whose seed is public or published, until the time is up.

    Returns:
        ``known_noise`` of falsification.json: ``inputs``, how many claims are ``false_known`` (by the known noise) and
        ``false_fresh`` (by fresh noise at the same input), and ``rows``; or the ``reason`` why nothing was tried.
    """
    if run.config.noise_seed != "public" and not (run.path / PUBLISHED_SEED).exists():
        return {"inputs": 0, "reason": "the seed of the noise is secret: nobody can know it"}
    held = [member for members, _ in shards.shards(run.path / "members") for member in members]
    chosen = generator(seed, "known noise inputs").permutation(len(claims))[:INPUTS]
    work = [(run.path, tuple(held[:MEMBERS]), claims, int(row), seed) for row in chosen]
    rows = [row for _, row in engine.map(mislead, until(deadline, work)) if row]
    if not rows:
        return {"inputs": 0, "reason": "the time was up before an input was found"}
    return {
        "inputs": len(rows),
        "members": len(held[:MEMBERS]),
        "false_known": sum(row["claimed_known"] > row["true_high"] for row in rows),
        "false_fresh": sum(row["claimed_fresh"] > row["true_high"] for row in rows),
        "rows": sorted(rows, key=lambda row: (row["set"], row["index"])),
    }


def known_noise_in_words(found: dict[str, Any] | None) -> str:
    """Say what knowing the noise is worth to an attacker."""
    if not found or not found["inputs"]:
        return (found or {}).get("reason", "not tried")
    return (
        f"an attacker who knows it makes {found['false_known']} of {found['inputs']} claims false; at the same inputs, "
        f"fresh noise gives {found['false_fresh']} false claims. No certificate covers inputs chosen with known noise"
    )


def mislead(path: Path, members: tuple[int, ...], claims: Claims, row: int, seed: int) -> dict[str, Any]:
    """Task: climb from a contested point near claim ``row`` to where the known noise overstates; judge it afresh.

    Empty where no other certified input answers another class.
    """
    context, own = open_context(path), int(claims.prediction[row])
    others = np.flatnonzero(claims.prediction != own)
    if not len(others):
        return {}
    change = (claims.images[others] - claims.images[row]).reshape(len(others), -1)
    other = others[np.linalg.norm(change, axis=1).argmin()]
    sigma = torch.tensor([claims.sigma[row]], device=context.device)
    ensemble = _Ensemble(context, dict(zip(members, networks(path, members), strict=True)), sigma, own, seed)
    point = ensemble.contested(*(torch.from_numpy(claims.images[one][None]) for one in (row, other)))
    point = ensemble.climb(point.to(context.device))

    bound = BOUNDS[claims.bound] if BOUNDS[claims.bound].vote == "hard" else BOUNDS["clopper-pearson"]
    known, fresh = ensemble.votes(point, context), ensemble.votes(point, with_fresh_noise(context, seed, 1))
    true = np.sum(
        [ensemble.votes(point, with_fresh_noise(context, seed, 2 + draw)) for draw in range(JUDGING_DRAWS)], axis=0
    )
    told = [bound.class_bounds(votes[None], int(votes.sum()), claims.alpha) for votes in (known, fresh)]
    claimed = [float(one.p_a_lower[0]) if one.top[0] == own else 0.0 for one in told]
    total = int(true.sum())
    return {
        "set": str(claims.sets[row]),
        "index": int(claims.indices[row]),
        "class": own,
        "votes_known": int(known[own]),
        "votes_fresh": int(fresh[own]),
        "claimed_known": claimed[0],
        "claimed_fresh": claimed[1],
        "true": float(true[own] / total),
        "true_low": float(clopper_pearson_lower(true[own], total, LEVEL)),
        "true_high": float(clopper_pearson_upper(true[own], total, LEVEL)),
    }


class _Ensemble:
    """Some members, asked about one point at a time at one σ."""

    def __init__(
        self, context: RunContext, networks: dict[int, nn.Module], sigma: torch.Tensor, own: int, seed: int
    ) -> None:
        self._context, self._networks, self._sigma, self._own, self._seed = context, networks, sigma, own, seed

    def probability(self, point: torch.Tensor, context: RunContext) -> torch.Tensor:
        """Mean softmax of the claimed class under the noise of ``context``; differentiable."""
        found = [
            network(context.test_inputs(point, self._sigma, member=member))
            .float()
            .mul(SHARPER)
            .softmax(1)[0, self._own]
            for member, network in self._networks.items()
        ]
        return torch.stack(found).mean()

    def contested(self, image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The point on the way to another class at which the claimed one has probability :data:`CONTESTED`."""
        low, high = 0.0, 1.0
        for step in range(8):
            middle = (low + high) / 2
            with torch.no_grad():
                fresh = with_fresh_noise(self._context, self._seed, -10 - step)
                leads = self.probability((image + middle * (other - image)).to(self._sigma.device), fresh) > CONTESTED
            low, high = (middle, high) if leads else (low, middle)
        return image + low * (other - image)

    def climb(self, point: torch.Tensor) -> torch.Tensor:
        """Raise what the known noise says above what fresh noise says, drawn anew at every step."""
        direction = torch.zeros_like(point)
        for step in range(STEPS):
            point = point.detach().requires_grad_(True)
            fresh = with_fresh_noise(self._context, self._seed, -100 - step)
            gain = self.probability(point, self._context) - self.probability(point, fresh)
            (gradient,) = torch.autograd.grad(gain, point)
            direction = MOMENTUM * direction + gradient
            length = STEP * float(self._sigma) * (1 - step / STEPS)
            point = point.detach() + length * direction / direction.norm().clamp_min(1e-12)
        return point

    def votes(self, point: torch.Tensor, context: RunContext) -> np.ndarray:
        """Votes per class ``(classes,)`` of all members under the noise of ``context``."""
        asked, sigma = point.detach().cpu().numpy(), self._sigma.cpu().numpy()
        cast = [ballot(context, network, member, asked, sigma)[0] for member, network in self._networks.items()]
        return np.bincount(cast, minlength=int(context.tensors["classes"]))
