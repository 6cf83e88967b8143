"""Correctness of a GPU path for :mod:`benchmarks.gpu`: what must hold on any device, a check after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_clock import NO_TIME, Clock
from benchmarks.gpu_networks import NETWORKS, fresh, made_up, products_alone, random_stack, settle
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble.stack import Captured, Stack
from certssb_core.ensemble.training import train_together
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import RunContext, context_of
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run


def correctness(device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Check what must hold on any device; a check that fails says by how much."""
    for check in (
        kernels_agree,
        graph_agrees,
        stack_agrees_with_alone,
        repeats,
        votes_agree_with_cpu,
        halves_when_memory_ends,
        resumes,
    ):
        if clock.over:
            yield {"check": check.__name__, "left_out": NO_TIME}
        else:
            yield {"check": check.__name__} | check(device)


def kernels_agree(device: str) -> dict[str, Any]:
    """Compare the gradients of our kernels and of products with those of float32, for every network.

    Both round to bfloat16, at other places: kernels may be off by twice as much as products. A CPU has no kernels.
    """
    if device != "cuda":
        return {"passed": True, "left_out": "the kernels need CUDA"}
    found: dict[str, Any] = {"passed": True}
    for name in NETWORKS:
        exact = gradient(random_stack(name, 2, device, 16, torch.float32))
        with products_alone():
            products = gradient(random_stack(name, 2, device, 16, torch.bfloat16))
        kernels = gradient(random_stack(name, 2, device, 16, torch.bfloat16))
        off = {
            kind: ((one - exact).norm() / exact.norm()).item()
            for kind, one in (("kernels", kernels), ("products", products))
        }
        found[name] = off
        found["passed"] &= off["kernels"] < 2 * off["products"] + 1e-3
    return found


def gradient(stack: Stack) -> torch.Tensor:
    """All gradients of a stack on its first 16 images, flat."""
    stack.gradients(torch.arange(16, device=stack.parameters[0].device).expand(len(stack.parameters[0]), 16))
    return torch.cat([weights.grad.flatten() for weights in stack.parameters if weights.grad is not None])


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
