"""What a run will cost, scaled stage by stage from a finished run on the same data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from certssb_core.experiment.config import RunConfig
from certssb_core.experiment.run import Run, RunError


@dataclass(frozen=True)
class Cost:
    """An estimate; ``reference`` is the name of the run it is scaled from, on the machine that run was made on."""

    seconds: float
    peak_memory_bytes: int
    reference: str


def estimate(config: RunConfig, runs: Iterable[Run]) -> Cost | None:
    """Time and memory of ``config``, from the first of ``runs`` that is finished and comparable.

    Comparable are the same images, network and batch size. Each stage is taken to cost in proportion to its work:
    single models to their epochs, σ* to steps × draws, members to members × epochs, votes to members.

    Returns:
        None if no run is comparable.
    """
    for run in runs:
        if run.status().state == "done" and _comparable(config, run.config):
            try:
                metrics = run.metrics
            except RunError:
                continue  # a damaged run measures nothing
            return Cost(_scaled(metrics["seconds"], config, run.config), metrics["peak_memory_bytes"], run.name)
    return None


def _scaled(seconds: dict[str, float], config: RunConfig, known: RunConfig) -> float:
    wanted, measured = _work(config), _work(known)
    return sum(
        value * wanted.get(stage, 1) / max(measured.get(stage, 1), 1)
        for stage, value in seconds.items()
        if stage != "total"
    )


def _comparable(config: RunConfig, known: RunConfig) -> bool:
    def images(of: RunConfig) -> dict:
        return of.data.model_dump(exclude={"root"})

    return (
        images(config) == images(known)
        and config.origin == known.origin
        and config.training.model in ("auto", known.training.model)
        and config.training.device in ("auto", known.training.device)
        and config.training.batch_size == known.training.batch_size
    )


def _work(config: RunConfig) -> dict[str, int]:
    """Units of work per stage; stages not named cost the same in every run."""
    noise, training = config.noise, config.training
    searched = "sample-specific" in (noise.train_map, noise.test_map)
    return {
        "undefended": training.single_epochs,
        "sigma": noise.iterations * noise.draws if searched else 0,
        "members": training.members * training.epochs,
        "votes": training.members,
    }
