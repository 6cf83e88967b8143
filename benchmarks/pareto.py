"""Cost of a member against what an ensemble certifies: closed-form members, a small CNN, the published networks.

    python -m benchmarks.pareto FOLDER [--members N] [--entries NAME,…] [--work DIR] [--device cuda]

FOLDER holds the photographs, ``{train,test}/{airplane,bird}/``; the attack is that of the preset
``cifar10-airplane-bird-onepixel``. Every finished member lies in DIR, so the script goes on where it was stopped;
results/pareto.json is written anew after each. A member's cost is processor seconds of one thread, training and votes
on both test sets. ``--members 0`` trains on a few batches only and estimates the cost, and the result says so. Twenty
ResNet-18 of 20 epochs would keep two cores busy for six hours, so there is an entry of four epochs, ``…-short``. On a
GPU the members are made as one stack, and their cost is a share of its seconds. An entry's curve is that of the device
that made most of its members.

Certified: Clopper–Pearson, α = 0.001, half of it for each class, uniform σ, clean test images, a wrong answer counts as
not certified; at every M of :data:`COUNTS` that an entry has. ``plug-in`` puts the share of the votes in place of its
bound. It promises nothing: it estimates what members of this kind would certify with very many votes. Entries with few
members have no curve, and say their accuracy alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import beta, norm

from benchmarks import record
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import RunContext, context_of
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.runs import files
from certssb_core.runs.inputs import Inputs, load_inputs

PRESET = "cifar10-airplane-bird-onepixel"
ALPHA = 0.001
RADII = np.arange(0, 1.51, 0.05)
ESTIMATE = "estimate.safetensors"
MADE = {"cpu": "member-*.safetensors", "cuda": "gpu-member-*.safetensors"}
"""Files of members, by the device that made them."""
COUNTS = (20, 50, 100, 200, 1000)
TIMED_BATCHES = (2, 2, 10)
"""Batches of three fits: the first loads kernels, and the others' difference is the time of the batches between."""


@dataclass(frozen=True)
class Entry:
    """Members of one kind: their network, σ of training and test, and their training."""

    model: str
    sigma: float
    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 1e-3

    def config(self, folder: Path, device: str) -> RunConfig:
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}
        changes = {f"training.{name}": value for name, value in settings.items()}
        changes |= {"training.model": self.model, "training.device": device, "noise.sigma": self.sigma, "title": ""}
        changes |= {"data.name": "image-folder", "data.root": str(folder), "data.size": 32}
        return override(PRESETS[PRESET], changes)


ENTRIES: dict[str, Entry] = {
    **{f"dct-ridge-{sigma:g}": Entry("dct-ridge", sigma) for sigma in (0.25, 0.5, 1.0)},
    **{f"patch-ridge-{sigma:g}": Entry("patch-ridge", sigma) for sigma in (0.25, 0.5, 1.0)},
    **{f"pooled-cnn-{sigma:g}": Entry("pooled-cnn", sigma, 12, 128, 6e-3) for sigma in (0.25, 0.5)},
    **{f"strided-cnn-{sigma:g}": Entry("strided-cnn", sigma, 12, 128, 6e-3) for sigma in (0.25, 0.5)},
    "cifar-resnet-16-32-64-0.25": Entry("cifar-resnet-16-32-64", 0.25, 10),
    "cifar-preact-resnet18-0.25": Entry("cifar-preact-resnet18", 0.25, 20),
    "cifar-preact-resnet18-0.25-short": Entry("cifar-preact-resnet18", 0.25, 4),
}


def member_votes(context: RunContext, entry: Entry, members: Sequence[int]) -> dict[int, dict[str, np.ndarray]]:
    """Train members together and let them vote: each one's votes ``(n,)`` on the clean test images, and seconds.

    Seconds are the processor's, or on a GPU a member's share of those that went by.
    """
    clock = time.perf_counter if context.device.type == "cuda" else time.process_time

    def level(which: str) -> torch.Tensor:
        return torch.full((len(context.tensors[which]),), entry.sigma, device=context.device)

    began = clock()
    networks, _ = tasks.trained_members(context, level("train"), members)
    trained = clock()  # a stack is asked for its diverged members: a GPU has done its work by then
    networks = {member: context.rounded(network) for member, network in networks.items()}
    cast = tasks.cast_votes(context, networks, {which: level(which) for which in ("clean", "triggered")})
    votes = {member: own["votes/clean/uniform"].cpu().numpy() for member, own in cast.items()}
    spent = np.array([trained - began, clock() - trained]) / len(members)
    return {member: {"votes": own, "seconds": spent} for member, own in votes.items()}


def estimated_seconds(context: RunContext, entry: Entry) -> np.ndarray:
    """Estimate a member's processor seconds: a batch's training × batches × epochs, and votes on both test sets."""
    _, few, more = (_fit_seconds(context, entry, batches) for batches in TIMED_BATCHES)
    step = (more - few) / (TIMED_BATCHES[2] - TIMED_BATCHES[1])
    steps = -(-len(context.tensors["train"]) // entry.batch_size) * entry.epochs
    network, images = context.network(0).eval(), context.tensors["clean"][:256]
    began = time.process_time()
    with torch.no_grad(), context.autocast():
        network(images)
    votes = (time.process_time() - began) / len(images) * 2 * len(context.tensors["clean"])
    return np.array([step * steps, votes])


def _fit_seconds(context: RunContext, entry: Entry, batches: int) -> float:
    images = batches * entry.batch_size
    part = {name: context.tensors[name][:images] for name in ("train", "labels")}
    training = context.config.training.model_copy(update={"epochs": 1})
    short = RunContext(
        config=context.config.model_copy(update={"training": training}),
        device=context.device,
        tensors=context.tensors | part,
        seed=context.seed,
    )
    began = time.process_time()
    tasks.trained_members(short, torch.full((images,), entry.sigma), [0])
    return time.process_time() - began


def curve(votes: np.ndarray, labels: np.ndarray, sigma: float) -> dict[str, Any]:
    """Certified curve of the votes ``(M, n)`` of two classes, and the plug-in one, over :data:`RADII`."""
    members, right = len(votes), (votes == labels).sum(axis=0)
    leads = 2 * right > members
    lower = np.where(right > 0, beta.ppf(ALPHA / 2, np.maximum(right, 1), members - right + 1), 0.0)
    share = right / members

    def beyond(p_a: np.ndarray) -> list[float]:
        radius = np.where(leads & (p_a > 0.5), sigma * norm.ppf(p_a), -1.0)
        return [round(float((radius > r if r else radius >= 0).mean()), 4) for r in RADII]

    return {
        "majority accuracy": float(leads.mean()),
        "certified": beyond(lower),
        "plug-in": beyond(np.minimum(share, 1 - 0.5 / members)),
    }


def measure(folder: Path, names: list[str], members: int, work: Path, out: Path | None, device: str) -> dict[str, Any]:
    """Make the members that are missing, or of none the estimate, and write the result after each."""
    inputs: Inputs | None = None
    for name in names:
        entry, place = ENTRIES[name], work / name
        place.mkdir(parents=True, exist_ok=True)
        wanted = {member: place / MADE[device].replace("*", f"{member:06d}") for member in range(members)}
        missing = [member for member, path in wanted.items() if not path.exists()]
        if missing or not members:
            config = entry.config(folder, device)
            inputs = inputs or load_inputs(config)
            context = context_of(settled(config, inputs), inputs)
        if not members:
            files.write_arrays(place / ESTIMATE, {"seconds": estimated_seconds(context, entry)})
        for some in [missing] if device == "cuda" and missing else [[member] for member in missing]:
            for member, found in member_votes(context, entry, some).items():
                files.write_arrays(wanted[member], found | {"labels": inputs.dataset.test_labels})
                print(f"{name}: member {member}", flush=True)
            record.write("pareto", _facts(work), out)
    return _facts(work)


def _facts(work: Path) -> dict[str, Any]:
    """The result of all members that lie in ``work``, and of estimates where there are none."""
    entries: dict[str, Any] = {}
    for name, entry in ENTRIES.items():
        made = {
            device: [files.read_arrays(path) for path in sorted((work / name).glob(pattern))]
            for device, pattern in MADE.items()
        }
        estimate = [files.read_arrays(path) for path in (work / name).glob(ESTIMATE)]
        if not (estimate or any(made.values())):
            continue
        entries[name] = {"model": entry.model, "sigma": entry.sigma, "epochs": entry.epochs}
        if timed := made["cpu"] or estimate:
            entries[name]["cpu seconds"] = _cost(timed) | {"estimated": not made["cpu"]}
        if made["cuda"]:
            entries[name]["gpu seconds"] = _cost(made["cuda"])
        device = max(made, key=lambda device: len(made[device]))
        if parts := made[device]:
            votes, labels = np.stack([part["votes"] for part in parts]), parts[0]["labels"].astype(np.int64)
            right = votes == labels
            entries[name] |= {"device": device, "members": len(votes), "single accuracy": float(right.mean())}
            entries[name]["all right"] = float(right.all(axis=0).mean())
            counts = [count for count in COUNTS if count <= len(votes)]
            entries[name]["curves"] = {str(m): curve(votes[:m], labels, entry.sigma) for m in counts}
    radii = [round(float(r), 2) for r in RADII]
    return {"alpha": ALPHA, "radii": radii, "entries": entries, "envelopes": _envelopes(entries)}


def _cost(parts: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """The median of members' seconds."""
    training, voting = np.median([part["seconds"] for part in parts], axis=0).tolist()
    return {"training": training, "votes": voting, "of members": len(parts)}


def _envelopes(entries: dict[str, Any]) -> dict[str, Any]:
    """The best σ at every radius, of models with several: chosen in hindsight, so an upper limit and no certificate."""
    found: dict[str, Any] = {}
    for model in sorted({one["model"] for one in entries.values()}):
        curves = [one["curves"] for one in entries.values() if one["model"] == model and one.get("curves")]
        if len(curves) > 1:
            shared = set.intersection(*(set(one) for one in curves))
            found[model] = {m: _best([one[m]["certified"] for one in curves]) for m in sorted(shared, key=int)}
    return found


def _best(curves: list[list[float]]) -> list[float]:
    return np.max(curves, axis=0).tolist()


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out costs and certified shares, in words."""
    at = [facts["radii"].index(radius) for radius in (0.0, 0.1, 0.25, 0.5)]
    rows = []
    for name, one in facts["entries"].items():
        costs = []
        if cost := one.get("cpu seconds"):
            costs += [f"{cost['training'] + cost['votes']:,.2f} CPU-s a member{', estimated' * cost['estimated']}"]
        if cost := one.get("gpu seconds"):
            costs += [f"{cost['training'] + cost['votes']:,.2f} s of a GPU"]
        words = ", ".join(costs)
        if "members" in one:
            words += f"; right {one['single accuracy']:.3f}, all {one['members']} right {one['all right']:.3f}"
        rows.append((name, words))
        for members, found in one.get("curves", {}).items():
            shares = (" / ".join(f"{found[kind][k]:.3f}" for k in at) for kind in ("certified", "plug-in"))
            words = "certified {}, plug-in {} at 0 / .1 / .25 / .5".format(*shares)
            rows.append((f"    M = {members}: majority {found['majority accuracy']:.3f}", words))
    for model, found in facts["envelopes"].items():
        for members, shares in found.items():
            words = " / ".join(f"{shares[k]:.3f}" for k in at)
            rows.append((f"{model}, best σ at every radius, M = {members}", f"certified {words}"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--members", type=int, default=20, help="0: estimate the cost")
    parser.add_argument("--entries", default=",".join(ENTRIES), help="separated by commas")
    parser.add_argument("--work", type=Path, default=Path("checkpoints/.pareto"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", choices=tuple(MADE), default="cpu")
    settings = parser.parse_args()
    names = settings.entries.split(",")
    if unknown := set(names) - set(ENTRIES):
        parser.error(f"no such entry: {', '.join(sorted(unknown))}; known: {', '.join(ENTRIES)}")
    torch.set_num_threads(1)
    facts = measure(settings.folder.resolve(), names, settings.members, settings.work, settings.out, settings.device)
    record.show(table(facts))
    record.write("pareto", facts, settings.out)


if __name__ == "__main__":
    main()
