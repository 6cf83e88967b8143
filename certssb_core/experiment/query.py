"""Asking a finished run about one image: the store answers first, else the members vote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from certssb_core.certify.store import Store
from certssb_core.data.sources import DataError
from certssb_core.ensemble import shards
from certssb_core.ensemble.models import build
from certssb_core.ensemble.voting import vote
from certssb_core.experiment import certification, tasks
from certssb_core.experiment.inputs import load_inputs
from certssb_core.experiment.run import Run, RunError
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.sigma import ascend

LARGEST_FILE = 20_000_000
LARGEST_SIDE = 8192


@dataclass(frozen=True)
class Reply:
    """What a run says about an image.

    Attributes:
        answered_by: ``store`` where a stored ball holds the image, else ``members``.
        answer: the class's name, or ABSTAIN; label: its number, -1 for ABSTAIN.
        radius: certified L2 distance around the image, in pixel units, by whoever answered.
        votes: members' votes per class; prediction, p_a_lower, p_b_upper, margin, sigma: their certificate.
        condition: under which the members' certificate holds.
    """

    answered_by: str
    answer: str
    label: int
    radius: float
    votes: tuple[int, ...]
    prediction: int
    p_a_lower: float
    p_b_upper: float
    margin: float
    sigma: float
    condition: str


def read_image(path: Path, run: Run) -> np.ndarray:
    """An image file as the run's dataset would hold it: ``(C, H, W)`` float32 in [0, 1].

    Raises:
        DataError: the file is missing, no image, or too large.
    """
    shape = load_inputs(run.config).dataset.test_images.shape[1:]
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(f"{path} is larger than {LARGEST_FILE // 10**6} MB")
        with Image.open(path) as image:
            if max(image.size) > LARGEST_SIDE:
                raise DataError(f"{path} has {image.size[0]}×{image.size[1]} pixels; at most {LARGEST_SIDE} a side")
            converted = image.convert("L" if shape[0] == 1 else "RGB").resize(shape[2:0:-1], Image.Resampling.BOX)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from None
    pixels = np.asarray(converted, dtype=np.float32) / 255
    return pixels.reshape(*shape[1:], shape[0]).transpose(2, 0, 1).copy()


def ask(run: Run, image: np.ndarray) -> Reply:
    """Let the store answer, or the members; ``image`` is ``(C, H, W)`` float32 in [0, 1].

    Raises:
        RunError: the run is not finished, or its members are not there.
    """
    if run.status().state != "done":
        raise RunError(f"{run.name} is not finished; resume it first")
    if not (run.path / "members").is_dir():
        raise RunError(f"{run.name} came as a capsule, without its members, so nobody can vote on a new image")
    config = run.config
    names = load_inputs(config).dataset.classes
    x = torch.from_numpy(image[None])

    def network(member: int) -> torch.nn.Module:
        channels, side, _ = image.shape
        return build(
            config.training.model,
            channels=channels,
            side=side,
            classes=len(names),
            seed=config.seed,
            member=member,
        )

    sigma = torch.tensor([config.noise.sigma])
    if config.noise.test_map == "sample-specific":
        if config.origin != "trained":
            raise RunError(f"{run.name} was imported without its base classifier: σ* of a new image cannot be found")
        base = network(tasks.SINGLES["base"])
        base.load_state_dict(shards.read(tasks.single_path(run, "base")))
        sigma = ascend(base.eval(), x, tasks.search_settings(config), seed=config.seed).sigma
    voter = network(0)
    levels = tasks.test_levels(config, sigma)
    candidates = tasks.candidate_levels(config, sigma) if config.noise.chosen_by_votes else ()
    every_level = [*levels.values(), *candidates]
    hard, softmax = [], []
    for member, weights in shards.iterate(run.path / "members", shards.WEIGHT):
        voter.load_state_dict(weights)
        law = NOISE_LAWS[config.noise.law]
        noisy = [law.test_inputs(x, level, seed=config.seed, member=member) for level in every_level]
        ballot = vote(voter, torch.cat(noisy))
        hard.append(ballot.hard)
        softmax.append(ballot.softmax.double())
    if not hard:
        raise RunError(f"{run.path / 'members'} holds no members: this run cannot vote again")
    votes, shares = torch.stack(hard).numpy(), torch.stack(softmax).mean(0).numpy()  # (M, levels), (levels, C)
    voted = certification.Voted(
        config=config,
        votes={("query", name): votes[:, k, None] for k, name in enumerate(levels)},
        softmax={("query", name): shares[k, None] for k, name in enumerate(levels)},
        sigma={"query": sigma.double().numpy()},
        sigma_train=np.empty(0),
        labels=np.full(1, -1),
        candidate_votes={"query": votes[:, len(levels) :, None]},
        candidate_softmax={"query": shares[len(levels) :, None]},
    )
    settings, mode = config.certification, config.noise.test_map
    reading = certification.read_votes(voted, "query", mode=mode, bound=settings.bound, alpha=settings.alpha)
    certified = certification.certificates_of(voted, reading)
    with Store.open(run.store_path) as store:
        stored = store.query(image.ravel())
    prediction, radius = int(certified.prediction[0]), float(certified.radius[0])
    label = stored.label if stored else prediction
    return Reply(
        answered_by="store" if stored else "members",
        answer=names[label] if label >= 0 else "ABSTAIN",
        label=label,
        radius=stored.radius if stored else radius,
        votes=tuple(reading.counts[0].tolist()),
        prediction=prediction,
        p_a_lower=float(certified.p_a_lower[0]),
        p_b_upper=float(certified.p_b_upper[0]),
        margin=float(certified.margin[0]),
        sigma=float(certified.sigma[0]),
        condition=certified.condition,
    )
