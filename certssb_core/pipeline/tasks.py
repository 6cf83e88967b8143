"""The units of work that engines spread over processes: a single model, σ* of some images, a member.

A task knows the run's folder and a number; everything else it reads there, so that it can run in any process
on any machine that sees the folder. On the CPU every task runs on one thread: its result does not depend
on how many workers there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from certssb_core.attacks.clean_label import CRAFTS, STAMPED, Plan
from certssb_core.certify.bounds.registry import BOUNDS, largest_probability
from certssb_core.certify.margin_votes import in_steps
from certssb_core.certify.run_off import in_ranks
from certssb_core.config.schema import RunConfig
from certssb_core.data.poisoning import METHODS
from certssb_core.data.triggers import apply_trigger
from certssb_core.ensemble import shards
from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.out_of_memory import halving
from certssb_core.ensemble.training import Diverged, diverged
from certssb_core.ensemble.voting import Ballot, vote, vote_as_stack
from certssb_core.errors import RunError
from certssb_core.pipeline.context import (
    ATTEMPTS,
    SINGLES,
    STORAGE,
    RunContext,
    base_network,
    context_of,
    noise_levels,
    open_context,
    single_path,
)
from certssb_core.results.permuted_levels import PERMUTED
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, Inputs, run_inputs, trigger_settings
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS, NoisyInputs
from certssb_core.smoothing.permutation import permutation
from certssb_core.smoothing.seeds import generator
from certssb_core.smoothing.sigma_search import Search, SearchResult, ascend, leading_class, radius_curve

SURROGATES = (-3, -4)
"""Member numbers that seed the attacker's own models, on clean data."""

AIMED = 256
"""Maximum number of triggered training images that poisons are crafted against."""

SEARCH_PIXELS = 64 * 28 * 28
"""Pixels of the images that the σ* search holds at once (times its draws): 64 of MNIST, one at 224×224."""

SEARCH_ON_GPU = 16
"""So many times as many images a task and a batch on a GPU, which a few leave idle."""

LEAST_CAP = 0.501
"""p_cap of a search whose votes can certify nothing: σ* then means nothing, but it exists."""


def train_single(path: Path, kind: str) -> dict[str, np.ndarray]:
    """Train the undefended model (no noise) or the base classifier and save it.

    Returns:
        its hard votes on the clean and the triggered test images, without noise.
    """
    context = open_context(path)
    try:
        network = context.base_classifier() if kind == "base" else context.trained(SINGLES[kind], None)
    except Diverged:
        raise RunError(f"the {kind} model diverged {ATTEMPTS} times: start a run with a lower learning rate") from None
    files.write_atomically(single_path(Run(path), kind), lambda part: shards.save_tensors(part, network.state_dict()))
    return {which: vote(network, context.tensors[which]).hard.cpu().numpy() for which in SETS}


def craft(path: Path) -> np.ndarray:
    """Craft the poisoned images of a run's clean-label attack: ``(k, C, H, W)``."""
    run = Run(path)
    return crafted(run.config, run_inputs(run))


def crafted(config: RunConfig, inputs: Inputs) -> np.ndarray:
    """Craft the poisoned images of a clean-label attack by gradient: ``(k, C, H, W)``.

    The attacker's models are trained as the undefended one is, on the clean data, from other seeds.

    Args:
        config: settled, see :mod:`.resolve_auto`.
        inputs: not poisoned yet.
    """
    attack = config.attack
    context = context_of(config, inputs)
    networks = [
        context.fit(context.network(member), None, member=member, epochs=config.training.single_epochs)
        for member in SURROGATES
    ]
    if METHODS[attack.method].victims:
        aims = inputs.dataset.test_images[inputs.measures_attack]
    else:
        others = inputs.poisoned.images[inputs.poisoned.labels != attack.target][:AIMED]
        aims = apply_trigger(others, **trigger_settings(attack))
    poisons = CRAFTS[attack.method](
        Plan(
            networks=[network.requires_grad_(False) for network in networks],
            bases=context.tensors["train"][inputs.poisoned.indices],
            target=attack.target,
            aims=torch.from_numpy(aims).to(context.device),
            victims=METHODS[attack.method].victims,
            budget=attack.budget,
            steps=attack.craft_steps,
            seed=config.seed,
        )
    )
    made = poisons.cpu().numpy()
    return apply_trigger(made, **trigger_settings(attack)) if attack.method in STAMPED else made


def search_sigma(path: Path, which: str, start: int, stop: int) -> dict[str, np.ndarray]:
    """Find σ* of images ``start`` to ``stop`` of a set, and keep their ascent paths."""
    ascent = searched(open_context(path), base_network(path), which, start, stop)
    return {
        "sigma": ascent.sigma.cpu().numpy(),
        "path_sigma": ascent.path_sigma.cpu().numpy(),
        "path_radius": ascent.path_radius.cpu().numpy(),
    }


def searched(context: RunContext, base: nn.Module, which: str, start: int, stop: int) -> SearchResult:
    """Find σ* of images ``start`` to ``stop`` of a set on the base classifier."""
    images = context.before_noise[which][start:stop]
    search = search_settings(context.config, int(context.tensors["classes"]))
    with context.autocast():
        return halving(
            lambda held: ascend(base, images, search, seed=context.seed, batch_size=held),
            max(1, SEARCH_PIXELS * search_factor(context.config) // images[0].numel()),
        )


def search_factor(config: RunConfig) -> int:
    """Factor on the images that the search for σ* holds at once, on the run's device."""
    return SEARCH_ON_GPU if config.training.device == "cuda" else 1


def search_settings(config: RunConfig, classes: int) -> Search:
    """The settings of the σ* search of a run with so many classes."""
    noise, rule = config.noise, config.certification
    most = largest_probability(rule.bound, members=config.training.members, classes=classes, alpha=rule.alpha)
    return Search(
        sigma=noise.sigma,
        low=noise.sigma_min,
        high=noise.sigma_max,
        candidates=noise.candidates,
        iterations=noise.iterations,
        step=noise.step,
        draws=noise.draws,
        p_cap=max(most, LEAST_CAP),
    )


def trace_curves(path: Path, which: str, index: tuple[int, ...], grid: tuple[float, ...]) -> np.ndarray:
    """r(x, σ) of some images on a grid of σ: ``(len(index), len(grid))``."""
    return curves(open_context(path), base_network(path), which, index, grid)


def curves(
    context: RunContext, network: nn.Module, which: str, index: tuple[int, ...], grid: tuple[float, ...]
) -> np.ndarray:
    """r(x, σ) of some images of a context, by its base classifier: ``(len(index), len(grid))``."""
    search = search_settings(context.config, int(context.tensors["classes"]))
    images = context.before_noise[which][list(index)]
    with context.autocast():
        anchor = leading_class(network, images, sigma=search.sigma, draws=search.draws, seed=context.seed)
        points = torch.tensor(grid, dtype=torch.float64, device=context.device)
        curve = radius_curve(network, images, points, anchor=anchor, draws=64, p_cap=search.p_cap, seed=context.seed)
    return curve.cpu().numpy()


@dataclass(frozen=True)
class Trained:
    """The outcome of training a member: its ``accuracy`` on clean test images under the run's test noise, None where
    it is left out; and a sentence for every attempt that ``diverged``."""

    accuracy: float | None
    diverged: tuple[str, ...] = ()


def train_members(path: Path, *members: int) -> list[Trained]:
    """Train members on their noisy copies, let them vote, and save weights and votes in one part file."""
    found, told = trained_members(open_context(path), noise_levels(path)["train"], members)
    if not found:
        for member in members:
            files.write_atomically(shards.part_path(path / "members", member), shards.leave_out)
    accuracy = let_vote(path, found, members) if found else {}
    return [Trained(accuracy.get(member), tuple(told[member])) for member in members]


def trained_members(
    context: RunContext, sigma: torch.Tensor, members: Sequence[int]
) -> tuple[dict[int, nn.Module], dict[int, list[str]]]:
    """Train members on their noisy copies at ``sigma`` ``(n_train,)``.

    Several members are trained as one computation. One that diverges is trained again alone. A member that diverges at
    every attempt is left out. That follows from its own training alone, never from a test input, so the test noise of
    the others is what it was and their test radius stands.

    Returns:
        the members that did not diverge, and per member in words every attempt that did.
    """
    told: dict[int, list[str]] = {member: [] for member in members}
    found: dict[int, nn.Module] = {}
    if len(members) > 1:
        networks = _trained_together(context, members, sigma)
        for member, network, lost in zip(members, networks, diverged(networks), strict=True):
            if lost:
                reason = Diverged(member, context.config.training.learning_rate)
                told[member].append(f"{reason}, attempt 1 of {ATTEMPTS}")
            else:
                found[member] = network
    for member in members:
        if member not in found:
            with contextlib.suppress(Diverged):
                found[member] = context.trained(member, sigma, before=len(told[member]), tell=told[member].append)
    return {member: found[member] for member in members if member in found}, told


def _trained_together(context: RunContext, members: Sequence[int], sigma: torch.Tensor) -> list[nn.Module]:
    def groups_of(held: int) -> list[nn.Module]:
        starts = range(0, len(members), held)
        return [made for start in starts for made in context.trained_together(members[start : start + held], sigma)]

    return halving(groups_of, len(members))


def let_vote(path: Path, networks: dict[int, nn.Module], members: Sequence[int]) -> dict[int, float]:
    """Round ``networks`` to the stored precision, let each vote as the member it is, and save weights and votes.

    Args:
        members: those made together, in a row; whoever has no network is left out.

    Returns:
        per member its own accuracy on the clean test images under the run's test noise.

    Raises:
        RunError: an answer is no number, see :func:`cast_votes`.
    """
    context = open_context(path)
    config, stored = context.config, STORAGE[context.config.training.storage]
    weights = {
        member: {
            shards.WEIGHT + name: weight.to(stored) for name, weight in context.rounded(network).state_dict().items()
        }
        for member, network in networks.items()
    }
    votes = cast_votes(context, networks, noise_levels(path))
    made = [weights[member] | votes[member] for member in networks]
    if len(members) == 1:
        (tensors,), part = made, shards.part_path(path / "members", members[0])
    else:
        part = shards.part_path(path / "members", members[0], members[-1])
        tensors = {name: torch.stack([one[name] for one in made]) for name in made[0]}
        tensors[shards.MEMBERS] = torch.tensor([*networks], dtype=torch.int64)
    files.write_atomically(part, partial(shards.save_part, tensors=tensors))
    test_map = "uniform" if config.noise.chosen_by_votes else config.noise.test_map
    right = torch.stack([one[f"votes/clean/{test_map}"] for one in made]) == context.tensors["test_labels"]
    return dict(zip(networks, right.float().mean(1).tolist(), strict=True))


def cast_votes(
    context: RunContext, networks: dict[int, nn.Module], levels: dict[str, torch.Tensor]
) -> dict[int, dict[str, torch.Tensor]]:
    """Let ``networks`` vote on the test sets, each as the member it is.

    Args:
        networks: by member, with their weights as stored.
        levels: of the test sets, the noise levels ``(n,)``.

    Returns:
        per member ``votes/SET/MAP`` ``(n,)`` uint8 and ``softmax/SET/MAP`` ``(n, C)``; of candidates ``(K, n, …)``;
        ``votes/SET/margins`` ``(n,)`` uint8 where the certificate counts margins; ``votes/SET/ranks`` ``(n, C)`` uint8
        where it counts rankings; ``votes/clean/permuted`` ``(k,)`` uint8 where test inputs have a σ* each.

    Raises:
        RunError: an answer is NaN. The member is not dropped, or test inputs would choose the voters.
    """
    config = context.config
    tensors: dict[int, dict[str, torch.Tensor]] = {member: {} for member in networks}
    draws = {member: context.test_draw(member) for member in networks}
    for which in SETS:
        sigma = levels[which]
        ask = partial(_ballots, context, networks, draws)
        images = context.before_noise[which]
        for noise_map, level in test_levels(config, sigma).items():
            for member, ballot in ask(images, level).items():
                tensors[member] |= {
                    f"votes/{which}/{noise_map}": ballot.hard,
                    f"softmax/{which}/{noise_map}": ballot.softmax,
                }
                if ballot.margin is not None:
                    steps = in_steps(ballot.margin.cpu().numpy())
                    tensors[member][f"votes/{which}/margins"] = torch.from_numpy(steps)
                if ballot.order is not None:
                    tensors[member][f"votes/{which}/ranks"] = torch.from_numpy(in_ranks(ballot.order.cpu().numpy()))
        if config.noise.chosen_by_votes:
            every = [ask(images, level) for level in candidate_levels(config, sigma)]
            for member in networks:
                tensors[member] |= {
                    f"votes/{which}/candidates": torch.stack([ballots[member].hard for ballots in every]),
                    f"softmax/{which}/candidates": torch.stack([ballots[member].softmax for ballots in every]),
                }
        if which == "clean" and config.noise.searches_test:
            chosen = permutation(len(sigma), seed=config.seed)
            rows, sources = (torch.from_numpy(places).to(sigma.device) for places in chosen)
            for member, ballot in ask(images[rows], sigma[sources]).items():
                tensors[member][PERMUTED] = ballot.hard
    softmax = [name for name in next(iter(tensors.values())) if name.startswith("softmax/")]
    finite = [torch.stack([cast[name].isfinite().all() for name in softmax]).all() for cast in tensors.values()]
    for member, fine in zip(tensors, torch.stack(finite).tolist(), strict=True):  # a GPU's host waits once
        if not fine:
            raise RunError(
                f"member {member} answers with values that are not numbers, though its weights are: nothing can be "
                "voted. Start a run with a lower learning rate or less noise"
            )
    return tensors


def _ballots(
    context: RunContext,
    networks: dict[int, nn.Module],
    draws: dict[int, torch.Tensor],
    images: torch.Tensor,
    sigma: torch.Tensor,
) -> dict[int, Ballot]:
    """Let every member vote on ``images`` ``(n, C, H, W)`` under its own draw, at level ``sigma`` ``(n,)``."""
    kind, precision = context.config.kind, context.config.training.precision
    how: dict[str, Any] = {"precision": precision, "margins": kind.margins, "order": kind.ranks}
    under = partial(NoisyInputs, NOISE_LAWS[context.config.noise.law], images, sigma)
    if len(networks) == 1:
        ((member, network),) = networks.items()
        return {member: vote(network, under(draws[member]), **how)}

    def together(held: int) -> dict[int, Ballot]:
        found: dict[int, Ballot] = {}
        for start in range(0, len(networks), held):
            some = [*networks][start : start + held]
            weights = stacked_weights([networks[member] for member in some])
            inputs = under(torch.stack([draws[member] for member in some]))
            ballot = vote_as_stack(networks[some[0]], weights, inputs, **how)
            found |= {member: ballot.of(place) for place, member in enumerate(some)}
        return found

    return halving(together, len(networks))


def bound_draws(config: RunConfig, counts: Mapping[str, int], *, seed: int) -> dict[str, np.ndarray]:
    """One uniform draw per input for a randomised bound, as ``draws/SET`` ``(n,)``; empty where the bound takes none.

    They follow from the seed of the run's noise and are independent of all noise.

    Args:
        counts: number of inputs of each test set.
    """
    if not BOUNDS[config.certification.bound].randomised:
        return {}
    draws = {which: generator(seed, f"bound draw, {which}") for which in counts}
    return {f"draws/{which}": draws[which].random(count) for which, count in counts.items()}


def permuted_inputs(config: RunConfig, count: int) -> dict[str, np.ndarray]:
    """The inputs of ``votes/clean/permuted`` and whose σ* each was asked at; empty where there are none."""
    if not config.noise.searches_test:
        return {}
    rows, sources = permutation(count, seed=config.seed)
    return {"permuted/inputs": rows, "permuted/sources": sources}


def test_levels(config: RunConfig, sigma: torch.Tensor) -> dict[str, torch.Tensor]:
    """The noise levels at which members vote on test inputs: one level for all, and σ*_x where the run has it."""
    levels = {"uniform": torch.full_like(sigma, config.noise.level)}
    if config.noise.searches_test:
        levels["sample-specific"] = sigma
    return levels


def candidate_levels(config: RunConfig, sigma: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield every candidate σ as one level per input, shaped like ``sigma`` ``(n,)``."""
    return (torch.full_like(sigma, candidate) for candidate in config.noise.test_candidates)
