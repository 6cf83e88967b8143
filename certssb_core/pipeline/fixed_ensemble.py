"""Draw the votes of the fixed ensemble: many draws per test input over the members as they are (docs/method.md §9.4).

``fixed.safetensors`` holds the votes of every draw, and ``fixed.json`` how they were drawn and what they certify.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from certssb_core.certify.certificate import FIXED
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.config.schema import RunConfig
from certssb_core.ensemble import juries, shards
from certssb_core.errors import RunError
from certssb_core.pipeline import context, manifest
from certssb_core.pipeline.engines.choose import make_engine
from certssb_core.pipeline.engines.local import Engine
from certssb_core.results import certification
from certssb_core.results.vote_bounds import bound_votes
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files, integrity
from certssb_core.runs.inputs import SETS, run_inputs
from certssb_core.runs.run import Run

NOISY_PIXELS = 2**24
"""Pixels of noisy images that a task holds at once: it bounds the memory, not the result."""
LARGEST_SEED = 2**31
QUERY = "query"
"""Names the streams of an image that is asked about."""


def fresh_seed() -> int:
    """A seed from the system's randomness."""
    return secrets.randbelow(LARGEST_SEED)


def draw_again(run: Run, *, draws: int, jury: int, seed: int | None = None, bound: str | None = None) -> dict[str, Any]:
    """Draw the votes of a finished run's fixed ensemble, anew where it has some, and enter them in its manifest.

    Args:
        draws: K per input; jury: members per draw.
        seed: of the draws; default: from the system's randomness.
        bound: a key of ``BOUNDS``; default: the run's own.

    Returns:
        the content of fixed.json.

    Raises:
        RunError: the run is not finished, has no members, or certifies no ball around a test input.
    """
    if run.status().state != "done":
        raise RunError(f"{run.name} is not finished; resume it first")
    check(run.config)
    if not any((run.path / "members").glob("shard-*.safetensors")):
        raise RunError(f"{run.path / 'members'} holds no members: nobody can vote")
    integrity.check(run)
    engine = make_engine(run.config.training, reads=["members/shard-*"])
    with run.lock():
        context.write_scratch(run, run_inputs(run))
        try:
            seed = fresh_seed() if seed is None else seed
            found = draw(run, engine, draws=draws, jury=jury, seed=seed, bound=bound)
        finally:
            engine.close()
            context.scratch_path(run).unlink(missing_ok=True)
        manifest.enter(run, *files.FIXED_FILES)
        (run.path / "votes.safetensors").touch()  # whoever keeps the run's votes in memory reads them again
    return found


def check(config: RunConfig) -> None:
    """Check that a run's certificates are balls, which alone have a fixed ensemble.

    Raises:
        RunError: they are not.
    """
    kind = CERTIFICATES[config.certification.certificate]
    if not kind.balls:
        raise RunError(f"certificates in {kind.unit} have no fixed ensemble: only balls around a test input do")


def draw(
    run: Run,
    engine: Engine,
    *,
    draws: int,
    jury: int,
    seed: int,
    bound: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Draw the votes on both test sets at the run's own σ_x, and write them; the run's scratch file must exist.

    The same seed gives the same votes on the same kind of device, whatever the number of workers.
    """
    run_votes, rule = read_run_votes(run), run.config.certification
    own = run.config.noise.test_map
    levels = {
        which: bound_votes(votes, run.config, mode=own, bound=rule.bound, alpha=rule.alpha).sigma
        for which, votes in run_votes.sets.items()
    }
    held = [member for members, _ in shards.shards(run.path / "members") for member in members]
    sitting = juries.juries(held, jury)
    each = max(1, -(-draws // len(sitting)))
    size = int(np.prod(context.open_context(run.path).before_noise[SETS[0]].shape[1:]))
    step = max(1, NOISY_PIXELS // (each * size))
    work = [
        (run.path, tuple(members), number, len(sitting), which, start, levels[which][start : start + step], draws, seed)
        for which in SETS
        for start in range(0, len(levels[which]), step)
        for number, members in enumerate(sitting)
    ]
    found: dict[tuple[str, int, int], tuple[list[np.ndarray], np.ndarray]] = {}
    for (_, _, number, _, which, start, *_), votes in engine.map(vote_in_jury, work):
        found[which, start, number] = votes
        progress(len(found), len(work))
    arrays: dict[str, np.ndarray] = {"seed": np.array(seed), "jury": np.array(jury)}
    for which, sigma in levels.items():
        hard, softmax = [], []
        for start in range(0, len(sigma), step):
            parts = [found[which, start, number] for number in range(len(sitting))]
            softmax.append(sum(total for _, total in parts) / draws)
            for place, cast in enumerate(zip(*(votes for votes, _ in parts), strict=True)):
                votes = np.concatenate(cast)
                hard.append(juries.in_order_of_draws(votes, seed=seed, which=which, index=start + place))
        arrays |= {f"votes/{which}": np.stack(hard, axis=1), f"softmax/{which}": np.concatenate(softmax)}
        arrays[f"sigma/{which}"] = sigma
    files.write_arrays(run.path / "fixed.safetensors", arrays)
    run_votes = read_run_votes(run)
    told = {"draws": draws, "jury": jury, "seed": seed, "bound": bound or rule.bound, "alpha": rule.alpha}
    told |= certification.assess(run_votes, certification.certify_votes(run_votes, mode=FIXED, bound=bound))
    files.write_json(run.path / "fixed.json", told)
    return told


def votes_on(
    path: Path,
    network: torch.nn.Module,
    image: torch.Tensor,
    sigma: torch.Tensor,
    *,
    draws: int,
    jury: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw votes on one image that is not among a run's inputs.

    Args:
        path: of the run.
        network: gives the computation; its own weights take no part.
        image: ``(1, C, H, W)``, as members see it before noise.
        sigma: ``(1,)``, pixel units.

    Returns:
        hard votes ``(draws,)`` uint8 in random order, and the mean softmax ``(classes,)`` float64.
    """
    held = [member for members, _ in shards.shards(path / "members") for member in members]
    sitting = juries.juries(held, jury)
    counts = juries.draws_per_jury(draws, len(sitting), seed=seed, which=QUERY, inputs=[0])
    found = []
    for number, members in enumerate(sitting):
        seen = juries.noisy(image, sigma, counts[:, number], seed=seed, which=QUERY, first=0, jury=number)
        if len(seen):
            found.append(juries.jury_softmax(network, jury_weights(path, tuple(members)), seen))
    softmax = torch.cat(found)
    votes = softmax.argmax(1).to(torch.uint8).cpu().numpy()
    mean = softmax.double().mean(0).cpu().numpy()
    return juries.in_order_of_draws(votes, seed=seed, which=QUERY, index=0), mean


def vote_in_jury(
    path: Path,
    members: tuple[int, ...],
    number: int,
    count: int,
    which: str,
    start: int,
    sigma: np.ndarray,
    draws: int,
    seed: int,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Task: let jury ``number`` of ``count`` vote in its share of the draws of some inputs.

    Returns:
        hard votes of every input ``(its draws,)`` uint8, and the sums of softmax ``(n, classes)`` float64.
    """
    run = context.open_context(path)
    images = run.before_noise[which][start : start + len(sigma)]
    rows, levels = range(start, start + len(sigma)), torch.from_numpy(sigma)
    counts = juries.draws_per_jury(draws, count, seed=seed, which=which, inputs=rows)[:, number]
    seen = juries.noisy(images, levels, counts, seed=seed, which=which, first=start, jury=number)
    softmax = juries.jury_softmax(run.network(0).eval(), jury_weights(path, members), seen)
    hard, ends = softmax.argmax(1).to(torch.uint8).cpu().numpy(), np.cumsum(counts)[:-1]
    sums = [part.sum(axis=0) for part in np.split(softmax.double().cpu().numpy(), ends)]
    return np.split(hard, ends), np.stack(sums)


@lru_cache(maxsize=1)
def jury_weights(path: Path, members: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Weights of some members, stacked in their order."""
    found: list[dict[str, torch.Tensor]] = []
    for held, shard in shards.shards(path / "members"):
        rows = [row for row, member in enumerate(held) if member in set(members)]
        if rows:
            found.append({name: tensor[rows] for name, tensor in shards.read(shard, (shards.WEIGHT,)).items()})
    return {name.removeprefix(shards.WEIGHT): torch.cat([part[name] for part in found]) for name in found[0]}
