"""Whole runs of mnist-01-onepixel for :mod:`benchmarks.gpu`, on made-up images where MNIST is not at hand."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_clock import NO_TIME, Clock
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig, TrainingConfig
from certssb_core.data.datasets import data_root
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.runs.run import Run


def runs(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Make mnist-01-onepixel whole, with 1,000 and then 10,000 members; the second where the first left the time."""
    counts = (1000, 10_000) if device == "cuda" else (2,)
    took, before = 0.0, 1
    with mnist() as there, tempfile.TemporaryDirectory() as folder:
        for count in counts:
            if clock.over or took * count / before > clock.left:
                yield {"members": count, "left_out": NO_TIME}
                return
            began = time.perf_counter()
            run = Run.create(small(device, count), f"members-{count}", Path(folder))
            Pipeline(run).execute()
            took, before = time.perf_counter() - began, count
            metrics = run.metrics
            yield {
                "members": count,
                "images": "MNIST" if there else "made up, of MNIST's sizes",
                "seconds": took,
                "stages": metrics["seconds"],
                "together": run.config.training.together,
                "accuracy": metrics["clean"]["accuracy"],
                "certified_accuracy": metrics["clean"]["certified_accuracy"],
                "attack_success_rate": metrics["triggered"]["attack_success_rate"],
            }


def small(device: str, members: int) -> RunConfig:
    """mnist-01-onepixel on ``device``; on a CPU a few images, to see it pass."""
    config = PRESETS["mnist-01-onepixel"]
    training: TrainingConfig = config.training.model_copy(update={"members": members, "device": device})
    if device == "cuda":
        return config.model_copy(update={"training": training})
    few = {"max_train": 400, "max_test": 20}
    noise = config.noise.model_copy(update={"train_map": "uniform", "test_map": "uniform"})
    training = training.model_copy(update={"workers": 1})
    return config.model_copy(update={"training": training, "noise": noise, "data": config.data.model_copy(update=few)})


@contextmanager
def mnist() -> Iterator[bool]:
    """True where MNIST is at hand; else files of made-up images lie under CERTSSB_DATA for the time."""
    if (data_root() / "MNIST" / "raw").is_dir():
        yield True
        return
    before = os.environ.get("CERTSSB_DATA")
    with tempfile.TemporaryDirectory() as folder:
        write_made_up_mnist(Path(folder) / "MNIST" / "raw")
        os.environ["CERTSSB_DATA"] = folder
        try:
            yield False
        finally:
            if before is None:
                del os.environ["CERTSSB_DATA"]
            else:
                os.environ["CERTSSB_DATA"] = before


def write_made_up_mnist(raw: Path) -> None:
    """Write images of two classes, as many as MNIST has of 0 and 1: bright rings and bright bars."""
    raw.mkdir(parents=True)
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[:28, :28] - 13.5
    shapes = np.stack([abs(np.hypot(rows, columns) - 7) < 2, abs(columns) < 2]) * 200
    for prefix, count in (("train", 12_665), ("t10k", 2115)):
        labels = draws.integers(0, 2, count).astype(np.uint8)
        images = (shapes[labels] + draws.integers(0, 50, (count, 28, 28))).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            (raw / f"{prefix}-{kind}-ubyte").write_bytes(header + array.tobytes())
