"""The stages of a run as functions of arrays, for notebooks: the worker's computation, with nothing written to disk.

The same config gives the same numbers as a run of it on the same kind of device. A run is what to start for many
members: its workers use every core, it can be stopped and resumed, and the dashboard shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from certssb_core.config.schema import RunConfig
from certssb_core.ensemble.training import Diverged
from certssb_core.ensemble.voting import vote
from certssb_core.errors import RunError
from certssb_core.pipeline.context import ATTEMPTS, SINGLES, RunContext, context_of
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.pipeline.sigma_stage import CHUNK
from certssb_core.pipeline.tasks import bound_draws, cast_votes, crafted, permuted_inputs, searched, trained_members
from certssb_core.results.attack_verdict import undefended_metrics
from certssb_core.results.votes import RunVotes, run_votes
from certssb_core.runs.inputs import SETS, Inputs


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained members that have not voted yet.

    Attributes:
        context: the images and the config that they were trained on.
        networks: by member, in evaluation mode, weights rounded as a run stores them.
        left_out: members that diverged at every attempt.
        sigma: ``{"train": (n_train,), "clean": (n,), "triggered": (n,)}`` float64, as :func:`find_sigma` gives it.
    """

    context: RunContext
    networks: dict[int, nn.Module]
    left_out: tuple[int, ...]
    sigma: Mapping[str, np.ndarray]


def craft_poisons(config: RunConfig, inputs: Inputs) -> np.ndarray:
    """Craft the images of a clean-label attack by gradient; pass them on as ``load_inputs(config, crafted=…)``.

    Args:
        inputs: not poisoned yet, ``load_inputs(config)``.

    Returns:
        ``(k, C, H, W)`` float32 in [0, 1].
    """
    with _one_thread():
        return crafted(settled(config, inputs), inputs)


def find_sigma(config: RunConfig, inputs: Inputs) -> dict[str, np.ndarray]:
    """Find the noise level of every image: σ* by ascent on a base classifier, or one level for all (docs/method.md §3).

    The base classifier is trained here, on the poisoned set; it never votes.

    Returns:
        ``{"train": (n_train,), "clean": (n,), "triggered": (n,)}`` float64, pixel units (of noise that flips
        features, the probability that one is kept).

    Raises:
        RunError: the base classifier diverged, or the config asks for a device that is not present.
    """
    config = settled(config, inputs)
    context, noise = context_of(config, inputs), config.noise
    maps = {"train": noise.train_map} | dict.fromkeys(SETS, noise.test_map)
    counts = {"train": len(inputs.poisoned.labels)} | dict.fromkeys(SETS, len(inputs.dataset.test_labels))
    sigma = {which: np.full(count, noise.level) for which, count in counts.items()}
    wanted = [which for which, noise_map in maps.items() if noise_map == "sample-specific"]
    with _one_thread():
        base = _base_classifier(context) if wanted else nn.Identity()
        for which in wanted:
            parts = [searched(context, base, which, start, start + CHUNK) for start in range(0, counts[which], CHUNK)]
            sigma[which] = torch.cat([part.sigma for part in parts]).cpu().numpy()
    return sigma


def train_ensemble(config: RunConfig, inputs: Inputs, sigma: Mapping[str, np.ndarray]) -> Ensemble:
    """Train ``config.training.members`` members, each on its own noisy copy of the poisoned set.

    Args:
        sigma: as :func:`find_sigma` gives it. Certificates about changes of the training images hold for these levels
            as fixed.

    Raises:
        RunError: every member diverged.
    """
    config = settled(config, inputs)
    context, members = context_of(config, inputs), range(config.training.members)
    levels = torch.from_numpy(sigma["train"]).to(context.device)
    networks: dict[int, nn.Module] = {}
    with _one_thread():
        for start in range(0, len(members), config.training.together or 1):
            trained, _ = trained_members(context, levels, members[start : start + (config.training.together or 1)])
            networks |= {member: context.rounded(network) for member, network in trained.items()}
    if not networks:
        raise RunError("every member diverged: lower training.learning_rate")
    return Ensemble(context, networks, tuple(m for m in members if m not in networks), sigma)


def collect_votes(ensemble: Ensemble) -> RunVotes:
    """Let members vote on the clean and the triggered test images, each under its test noise (docs/method.md §2)."""
    context, sigma = ensemble.context, ensemble.sigma
    levels = {which: torch.from_numpy(sigma[which]).to(context.device) for which in SETS}
    with _one_thread():
        cast = [
            votes
            for member, network in ensemble.networks.items()
            for votes in cast_votes(context, {member: network}, levels).values()
        ]

    votes: dict[str, np.ndarray] = {}
    for name in cast[0]:
        stacked = torch.stack([one[name] for one in cast])
        votes[name] = (stacked if name.startswith("votes/") else stacked.double().mean(0)).cpu().numpy()
    votes["labels"] = context.tensors["test_labels"].cpu().numpy()
    votes |= bound_draws(context.config, dict.fromkeys(SETS, len(votes["labels"])), seed=context.seed)
    votes |= permuted_inputs(context.config, len(votes["labels"]))
    if ensemble.left_out:
        votes["left_out"] = np.array(ensemble.left_out, np.int64)
    return run_votes(context.config, votes, sigma)


def measure_undefended(config: RunConfig, inputs: Inputs) -> dict[str, Any]:
    """Train a model without noise on the poisoned set, and measure the attack's success on it.

    Args:
        inputs: already poisoned; of a clean-label attack with its crafted images.

    Returns:
        the ``undefended`` part of a run's metrics.json (:func:`undefended_metrics`).

    Raises:
        RunError: the model diverged, or the config asks for a device that is not present.
    """
    context = context_of(settled(config, inputs), inputs)
    with _one_thread():
        try:
            network = context.trained(SINGLES["undefended"], None)
        except Diverged:
            raise RunError(f"the undefended model diverged {ATTEMPTS} times: lower training.learning_rate") from None
        answers = {which: vote(network, context.tensors[which]).hard.cpu().numpy() for which in SETS}
    return undefended_metrics(
        answers,
        inputs.dataset.test_labels,
        config.attack,
        classes=len(inputs.dataset.classes),
        poisoned=len(inputs.poisoned.indices),
    )


def _base_classifier(context: RunContext) -> nn.Module:
    try:
        return context.base_classifier()
    except Diverged:
        raise RunError(f"the base model diverged {ATTEMPTS} times: lower training.learning_rate") from None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, as a run's workers do: sums are rounded in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
