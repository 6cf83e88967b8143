"""The units of work that engines spread over processes: a single model, σ* of some images, a member.

A task knows the run's folder and a number; everything else it reads there, so that it can run in any process
on any machine that sees the folder. On the CPU every task runs on one thread: its result does not depend
on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from certssb_core.data.poisoning import METHODS
from certssb_core.data.triggers import apply_trigger
from certssb_core.ensemble import shards
from certssb_core.ensemble.crafting import CRAFTS, STAMPED, Plan
from certssb_core.ensemble.memory import halving
from certssb_core.ensemble.training import Diverged
from certssb_core.ensemble.voting import vote
from certssb_core.experiment import files
from certssb_core.experiment.config import RunConfig
from certssb_core.experiment.inputs import SETS, load_inputs, trigger_settings
from certssb_core.experiment.run import Run, RunError
from certssb_core.experiment.workbench import (
    ATTEMPTS,
    SINGLES,
    STORAGE,
    Workbench,
    base_network,
    noise_levels,
    open_bench,
    single_path,
)
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.sigma import Search, ascend, leading_class, probability_cap, radius_curve

SURROGATES = (-3, -4)
"""Member numbers that seed the attacker's own models, on clean data."""

AIMED = 256
"""At most so many triggered training images that crafted poisons work on."""

SEARCH_PIXELS = 64 * 28 * 28
"""Pixels of the images that the σ* search holds at once (times its draws): 64 of MNIST, one at 224×224."""


def train_single(path: Path, kind: str) -> dict[str, np.ndarray]:
    """Train the undefended model (no noise) or the base classifier (uniform σ₀) and save it.

    Returns:
        its hard votes on the clean and the triggered test images, without noise.
    """
    bench = open_bench(path)
    member = SINGLES[kind]
    sigma = torch.full((len(bench.tensors["train"]),), bench.config.noise.sigma) if kind == "base" else None
    try:
        network = bench.trained(member, sigma)
    except Diverged:
        raise RunError(f"the {kind} model diverged {ATTEMPTS} times: start a run with a lower learning rate") from None
    files.write_atomically(single_path(bench.run, kind), lambda part: shards.save_tensors(part, network.state_dict()))
    return {which: vote(network, bench.tensors[which]).hard.cpu().numpy() for which in SETS}


def craft(path: Path) -> np.ndarray:
    """What the run's clean-label attack makes of the images it poisons: ``(k, C, H, W)``.

    The attacker's models are trained as the undefended one is, on the clean data, from other seeds. The images are not
    read through :func:`open_bench`, which would keep them as they are before the attack.
    """
    run = Run(path)
    inputs, attack, device = load_inputs(run.config), run.config.attack, torch.device(run.config.training.device)
    arrays = {"train": inputs.poisoned.images, "labels": inputs.poisoned.labels, "clean": inputs.dataset.test_images}
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    tensors["classes"] = torch.tensor(len(inputs.dataset.classes))
    bench = Workbench(run=run, config=run.config, device=device, tensors=tensors, seed=run.config.seed)
    networks = [
        bench.fit(bench.network(member), None, member=member, epochs=run.config.training.single_epochs)
        for member in SURROGATES
    ]
    if METHODS[attack.method].victims:
        aims = inputs.dataset.test_images[inputs.counts]
    else:
        others = inputs.poisoned.images[inputs.poisoned.labels != attack.target][:AIMED]
        aims = apply_trigger(others, **trigger_settings(attack))
    poisons = CRAFTS[attack.method](
        Plan(
            networks=[network.requires_grad_(False) for network in networks],
            bases=tensors["train"][inputs.poisoned.indices],
            target=attack.target,
            aims=torch.from_numpy(aims).to(device),
            victims=METHODS[attack.method].victims,
            budget=attack.budget,
            steps=attack.craft_steps,
        )
    )
    made = poisons.cpu().numpy()
    return apply_trigger(made, **trigger_settings(attack)) if attack.method in STAMPED else made


def search_sigma(path: Path, which: str, start: int, stop: int) -> dict[str, np.ndarray]:
    """σ* of images ``start`` to ``stop`` of a set, with their ascent paths."""
    bench = open_bench(path)
    images = bench.tensors[which][start:stop]
    with bench.autocast():
        network, search = base_network(path), search_settings(bench.config)
        ascent = halving(
            lambda held: ascend(network, images, search, seed=bench.seed, batch_size=held),
            max(1, SEARCH_PIXELS // images[0].numel()),
        )
    return {
        "sigma": ascent.sigma.cpu().numpy(),
        "path_sigma": ascent.path_sigma.cpu().numpy(),
        "path_radius": ascent.path_radius.cpu().numpy(),
    }


def search_settings(config: RunConfig) -> Search:
    """The settings of the σ* search that a config stands for."""
    noise = config.noise
    return Search(
        sigma=noise.sigma,
        low=noise.sigma_min,
        high=noise.sigma_max,
        candidates=noise.candidates,
        iterations=noise.iterations,
        step=noise.step,
        draws=noise.draws,
        p_cap=probability_cap(config.certification.alpha, config.training.members),
    )


def trace_curves(path: Path, which: str, index: tuple[int, ...], grid: tuple[float, ...]) -> np.ndarray:
    """r(x, σ) of some images on a grid of σ: ``(len(index), len(grid))``."""
    bench = open_bench(path)
    search = search_settings(bench.config)
    images = bench.tensors[which][list(index)]
    with bench.autocast():
        network = base_network(path)
        anchor = leading_class(network, images, sigma=search.sigma, draws=search.draws, seed=bench.seed)
        points = torch.tensor(grid, dtype=torch.float64, device=bench.device)
        curve = radius_curve(network, images, points, anchor=anchor, draws=64, p_cap=search.p_cap, seed=bench.seed)
    return curve.cpu().numpy()


@dataclass(frozen=True)
class Trained:
    """What became of a member: its ``accuracy`` on clean test images under the run's test noise, None where it is
    left out; and in words every attempt that ``diverged``."""

    accuracy: float | None
    diverged: tuple[str, ...] = ()


def train_member(path: Path, member: int) -> Trained:
    """Train member ``member`` on its noisy copy, let it vote, and save weights and votes in one part file.

    A member that diverges at every attempt is left out. That follows from its own training alone, never from a test
    input, so the test noise of the others is what it was and their test radius stands.
    """
    bench, diverged = open_bench(path), []
    try:
        network = bench.trained(member, noise_levels(path)["train"], tell=diverged.append)
    except Diverged:
        files.write_atomically(shards.part_path(bench.run.path / "members", member), shards.leave_out)
        return Trained(None, tuple(diverged))
    return Trained(let_vote(path, network, member=member), tuple(diverged))


def let_vote(path: Path, network: nn.Module, *, member: int) -> float:
    """Round ``network`` to the stored precision, let it vote as ``member``, and save weights and votes.

    Returns:
        its own accuracy on the clean test images under the run's test noise.

    Raises:
        RunError: an answer is no number. It is not left out for that: then test inputs would choose who votes.
    """
    bench, levels = open_bench(path), noise_levels(path)
    weights = bench.rounded(network).state_dict()
    stored = STORAGE[bench.config.training.storage]
    tensors = {shards.WEIGHT + name: weight.to(stored) for name, weight in weights.items()}
    law = NOISE_LAWS[bench.config.noise.law]
    for which in SETS:
        images = bench.tensors[which]
        for noise_map, sigma in test_levels(bench.config, levels[which]).items():
            ballot = vote(network, law.test_inputs(images, sigma, seed=bench.seed, member=member))
            tensors[f"votes/{which}/{noise_map}"] = ballot.hard
            tensors[f"softmax/{which}/{noise_map}"] = ballot.softmax
        if bench.config.noise.chosen_by_votes:
            ballots = [
                vote(network, law.test_inputs(images, sigma, seed=bench.seed, member=member))
                for sigma in candidate_levels(bench.config, levels[which])
            ]
            tensors[f"votes/{which}/candidates"] = torch.stack([ballot.hard for ballot in ballots])
            tensors[f"softmax/{which}/candidates"] = torch.stack([ballot.softmax for ballot in ballots])
    if not all(answers.isfinite().all() for name, answers in tensors.items() if name.startswith("softmax/")):
        raise RunError(
            f"member {member} answers with values that are not numbers, though its weights are: nothing can be voted. "
            "Start a run with a lower learning rate or less noise"
        )
    part = shards.part_path(bench.run.path / "members", member)
    files.write_atomically(part, lambda partial: shards.save_part(partial, tensors))
    votes = tensors["votes/clean/" + ("uniform" if bench.config.noise.chosen_by_votes else bench.config.noise.test_map)]
    return (votes == bench.tensors["test_labels"]).float().mean().item()


def test_levels(config: RunConfig, sigma: torch.Tensor) -> dict[str, torch.Tensor]:
    """The noise at which test inputs are voted on: always one level for all, and σ*_x where the run has it."""
    levels = {"uniform": torch.full_like(sigma, config.noise.level)}
    if config.noise.test_map == "sample-specific":
        levels["sample-specific"] = sigma
    return levels


def candidate_levels(config: RunConfig, sigma: torch.Tensor) -> Iterator[torch.Tensor]:
    """Every candidate σ in turn, as one level per input, like ``sigma`` ``(n,)``."""
    return (torch.full_like(sigma, candidate) for candidate in config.noise.test_candidates)
