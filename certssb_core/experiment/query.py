"""Asking a finished run about one image: the store answers first, else the members vote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from certssb_core.certify.bounds import BOUNDS
from certssb_core.certify.certificate import CERTIFICATES
from certssb_core.certify.store import Store
from certssb_core.data.sources import DataError
from certssb_core.ensemble import shards
from certssb_core.ensemble.models import build
from certssb_core.ensemble.voting import vote
from certssb_core.experiment import tasks
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
    hard, softmax = [], []
    voter = network(0)
    for member, weights in shards.iterate(run.path / "members", shards.WEIGHT):
        voter.load_state_dict(weights)
        noisy = NOISE_LAWS[config.noise.law].test_inputs(x, sigma, seed=config.seed, member=member)
        ballot = vote(voter, noisy)
        hard.append(int(ballot.hard))
        softmax.append(ballot.softmax[0].double())
    if not hard:
        raise RunError(f"{run.path / 'members'} holds no members: this run cannot vote again")
    counts = np.bincount(hard, minlength=len(names))
    settings = config.certification
    bound = BOUNDS[settings.bound]
    values = counts if bound.vote == "hard" else torch.stack(softmax).mean(0).numpy()
    certified = CERTIFICATES[settings.certificate].certify(
        bound.class_bounds(values[None], len(hard), settings.alpha),
        sigma.numpy(),
        training_map=config.noise.train_map,
        test_map=config.noise.test_map,
    )
    with Store.open(run.store_path) as store:
        stored = store.query(image.ravel())
    prediction, radius = int(certified.prediction[0]), float(certified.radius[0])
    label = stored.label if stored else prediction
    return Reply(
        answered_by="store" if stored else "members",
        answer=names[label] if label >= 0 else "ABSTAIN",
        label=label,
        radius=stored.radius if stored else radius,
        votes=tuple(counts.tolist()),
        prediction=prediction,
        p_a_lower=float(certified.p_a_lower[0]),
        p_b_upper=float(certified.p_b_upper[0]),
        margin=float(certified.margin[0]),
        sigma=float(certified.sigma[0]),
        condition=certified.condition,
    )
