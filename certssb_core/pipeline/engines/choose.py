"""Choose where the tasks of a run are computed: processes on this machine, its GPU, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence

from certssb_core.config.schema import TrainingConfig
from certssb_core.pipeline.engines.local import Engine, InProcessEngine, ProcessEngine, available_cores
from certssb_core.pipeline.engines.ray_cluster import RayEngine


def make_engine(training: TrainingConfig, *, reads: Sequence[str] = ()) -> Engine:
    """The engine for a resolved device.

    Args:
        training: its ``workers`` default to one per available core.
        reads: patterns of files in a run's folder that tasks read beside what training reads.

    Raises:
        RunError: it asks for a cluster that cannot be joined.
    """
    if training.engine == "ray":
        return RayEngine(training.address, device=training.device, workers=training.workers, reads=reads)
    if training.device != "cpu":
        return InProcessEngine()
    return ProcessEngine(training.workers or available_cores())
