"""Rates of a GPU machine for :mod:`benchmarks.gpu`: products, members, votes and the search for σ*."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_clock import NO_TIME, Clock
from benchmarks.gpu_networks import NETWORKS, fresh, made_up, products_alone, random_stack, settle
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.out_of_memory import out_of_memory
from certssb_core.ensemble.stack import WORTH_CAPTURING, Captured
from certssb_core.ensemble.training import native_precision, train_together
from certssb_core.ensemble.voting import vote_as_stack
from certssb_core.pipeline import tasks
from certssb_core.smoothing.noise import NOISE_LAWS, NoisyInputs
from certssb_core.smoothing.sigma_search import ascend

STACKS = {"cuda": (1, 8, 64, 256, 1024), "cpu": (1, 2)}
IMAGES_ON_CPU = 32
KERNEL_STACKS = {"MNIST 0/1": 512, "CIFAR-10, small ResNet": 64, "CIFAR-10, ResNet-18": 8}
STEPS = WORTH_CAPTURING
"""Steps that are timed together; from so many on a step is captured."""


def machine(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Name the device, and time one large product, the rate that everything below is a share of."""
    facts: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": device}
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        facts |= {
            "device": torch.cuda.get_device_name(),
            "free_bytes": free,
            "bytes": total,
            "cuda": torch.version.cuda,
        }
    yield facts
    yield {"precision": "bfloat16", "product_flop_per_second": product_rate(device)}


def product_rate(device: str) -> float:
    """FLOP per second of a large bfloat16 product; the best of three."""
    side = 8192 if device == "cuda" else 1024
    matrix = torch.rand(side, side, device=device, dtype=torch.bfloat16)
    return 2 * side**3 / min(seconds_of(device, lambda: matrix @ matrix) for _ in range(4))


def seconds_of(device: str, work: Any) -> float:
    """Seconds of ``work()``, the device's own included."""
    settle(device)
    began = time.perf_counter()
    work()
    settle(device)
    return time.perf_counter() - began


def kernels(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Time a captured step of every network in bfloat16, by our kernels and by products alone."""
    if device != "cuda":
        yield {"left_out": "the kernels need CUDA"}
        return
    for name, size in KERNEL_STACKS.items():
        if clock.over:
            yield {"network": name, "left_out": NO_TIME}
            return
        batch = NETWORKS[name][-1]
        took: dict[str, float] = {}
        for kind, way in (("kernels", nullcontext), ("products", products_alone)):
            with way():
                stack = random_stack(name, size, device, batch, torch.bfloat16)
                captured = Captured(stack, {batch: STEPS})
                rows = torch.arange(batch, device=device).expand(size, batch)
                captured.gradients(rows)

                def steps(captured: Captured = captured, rows: torch.Tensor = rows) -> None:
                    for _ in range(STEPS):
                        captured.gradients(rows)

                took[kind] = min(seconds_of(device, steps) for _ in range(3)) / STEPS
            del stack, captured, steps
            torch.cuda.empty_cache()
        yield {
            "network": name,
            "stack": size,
            "batch": batch,
            "step_seconds": took["kernels"],
            "of_products": took["products"],
            "ratio": took["products"] / took["kernels"],
            "microseconds_per_member": took["kernels"] / size * 1e6,
        }


def members(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Time one epoch of stacks of every network at rising sizes, until the memory or the time ends."""
    rate = product_rate(device)
    slice_of_time = clock.left / len(NETWORKS)
    for name, (network, channels, side, images, batch) in NETWORKS.items():
        images = images if device == "cuda" else IMAGES_ON_CPU
        began, took = time.perf_counter(), 0.0
        precision = native_precision(torch.device(device), side)
        for size in STACKS[device]:
            if clock.over or time.perf_counter() - began + 3 * took > slice_of_time:
                yield {"network": name, "stack": size, "left_out": NO_TIME}
                break
            try:
                took = timed_epoch(device, network, channels, side, images, batch, size, precision)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                yield {"network": name, "stack": size, "left_out": "does not fit in the memory"}
                break
            finally:
                if device == "cuda":
                    torch.cuda.empty_cache()
            flop = flop_of_an_image(network, channels, side) * images * size / took
            yield {
                "network": name,
                "stack": size,
                "precision": precision,
                "images": images,
                "batch": batch,
                "epoch_seconds": took,
                "member_epochs_per_second": size / took,
                "flop_per_second": flop,
                "share_of_product_rate": flop / rate,
                "peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
            }


def timed_epoch(
    device: str, network: str, channels: int, side: int, images: int, batch: int, size: int, precision: str
) -> float:
    networks = [fresh(network, channels, side, member, device) for member in range(size)]
    seen, labels = made_up(1, images, channels, side, device)
    own, answers = seen.expand(size, *seen.shape[1:]), labels.expand(size, images)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    how: dict[str, Any] = {"epochs": 1, "batch_size": batch, "learning_rate": 1e-3, "precision": precision, "seed": 0}
    return seconds_of(device, lambda: train_together(networks, own, answers, members=range(size), **how))


def flop_of_an_image(network: str, channels: int, side: int) -> float:
    """FLOP of one image's forward and backward pass."""
    with FlopCounterMode(display=False) as counter:
        fresh(network, channels, side, 0, "cpu")(torch.rand(2, channels, side, side)).sum().backward()
    return counter.get_total_flops() / 2


def votes(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Time the votes of stacks on MNIST's 2,115 test images."""
    for size in STACKS[device]:
        if clock.over:
            return
        networks = [fresh("mnist-cnn", 1, 28, member, device).eval() for member in range(size)]
        images = torch.rand(2115 if device == "cuda" else IMAGES_ON_CPU, 1, 28, 28, device=device)
        draw = torch.randn(size, 1, 1, 28, 28, device=device)
        inputs = NoisyInputs(NOISE_LAWS["gaussian"], images, torch.ones(len(images), device=device), draw)
        weights = stacked_weights(networks)
        weights["output.weight"] *= 30  # clear leads, as trained members have
        precision = native_precision(torch.device(device), 28)

        def cast(network: Any = networks[0], w: Any = weights, i: Any = inputs, p: str = precision) -> None:
            vote_as_stack(network, w, i, precision=p)

        cast()
        took = seconds_of(device, cast)
        yield {
            "stack": size,
            "precision": precision,
            "votes": size * len(images),
            "per_second": size * len(images) / took,
        }


def sigma(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Time the search for σ* on MNIST's network."""
    network = fresh("mnist-cnn", 1, 28, 0, device).eval()
    search = tasks.search_settings(PRESETS["mnist-01-onepixel"], 2)
    images = torch.rand(256 if device == "cuda" else 8, 1, 28, 28, device=device)

    def searched() -> None:
        with torch.autocast(device, torch.bfloat16):
            ascend(network, images, search, seed=0)

    searched()
    yield {"images": len(images), "images_per_second": len(images) / seconds_of(device, searched)}
