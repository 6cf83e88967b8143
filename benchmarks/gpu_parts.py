"""The parts of :mod:`benchmarks.gpu`: each yields its results one by one, and stops when its time is over."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig, TrainingConfig
from certssb_core.data.datasets import data_root
from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.models import build
from certssb_core.ensemble.out_of_memory import out_of_memory
from certssb_core.ensemble.stack import Captured, Stack
from certssb_core.ensemble.training import native_precision, train_together
from certssb_core.ensemble.voting import vote_as_stack
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import RunContext, context_of
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS, NoisyInputs
from certssb_core.smoothing.sigma_search import ascend

if TYPE_CHECKING:
    from benchmarks.gpu import Clock

NETWORKS = {
    "digits": ("small-cnn", 1, 8, 1437, 128),
    "MNIST 0/1": ("mnist-cnn", 1, 28, 3166, 32),
    "CIFAR-10, small ResNet": ("cifar-resnet-16-32-64", 3, 32, 2500, 64),
    "CIFAR-10, ResNet-18": ("cifar-preact-resnet18", 3, 32, 2500, 64),
}
"""Network, channels, side, images that a member sees in its one timed epoch, and batch size."""
STACKS = {"cuda": (1, 8, 64, 256, 1024), "cpu": (1, 2)}
IMAGES_ON_CPU = 32


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


def settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# -- correctness ------------------------------------------------------------------------------------


def correctness(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Check what must hold on any device; a check that fails says by how much."""
    for check in (
        graph_agrees,
        stack_agrees_with_alone,
        repeats,
        votes_agree_with_cpu,
        halves_when_memory_ends,
        resumes,
    ):
        if clock.over:
            yield {"check": check.__name__, "left_out": "no time is left"}
        else:
            yield {"check": check.__name__} | check(device)


def random_stack(name: str, members: int, device: str, images: int, dtype: torch.dtype) -> Stack:
    """A stack of fresh networks on images of noise, labels by the images' brighter half."""
    network, channels, side, _, _ = NETWORKS[name]
    networks = [fresh(network, channels, side, member, device) for member in range(members)]
    seen, labels = made_up(members, images, channels, side, device)
    return Stack(networks, seen, labels, dtype)


def fresh(network: str, channels: int, side: int, member: int, device: str) -> torch.nn.Module:
    return build(network, channels=channels, side=side, classes=2, seed=0, member=member).to(device)


def made_up(members: int, images: int, channels: int, side: int, device: str) -> tuple[Any, Any]:
    draws = torch.Generator(device=device).manual_seed(0)
    labels = (torch.arange(images, device=device) % 2).expand(members, images).contiguous()
    seen = torch.rand(members, images, channels, side, side, device=device, generator=draws)
    seen[:, 1::2, :, :, : side // 2] += 0.5
    return seen, labels


def graph_agrees(device: str) -> dict[str, Any]:
    """Compare the gradients of a replayed graph with those computed step by step; on a CPU there is no graph."""
    if device != "cuda":
        return {"passed": True, "left_out": "a graph needs CUDA"}
    stack = random_stack("MNIST 0/1", 8, device, 64, torch.bfloat16)
    captured, worst = Captured(stack, {32: 1000}), 0.0
    for shift in (0, 16, 32):
        rows = (torch.arange(32, device=device) + shift).expand(8, 32)
        stack.gradients(rows)
        wanted = [weights.grad.clone() for weights in stack.parameters if weights.grad is not None]
        captured.gradients(rows)
        settle(device)
        for weights, gradient in zip(stack.parameters, wanted, strict=True):
            assert weights.grad is not None
            worst = max(worst, ((weights.grad - gradient).abs().max() / gradient.abs().max().clamp_min(1e-12)).item())
    return {"passed": worst < 1e-3, "largest_relative_difference": worst}


def stack_agrees_with_alone(device: str) -> dict[str, Any]:
    """Train three networks of the digits alone and together, in float32; compare what they answer."""
    network, channels, side, _, _ = NETWORKS["digits"]
    seen, labels = made_up(3, 128, channels, side, device)
    how: dict[str, Any] = {"epochs": 2, "batch_size": 32, "learning_rate": 3e-3, "precision": "float32", "seed": 1}
    alone, together = ([fresh(network, channels, side, member, device) for member in range(3)] for _ in range(2))
    for member in range(3):
        train_together([alone[member]], [seen[member]], [labels[member]], members=[member], **how)
    train_together(together, seen, labels, members=range(3), **how)
    with torch.no_grad():
        worst = max(
            (one(own).softmax(1) - other(own).softmax(1)).abs().max().item()
            for one, other, own in zip(alone, together, seen, strict=True)
        )
    return {"passed": worst < 0.02, "largest_difference_of_softmax": worst}


def repeats(device: str) -> dict[str, Any]:
    """Train the same stack twice, in bfloat16; every weight must come out the same."""
    network, channels, side, _, _ = NETWORKS["MNIST 0/1"]
    seen, labels = made_up(4, 64, channels, side, device)
    how: dict[str, Any] = {"epochs": 20, "batch_size": 32, "learning_rate": 3e-3, "precision": "bfloat16", "seed": 1}
    found = []
    for _ in range(2):
        networks = [fresh(network, channels, side, member, device) for member in range(4)]
        train_together(networks, seen, labels, members=range(4), **how)
        found.append(torch.cat([weights.detach().flatten() for one in networks for weights in one.parameters()]))
    return {"passed": torch.equal(*found), "largest_difference": (found[0] - found[1]).abs().max().item()}


def votes_agree_with_cpu(device: str) -> dict[str, Any]:
    """Train members of three digits here and on the CPU, from one seed, and compare how often each is right.

    Their noise differs, so votes differ; the mean accuracy may not, beyond five standard errors.
    """
    here, there = (digits(where, members=8 if device == "cuda" else 2) for where in (device, "cpu"))
    found = []
    for context in (here, there):
        sigma = torch.full((len(context.tensors["train"]),), context.config.noise.sigma, device=context.device)
        count = len(context.tensors["clean"])
        levels = {which: torch.full((count,), context.config.noise.sigma) for which in ("clean", "triggered")}
        levels = {which: level.to(context.device) for which, level in levels.items()}
        members = range(context.config.training.members)
        networks, _ = tasks.trained_members(context, sigma, members)
        networks = {member: context.rounded(network) for member, network in networks.items()}
        cast = tasks.cast_votes(context, networks, levels)
        right = [
            (votes["votes/clean/uniform"] == context.tensors["test_labels"]).double().mean() for votes in cast.values()
        ]
        found.append(np.array([share.item() for share in right]))
    spread = float(np.sqrt(sum(shares.var(ddof=1) / len(shares) for shares in found))) + 0.005
    apart = float(abs(found[0].mean() - found[1].mean()))
    return {
        "passed": apart < 5 * spread,
        "accuracy": float(found[0].mean()),
        "accuracy_on_cpu": float(found[1].mean()),
        "standard_error": spread,
    }


def digits(device: str, members: int, epochs: int = 12) -> RunContext:
    config = PRESETS["digits-quick"]
    how = {"members": members, "device": device, "together": members, "epochs": epochs}
    training = config.training.model_copy(update=how)
    config = config.model_copy(update={"training": training})
    inputs = load_inputs(config)
    return context_of(settled(config, inputs), inputs)


def halves_when_memory_ends(device: str) -> dict[str, Any]:
    """Ask for more members at once than the memory holds, and see that all of them are made all the same.

    On a GPU all of its memory is asked for beside them; on a CPU the error is made up.
    """
    members, tried = 4, []
    context = digits(device, members, epochs=1)

    class Tight(RunContext):
        def trained_together(self, some: Any, sigma: torch.Tensor) -> Any:
            tried.append(len(some))
            if device != "cuda" and len(some) > 2:
                raise RuntimeError("out of memory, made up")
            if device == "cuda" and len(some) > 2:
                torch.empty(torch.cuda.get_device_properties(0).total_memory, dtype=torch.uint8, device=device)
            return super().trained_together(some, sigma)

    tight = Tight(context.config, context.device, context.tensors, context.seed)
    sigma = torch.full((len(context.tensors["train"]),), context.config.noise.sigma, device=context.device)
    networks, _ = tasks.trained_members(tight, sigma, range(members))
    return {"passed": sorted(networks) == [*range(members)] and min(tried) <= 2, "stack_sizes": tried}


def resumes(device: str) -> dict[str, Any]:
    """Make a small run, take a part of it away, resume it, and compare the votes."""
    config = PRESETS["digits-quick"]
    training = config.training.model_copy(
        update={"members": 12, "device": device, "together": 4, "shard_members": 4, "workers": 1}
    )
    noise = config.noise.model_copy(update={"train_map": "uniform", "test_map": "uniform"})
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(config.model_copy(update={"training": training, "noise": noise}), "resumed", Path(folder))
        Pipeline(run).execute()
        whole = run.arrays("votes")["votes/clean/uniform"]
        for name in ("votes.safetensors", "members/shard-000004-000007.safetensors"):
            (run.path / name).unlink()
        Pipeline(Run(run.path)).execute()
        again = run.arrays("votes")["votes/clean/uniform"]
    return {"passed": bool((whole == again).all()), "votes": int(whole.size), "changed": int((whole != again).sum())}


# -- rates ------------------------------------------------------------------------------------------


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
                yield {"network": name, "stack": size, "left_out": "no time is left"}
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


# -- whole runs -------------------------------------------------------------------------------------


def runs(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Make mnist-01-onepixel whole, with 1,000 and then 10,000 members; the second where the first left the time."""
    counts = (1000, 10_000) if device == "cuda" else (2,)
    took, before = 0.0, 1
    with mnist() as there, tempfile.TemporaryDirectory() as folder:
        for count in counts:
            if clock.over or took * count / before > clock.left:
                yield {"members": count, "left_out": "no time is left"}
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
