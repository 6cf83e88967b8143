"""The images, noise levels and networks of one run, read once per process, and the training of its members."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from certssb_core.certify.partition import offsets
from certssb_core.config.schema import RunConfig
from certssb_core.ensemble import shards
from certssb_core.ensemble.models import build, projected
from certssb_core.ensemble.training import Diverged, partition, seen_by, train, train_together
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, Inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS, TrainingSet
from certssb_core.smoothing.preprocessing import PREPROCESSING
from certssb_core.smoothing.seeds import generator, key

SINGLES = {"undefended": -1, "base": -2}
"""The two models outside the ensemble, and the member numbers that seed them. They never vote."""

ATTEMPTS = 2
"""How often a network that diverges is trained before it is left out."""

STORAGE = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def scratch_path(run: Run) -> Path:
    """The run's images as tensors, mapped by every worker, so that they lie in memory once."""
    return run.path / "scratch.safetensors"


@dataclass(frozen=True, eq=False)
class RunContext:
    """One run as its tasks see it: config, tensors on the device, and seed.

    Falsification changes a copy: other training images or another seed, everything else the same.
    """

    config: RunConfig
    device: torch.device
    tensors: dict[str, torch.Tensor]
    seed: int

    def network(self, member: int, attempt: int = 0) -> nn.Module:
        """A freshly initialised network on the run's device."""
        return self._built(member, attempt).to(self.device)

    def _built(self, member: int, attempt: int = 0) -> nn.Module:
        images = self.tensors["clean"]
        return build(
            self.model(member),
            channels=images.shape[1],
            side=images.shape[2],
            classes=int(self.tensors["classes"]),
            seed=self._own_seed(attempt),
            member=member,
        )

    def model(self, member: int) -> str:
        """The network's name: the undefended model and the attacker's own may be of another kind than the members."""
        training = self.config.training
        votes = member >= 0 or member == SINGLES["base"]
        return training.model if votes else training.undefended_network

    def test_inputs(self, images: torch.Tensor, sigma: torch.Tensor, *, member: int) -> torch.Tensor:
        """``images`` ``(n, C, H, W)`` under a member's own test noise of level ``sigma`` ``(n,)``."""
        law = NOISE_LAWS[self.config.noise.law]
        return law.test_inputs(images, sigma, seed=self.seed, member=member)

    def test_draw(self, member: int) -> torch.Tensor:
        """A member's test noise ``(1, C, H, W)``, the same for all inputs."""
        law = NOISE_LAWS[self.config.noise.law]
        return law.test_draw(self.before_noise["clean"], seed=self.seed, member=member)

    @cached_property
    def before_noise(self) -> dict[str, torch.Tensor]:
        """The images to which members' noise is added: in their network's projection, where it has one."""
        noise, images = (
            self.config.noise,
            {name: self.tensors[name] for name in ("train", *SETS) if name in self.tensors},
        )
        if not NOISE_LAWS[noise.law].isotropic:
            return images
        whole = {"train"} if noise.denoises else set()
        model = self.config.training.model
        return {name: own if name in whole else projected(model, own) for name, own in images.items()}

    def _own_seed(self, attempt: int) -> int:
        """Seeds initial weights and the order of the images; noise has the run's seed at every attempt."""
        return self.seed if attempt == 0 else int.from_bytes(key(self.seed, "another attempt", attempt)[:7], "little")

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.training.precision == "bfloat16")

    def seen(self, member: int) -> torch.Tensor | None:
        """The training images that a member sees, by position; None for all of them."""
        training = self.config.training
        if training.sees == "partition":
            return self._partition[member].to(self.device)
        if training.sees == "subset" or training.share < 1:
            count = len(self.tensors["train"])
            return seen_by(member, count, seen=training.seen_of(count), seed=self.seed).to(self.device)
        return None

    @cached_property
    def _partition(self) -> list[torch.Tensor]:
        training = self.config.training
        distances = offsets(training.members, training.spread)
        return partition(self.tensors["train"], self.tensors["labels"], training.members, distances)

    def fit(
        self,
        network: nn.Module,
        sigma: torch.Tensor | None,
        *,
        member: int,
        epochs: int,
        rows: torch.Tensor | None = None,
        attempt: int = 0,
    ) -> nn.Module:
        """Train on ``rows`` of the poisoned set, or all; under the noise law where ``sigma`` ``(n,)`` is given."""
        copy = self._copy(sigma, member, rows)
        return train(
            network, copy.images, copy.labels, epochs=epochs, seed=self._own_seed(attempt), member=member, **self._how
        )

    @property
    def _how(self) -> dict[str, Any]:
        return self.config.training.model_dump(include={"batch_size", "learning_rate", "precision"})

    def _copy(self, sigma: torch.Tensor | None, member: int, rows: torch.Tensor | None) -> TrainingSet:
        """The noisy copy of the training set that a member is trained on."""
        images, labels = self.tensors["train"] if sigma is None else self.before_noise["train"], self.tensors["labels"]
        if rows is not None:
            images, labels, sigma = images[rows], labels[rows], None if sigma is None else sigma[rows]
        if sigma is None:
            return TrainingSet(images, labels)
        law, classes = NOISE_LAWS[self.config.noise.law], int(self.tensors["classes"])
        copy = law.training_set(images, labels, sigma, classes=classes, seed=self.seed, member=member)
        prepared = PREPROCESSING[self.config.noise.preprocessing].apply
        return TrainingSet(prepared(copy.images, sigma.to(images.device), self.config.denoiser), copy.labels)

    def trained(
        self,
        member: int,
        sigma: torch.Tensor | None,
        *,
        before: int = 0,
        tell: Callable[[str], None] = lambda reason: None,
    ) -> nn.Module:
        """Member ``member``, trained on its noisy copy at ``sigma`` ``(n,)``; where that diverges, on the same copy
        from other initial weights.

        The attempts are one training algorithm with one outcome, which follows from the member's copy and its own
        randomness: members stay independent of each other, and the theorem covers them as it covers one attempt.

        Args:
            before: number of attempts made already.
            tell: called with a sentence for every attempt that diverged.

        Raises:
            Diverged: every attempt did.
        """
        training, single = self.config.training, member < 0
        epochs = training.single_epochs if single else training.epochs
        rows = None if single else self.seen(member)
        for attempt in range(before, ATTEMPTS):
            try:
                network = self.network(member, attempt)
                return self.fit(network, sigma, member=member, epochs=epochs, rows=rows, attempt=attempt)
            except Diverged as reason:
                failure = reason
                tell(f"{reason}, attempt {attempt + 1} of {ATTEMPTS}")
        raise failure

    def base_classifier(self) -> nn.Module:
        """Train the network that σ* is found on, under the noise of ``base_map``; in evaluation mode. It never votes.

        Raises:
            Diverged: every attempt did.
        """
        noise, count = self.config.noise, len(self.tensors["train"])
        levels = torch.full((count,), noise.sigma)
        if noise.base_map == "spread":
            places = torch.from_numpy(generator(self.seed, "base levels").random(count))
            levels = noise.sigma_min * (noise.sigma_max / noise.sigma_min) ** places
        return self.trained(SINGLES["base"], levels).eval()

    def trained_together(self, members: Sequence[int], sigma: torch.Tensor) -> list[nn.Module]:
        """Make the first attempt of several members in one computation; weights of a member that diverged are NaN.

        Members that see unequal numbers of images cannot be stacked: they are trained one after the other.
        """
        copies = [self._copy(sigma, member, self.seen(member)) for member in members]
        networks = [self._built(member) for member in members]  # a stack moves them as one
        places = range(len(members))
        alike = len({len(copy.labels) for copy in copies}) == 1
        for stack in [places] if alike else [[place] for place in places]:
            train_together(
                [networks[place] for place in stack],
                [copies[place].images for place in stack],
                [copies[place].labels for place in stack],
                epochs=self.config.training.epochs,
                seed=self.seed,
                members=[members[place] for place in stack],
                **self._how,
            )
        return networks

    def rounded(self, network: nn.Module) -> nn.Module:
        """Round the network's weights to the stored precision, which is the one that votes."""
        stored = STORAGE[self.config.training.storage]
        network.load_state_dict({name: weight.to(stored) for name, weight in network.state_dict().items()})
        return network


def write_scratch(run: Run, inputs: Inputs) -> None:
    """Lay the run's images out for its workers."""
    files.write_arrays(scratch_path(run), _arrays(inputs))


def _arrays(inputs: Inputs) -> dict[str, np.ndarray]:
    return {
        "train": inputs.poisoned.images,
        "labels": inputs.poisoned.labels,
        "clean": inputs.dataset.test_images,
        "triggered": inputs.triggered,
        "test_labels": inputs.dataset.test_labels,
        "classes": np.array(len(inputs.dataset.classes)),
    }


def context_of(config: RunConfig, inputs: Inputs) -> RunContext:
    """Make the context of a settled config from arrays; nothing is read from a disk, and secret noise is drawn anew."""
    device = _device(config)
    tensors = {name: torch.from_numpy(array).to(device) for name, array in _arrays(inputs).items()}
    seed = config.seed if config.noise_seed == "public" else secrets.randbits(128)
    return RunContext(config=config, device=device, tensors=tensors, seed=seed)


def _device(config: RunConfig) -> torch.device:
    """The run's device. A GPU's convolutions are set to give the same numbers every time, and all digits of float32."""
    device = torch.device(config.training.device)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
    return device


@lru_cache(maxsize=1)
def open_context(path: Path) -> RunContext:
    run = Run(path)
    device = _device(run.config)
    tensors = {name: tensor.to(device) for name, tensor in shards.read(scratch_path(run)).items()}
    return RunContext(config=run.config, device=device, tensors=tensors, seed=run.noise_seed)


@lru_cache(maxsize=1)
def base_network(path: Path) -> nn.Module:
    return load_base(Run(path), open_context(path))


def load_base(run: Run, context: RunContext) -> nn.Module:
    """The base classifier that the run's σ* were found on, for images on the context's device."""
    network = context.network(SINGLES["base"])
    network.load_state_dict(shards.read(single_path(run, "base")))
    return network.eval()


@lru_cache(maxsize=1)
def noise_levels(path: Path) -> dict[str, torch.Tensor]:
    levels, device = Run(path).arrays("sigma"), open_context(path).device
    return {name: torch.from_numpy(levels[name]).to(device) for name in ("train", *SETS) if name in levels}


def single_path(run: Run, kind: str) -> Path:
    return run.path / "models" / f"{kind}.safetensors"
