"""A few seconds of a run's own work, timed on this machine with as many processes as a run would have."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from certssb_core.config.schema import RunConfig
from certssb_core.ensemble.models import projected
from certssb_core.jobs.forecast import Calibration
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import SINGLES, RunContext, open_context, scratch_path
from certssb_core.pipeline.engines.choose import make_engine
from certssb_core.pipeline.engines.local import Engine, available_cores
from certssb_core.pipeline.resolve_auto import (
    resolve_denoiser,
    resolve_device,
    resolve_drawing,
    resolve_model,
    resolve_together,
)
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, Inputs, load_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.sigma_search import leading_class, radius_curve, smoothed_radius

SAMPLE_PIXELS = 2**19
"""Pixels of the training images that are timed, as the members see them; at least one batch."""
PASS_IMAGES = 64  # as many as a σ* task holds
EPOCHS = 4  # of the longer fit, whose difference to one epoch is what an epoch takes
LONG_SECONDS = 1.5  # a fit that takes so long is not timed twice


def measure(config: RunConfig) -> Calibration:
    """Time training, voting and the σ* search of ``config`` on a sample of its images.

    Raises:
        DataError, PoisonError, RunError: the run could not be made either.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(config.model_copy(update={"noise_seed": "public"}), "calibration", Path(folder))
        resolve_device(run)
        training = run.config.training
        workers = (training.workers or available_cores()) if training.device == "cpu" else 1
        began = time.perf_counter()
        inputs = load_inputs(config)
        data = time.perf_counter() - began
        _, channels, side, _ = inputs.dataset.test_images.shape
        resolve_model(run, channels=channels, side=side)
        resolve_denoiser(run, channels=channels, side=side)
        resolve_drawing(run, inputs)
        resolve_together(run, inputs.poisoned.images, len(inputs.dataset.classes))
        together = run.config.training.together or 1
        groups = [range(start, start + together) for start in range(0, 2 * workers * together, together)]
        sample = _lay_out(run, inputs)
        began = time.perf_counter()
        engine = make_engine(training.model_copy(update={"engine": "local"}))
        try:
            _timings(engine, time_fit, [(run.path, 1, *group) for group in groups[:workers]])
            start = time.perf_counter() - began
            once = _timings(engine, time_fit, [(run.path, 1, *group) for group in groups])
            long = median(once) * together > LONG_SECONDS
            more = [] if long else _timings(engine, time_fit, [(run.path, EPOCHS, *group) for group in groups])
            (an_image,) = _timings(engine, time_map, [(run.path,)])
            data += an_image * (len(inputs.poisoned.labels) + 2 * len(inputs.dataset.test_labels))
            passes = _timings(engine, time_passes, [(run.path, number) for number in range(2 * workers)])
            other = run.config.training.undefended_network != run.config.training.model
            single = _timings(engine, time_undefended, [(run.path,)] * workers) if other else []
            peak = engine.peak_memory()
        finally:
            engine.close()
            open_context.cache_clear()
    step = median(once) / sample if long else max(0.0, median(more) - median(once)) / (EPOCHS - 1) / sample
    slowest = more or once
    return Calibration(
        workers=workers,
        train_images=len(inputs.poisoned.labels),
        test_images=len(inputs.dataset.test_labels),
        pixels=int(np.prod(inputs.dataset.test_images.shape[1:])),
        weights=sum(weight.numel() for weight in _network(run, inputs).parameters()),
        sample=sample,
        start=start,
        data=data,
        fit=max(0.0, median(once) / sample - step),
        step=step,
        forward=median(forward for forward, _ in passes),
        backward=median(backward for _, backward in passes),
        spread=(min(slowest) / median(slowest), max(slowest) / median(slowest)),
        peak_memory_bytes=peak,
        undefended=median(single) / sample if other else None,
    )


def _lay_out(run: Run, inputs: Inputs) -> int:
    """Write the scratch file of a sample of the images, and return its number of training images."""
    images, labels = inputs.poisoned.images, inputs.poisoned.labels
    training = run.config.training
    seen = projected(training.model, torch.from_numpy(images[:1])).numel()
    sample = min(len(images), max(training.batch_size, SAMPLE_PIXELS // seen))
    arrays = {"train": images[:sample], "labels": labels[:sample], "classes": np.array(len(inputs.dataset.classes))}
    arrays |= {which: inputs.test_images(which)[:PASS_IMAGES] for which in SETS}
    files.write_arrays(scratch_path(run), arrays)
    return sample


def _network(run: Run, inputs: Inputs) -> torch.nn.Module:
    tensors = {"clean": torch.from_numpy(inputs.dataset.test_images[:1])}
    tensors["classes"] = torch.tensor(len(inputs.dataset.classes))
    context = RunContext(config=run.config, device=torch.device("cpu"), tensors=tensors, seed=0)
    return context.network(0)


def _timings(engine: Engine, function: Callable[..., Any], work: list[tuple]) -> list[Any]:
    return [result for _, result in engine.map(function, work)]


def time_fit(path: Path, epochs: int, *members: int) -> float:
    """Seconds that a member takes on the whole sample, trained together with the others."""
    context = open_context(path)
    training = context.config.training.model_copy(update={"epochs": epochs, "sees": "share", "share": 1.0})
    context = _mapped(replace(context, config=context.config.model_copy(update={"training": training})))
    sigma = torch.full((len(context.tensors["train"]),), context.config.noise.sigma, device=context.device)
    began = time.perf_counter()
    context.trained_together(members, sigma)
    _settle(context.device)
    return (time.perf_counter() - began) / len(members)


def time_map(path: Path) -> float:
    """Seconds per image of the members' map, which a run takes all images through once."""
    context = replace(open_context(path))  # with nothing mapped yet
    began = time.perf_counter()
    images = sum(len(mapped) for mapped in context.before_noise.values())
    _settle(context.device)
    return (time.perf_counter() - began) / images


def time_undefended(path: Path) -> float:
    """Seconds of an epoch of the undefended model on the whole sample, once its kernels are loaded."""
    context, member = open_context(path), SINGLES["undefended"]
    context.fit(context.network(member), None, member=member, epochs=1)
    _settle(context.device)
    began = time.perf_counter()
    context.fit(context.network(member), None, member=member, epochs=EPOCHS)
    _settle(context.device)
    return (time.perf_counter() - began) / EPOCHS


def time_passes(path: Path, number: int) -> tuple[float, float]:
    """Seconds per image of a forward pass, and of one with the gradient to σ, as the σ* search makes them."""
    context = open_context(path)
    search = tasks.search_settings(context.config, int(context.tensors["classes"]))
    images = context.before_noise[SETS[number % len(SETS)]]
    images = images[: max(1, tasks.SEARCH_PIXELS // images[0].numel())]
    count = len(images) * search.draws
    with context.autocast():
        network = context.network(SINGLES["base"]).eval().requires_grad_(False)
        anchor = leading_class(network, images, sigma=search.sigma, draws=search.draws, seed=0)
        grid = torch.tensor([search.sigma] * 2, dtype=torch.float64, device=context.device)
        began = time.perf_counter()
        radius_curve(network, images, grid, anchor=anchor, draws=search.draws, p_cap=search.p_cap, seed=0)
        _settle(context.device)
        forward = (time.perf_counter() - began) / count / len(grid)
        noise = torch.randn(search.draws, *images.shape[1:], device=context.device)
        log_sigma = torch.full((len(images),), search.sigma, dtype=torch.float64, device=context.device).log()
        log_sigma.requires_grad_(True)
        began = time.perf_counter()
        for _ in range(2):
            radius = smoothed_radius(network, images, log_sigma.exp(), noise, anchor=anchor, p_cap=search.p_cap)
            torch.autograd.grad(radius.sum(), log_sigma)
        _settle(context.device)
        return forward, (time.perf_counter() - began) / count / 2


def _mapped(context: RunContext) -> RunContext:
    """The context, its images taken through the members' map, which a run does once in every process."""
    len(context.before_noise)
    return context


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
