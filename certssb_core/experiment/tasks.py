"""The units of work that engines spread over processes: a single model, σ* of some images, a member.

A task knows the run's folder and a number; everything else it reads there, so that it can run in any process
on any machine that sees the folder. On the CPU every task runs on one thread: its result does not depend
on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from certssb_core.ensemble import shards
from certssb_core.ensemble.models import build
from certssb_core.ensemble.training import train
from certssb_core.ensemble.voting import vote
from certssb_core.experiment import files
from certssb_core.experiment.config import RunConfig
from certssb_core.experiment.inputs import SETS, Inputs
from certssb_core.experiment.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.preprocessing import PREPROCESSING
from certssb_core.smoothing.sigma import Search, ascend, leading_class, probability_cap, radius_curve

SINGLES = {"undefended": -1, "base": -2}
"""The two models outside the ensemble, and the member numbers that seed them. They never vote."""

SEARCH_PIXELS = 64 * 28 * 28
"""Pixels of the images that the σ* search holds at once (times its draws): 64 of MNIST, one at 224×224."""

STORAGE = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def scratch_path(run: Run) -> Path:
    """The run's images as tensors, mapped by every worker, so that they lie in memory once."""
    return run.path / "scratch.safetensors"


@dataclass(frozen=True, eq=False)
class Workbench:
    """What the tasks of one run share: its config and its tensors, on its device.

    The world of a run is its images and its seed: another world is a copy with other ones.
    """

    run: Run
    config: RunConfig
    device: torch.device
    tensors: dict[str, torch.Tensor]
    seed: int

    def network(self, member: int) -> nn.Module:
        images = self.tensors["clean"]
        return build(
            self.config.training.model,
            channels=images.shape[1],
            side=images.shape[2],
            classes=int(self.tensors["classes"]),
            seed=self.seed,
            member=member,
        ).to(self.device)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.training.precision == "bfloat16")

    def fit(self, network: nn.Module, sigma: torch.Tensor | None, *, member: int, epochs: int) -> nn.Module:
        """Train on the poisoned set; under the noise law where ``sigma`` ``(n,)`` is given."""
        images, labels = self.tensors["train"], self.tensors["labels"]
        if sigma is not None:
            law = NOISE_LAWS[self.config.noise.law]
            copy = law.training_set(images, labels, sigma, seed=self.seed, member=member)
            images, labels = PREPROCESSING[self.config.noise.preprocessing](copy.images), copy.labels
        training = self.config.training
        return train(
            network,
            images,
            labels,
            epochs=epochs,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            precision=training.precision,
            seed=self.seed,
            member=member,
        )

    def trained(self, member: int, sigma: torch.Tensor) -> nn.Module:
        """Member ``member``, trained on its noisy copy at ``sigma`` ``(n,)``."""
        return self.fit(self.network(member), sigma, member=member, epochs=self.config.training.epochs)

    def rounded(self, network: nn.Module) -> nn.Module:
        """The same network, its weights rounded to what is stored: members vote so."""
        stored = STORAGE[self.config.training.storage]
        network.load_state_dict({name: weight.to(stored) for name, weight in network.state_dict().items()})
        return network


def write_scratch(run: Run, inputs: Inputs) -> None:
    """Lay the run's images out for its workers."""
    arrays = {
        "train": inputs.poisoned.images,
        "labels": inputs.poisoned.labels,
        "clean": inputs.dataset.test_images,
        "triggered": inputs.triggered,
        "test_labels": inputs.dataset.test_labels,
        "classes": np.array(len(inputs.dataset.classes)),
    }
    files.write_arrays(scratch_path(run), arrays)


@lru_cache(maxsize=1)
def workbench(path: Path) -> Workbench:
    run = Run(path)
    device = torch.device(run.config.training.device)
    tensors = {name: tensor.to(device) for name, tensor in shards.read(scratch_path(run)).items()}
    return Workbench(run=run, config=run.config, device=device, tensors=tensors, seed=run.config.seed)


@lru_cache(maxsize=1)
def base_network(path: Path) -> nn.Module:
    bench = workbench(path)
    network = bench.network(SINGLES["base"])
    network.load_state_dict(shards.read(single_path(bench.run, "base")))
    return network.eval()


@lru_cache(maxsize=1)
def noise_levels(path: Path) -> dict[str, torch.Tensor]:
    bench = workbench(path)
    levels = bench.run.arrays("sigma")
    return {name: torch.from_numpy(levels[name]).to(bench.device) for name in ("train", *SETS) if name in levels}


def single_path(run: Run, kind: str) -> Path:
    return run.path / "models" / f"{kind}.safetensors"


def train_single(path: Path, kind: str) -> dict[str, np.ndarray]:
    """Train the undefended model (no noise) or the base classifier (uniform σ₀) and save it.

    Returns:
        its hard votes on the clean and the triggered test images, without noise.
    """
    bench = workbench(path)
    member = SINGLES[kind]
    sigma = torch.full((len(bench.tensors["train"]),), bench.config.noise.sigma) if kind == "base" else None
    network = bench.fit(bench.network(member), sigma, member=member, epochs=bench.config.training.single_epochs)
    files.write_atomically(single_path(bench.run, kind), lambda part: shards.save_tensors(part, network.state_dict()))
    return {which: vote(network, bench.tensors[which]).hard.cpu().numpy() for which in SETS}


def search_sigma(path: Path, which: str, start: int, stop: int) -> dict[str, np.ndarray]:
    """σ* of images ``start`` to ``stop`` of a set, with their ascent paths."""
    bench = workbench(path)
    images = bench.tensors[which][start:stop]
    with bench.autocast():
        ascent = ascend(
            base_network(path),
            images,
            search_settings(bench.config),
            seed=bench.seed,
            batch_size=max(1, SEARCH_PIXELS // images[0].numel()),
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
    bench = workbench(path)
    search = search_settings(bench.config)
    images = bench.tensors[which][list(index)]
    with bench.autocast():
        network = base_network(path)
        anchor = leading_class(network, images, sigma=search.sigma, draws=search.draws, seed=bench.seed)
        points = torch.tensor(grid, dtype=torch.float64, device=bench.device)
        curve = radius_curve(network, images, points, anchor=anchor, draws=64, p_cap=search.p_cap, seed=bench.seed)
    return curve.cpu().numpy()


def train_member(path: Path, member: int) -> float:
    """Train member ``member`` on its noisy copy, let it vote, and save weights and votes in one part file.

    Returns:
        its own accuracy on the clean test images under the run's test noise.
    """
    bench = workbench(path)
    return let_vote(path, bench.trained(member, noise_levels(path)["train"]), member=member)


def let_vote(path: Path, network: nn.Module, *, member: int) -> float:
    """Round ``network`` to the stored precision, let it vote as ``member``, and save weights and votes.

    Returns:
        its own accuracy on the clean test images under the run's test noise.
    """
    bench, levels = workbench(path), noise_levels(path)
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
    part = shards.part_path(bench.run.path / "members", member)
    files.write_atomically(part, lambda partial: shards.save_tensors(partial, tensors))
    votes = tensors["votes/clean/" + ("uniform" if bench.config.noise.chosen_by_votes else bench.config.noise.test_map)]
    return (votes == bench.tensors["test_labels"]).float().mean().item()


def test_levels(config: RunConfig, sigma: torch.Tensor) -> dict[str, torch.Tensor]:
    """The noise at which test inputs are voted on: always the uniform σ₀, and σ*_x where the run has it."""
    levels = {"uniform": torch.full_like(sigma, config.noise.sigma)}
    if config.noise.test_map == "sample-specific":
        levels["sample-specific"] = sigma
    return levels


def candidate_levels(config: RunConfig, sigma: torch.Tensor) -> Iterator[torch.Tensor]:
    """Every candidate σ in turn, as one level per input, like ``sigma`` ``(n,)``."""
    return (torch.full_like(sigma, candidate) for candidate in config.noise.test_candidates)
