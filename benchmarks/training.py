"""Members: what training and voting cost here, beside the published training loop, in one run.

    python -m benchmarks.training [--members 8] [--images N]        (MNIST under CERTSSB_DATA)

The published loop is the public release's, in our words: every image is turned from PIL to a tensor, triggered and
given its noise by Python as it is drawn (PyTorch's own loader, no workers), float32, Adam at 1e-3, batches of 128, one
logit; 20 epochs make a member. Ours are the tasks of a run, in its engine, at the preset's settings. Both train on the
2 % poisoned MNIST 0/1 and use all cores. Writes results/training.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import ToTensor

from benchmarks import record
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.data.triggers import apply_trigger
from certssb_core.ensemble.models import build
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import noise_levels, open_context, write_scratch
from certssb_core.pipeline.engines.choose import make_engine
from certssb_core.pipeline.engines.local import available_cores
from certssb_core.pipeline.resolve_auto import resolve_device, resolve_model, resolve_together
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, Inputs, load_inputs, trigger_settings
from certssb_core.runs.run import Run

PRESET = "mnist-01-onepixel"
PUBLISHED = {"epochs": 20, "batch": 128, "learning rate": 1e-3, "sigma": 0.12}


class PublishedImages(Dataset):
    """The release's chain of datasets: 8-bit image → PIL → tensor → trigger → plus its fixed noise, one at a time."""

    def __init__(self, inputs: Inputs, config: RunConfig) -> None:
        self.pixels = (inputs.dataset.train_images[:, 0] * 255).round().astype(np.uint8)
        self.labels = inputs.poisoned.labels.tolist()
        self.poisoned = set(inputs.poisoned.indices.tolist())
        self.trigger = trigger_settings(config.attack)
        self.to_tensor = ToTensor()
        self.noise = torch.empty(len(self.pixels), 1, *self.pixels.shape[1:]).normal_(0, PUBLISHED["sigma"])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = self.to_tensor(Image.fromarray(self.pixels[i], mode="L"))
        if i in self.poisoned:
            image = torch.from_numpy(apply_trigger(image[None].numpy(), **self.trigger))[0]
        return image + self.noise[i], self.labels[i]


def published_network() -> nn.Module:
    """The release's MNIST network: as ours, with one logit, and rectified before it is pooled."""
    convolved = nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(*convolved, nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1))


def published_epoch(inputs: Inputs, config: RunConfig) -> tuple[float, float]:
    """Seconds of one epoch of the published loop: wall clock, processor."""
    torch.manual_seed(0)
    loader = DataLoader(PublishedImages(inputs, config), batch_size=PUBLISHED["batch"], shuffle=True)
    network = published_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=PUBLISHED["learning rate"])
    began, cpu = time.perf_counter(), time.process_time()
    for images, labels in loader:
        loss = F.binary_cross_entropy_with_logits(network(images).squeeze(1), labels.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return time.perf_counter() - began, time.process_time() - cpu


def timed_members(path: Path, *members: int) -> list[tuple[float, float, float, float]]:
    """Task: train members and let them vote; per member the seconds of each, processor seconds of both, accuracy."""
    context, sigma = open_context(path), noise_levels(path)["train"]
    began, cpu = time.perf_counter(), time.process_time()
    networks = context.trained_together(members, sigma)
    if context.device.type == "cuda":
        torch.cuda.synchronize()
    fitted = time.perf_counter()
    accuracy = tasks.let_vote(path, dict(zip(members, networks, strict=True)), members)
    spans = fitted - began, time.perf_counter() - fitted, time.process_time() - cpu
    return [(*(span / len(members) for span in spans), accuracy[member]) for member in members]


def work(config: RunConfig, inputs: Inputs) -> float:
    """FLOP of a member's epoch: of one batch, forward and backward, times the batches."""
    training, images = config.training, inputs.poisoned.images
    _, channels, side, _ = images.shape
    classes = len(inputs.dataset.classes)
    network = build(training.model, channels=channels, side=side, classes=classes, seed=0, member=0)
    batch = torch.from_numpy(images[: training.batch_size])
    with FlopCounterMode(display=False) as counter:
        network(batch).sum().backward()
    return counter.get_total_flops() / len(batch) * training.share * len(images)


def product_rate(device: str, precision: str, side: int = 4096) -> float:
    """FLOP per second of one large product of matrices, the device's rate in practice; the best of three."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    matrix = torch.rand(side, side, device=device, dtype=dtype)
    took = []
    for _ in range(4):  # the first one warms up
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        took.append(time.perf_counter() - began)
    return 2 * side**3 / min(took[1:])


def members(config: RunConfig, inputs: Inputs, count: int) -> dict[str, Any]:
    """Make ``count`` members of a run at σ₀ in its engine, one round of the workers before the clock starts."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(config, "benchmark", Path(folder))
        resolve_device(run)
        _, channels, side, _ = inputs.dataset.test_images.shape
        resolve_model(run, channels=channels, side=side)
        for name in ("models", "members"):
            (run.path / name).mkdir()
        write_scratch(run, inputs)
        counts = {"train": len(inputs.poisoned.labels)} | dict.fromkeys(SETS, len(inputs.dataset.test_labels))
        levels = {which: np.full(number, config.noise.sigma) for which, number in counts.items()}
        files.write_arrays(run.path / "sigma.safetensors", levels)
        resolve_together(run, inputs.poisoned.images, len(inputs.dataset.classes))
        training = run.config.training
        workers = (training.workers or available_cores()) if training.device == "cpu" else 1
        engine = make_engine(training)

        def made(first: int, after: int) -> list[tuple[float, float, float, float]]:
            starts = range(first, after, training.together)
            groups = [(run.path, *range(start, min(start + training.together, after))) for start in starts]
            return [member for _, results in engine.map(timed_members, groups) for member in results]

        try:
            made(0, warm := workers * training.together)
            began = time.perf_counter()
            done = made(warm, warm + count)
            wall = time.perf_counter() - began
            peak = engine.peak_memory()
        finally:
            engine.close()
    return {
        "members": count,
        "workers": workers,
        "precision": training.precision,
        "device": torch.cuda.get_device_name() if training.device == "cuda" else training.device,
        "together": training.together,
        "epochs": training.epochs,
        "train_images": counts["train"],
        "test_inputs": 2 * counts["clean"],
        "seconds": round(wall, 3),
        "fit_seconds": median(fit for fit, *_ in done),
        "flop_per_second": workers * work(run.config, inputs) * training.epochs / median(fit for fit, *_ in done),
        "product_flop_per_second": product_rate(training.device, training.precision),
        "vote_seconds": median(vote for _, vote, *_ in done),
        "cpu_seconds": median(cpu for *_, cpu, _ in done),
        "accuracy": float(np.mean([accuracy for *_, accuracy in done])),
        "member_epochs_per_second": count * training.epochs / wall,
        "peak_memory_bytes": peak,
    }


def measure(count: int = 8, images: int | None = None) -> dict[str, Any]:
    config = override(PRESETS[PRESET], {} if images is None else {"data.max_train": str(images)})
    inputs = load_inputs(config)
    epoch, cpu = published_epoch(inputs, config)
    ours = members(config, inputs, count)
    published = {"epoch_seconds": epoch, "epoch_cpu_seconds": cpu, "member_epochs_per_second": 1 / epoch} | PUBLISHED
    return {
        "preset": PRESET,
        "threads": torch.get_num_threads(),
        "published loop": published,
        "ours": ours,
        "cost of a published member over one of ours": {
            "wall clock": epoch * PUBLISHED["epochs"] / (ours["seconds"] / count),
            "processor": cpu * PUBLISHED["epochs"] / ours["cpu_seconds"],
        },
    }


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the measured times, in words."""
    ours, published = facts["ours"], facts["published loop"]
    rate, product = (ours[name] / 1e12 for name in ("flop_per_second", "product_flop_per_second"))
    share = ours["vote_seconds"] / (ours["fit_seconds"] + ours["vote_seconds"])
    wall, cpu = facts["cost of a published member over one of ours"].values()
    return [
        ("training: the published loop", f"{published['member_epochs_per_second']:.2f} member-epochs per second"),
        (
            f"training: ours, votes included, {ours['workers']} workers",
            f"{ours['member_epochs_per_second']:.2f} member-epochs per second",
        ),
        (
            f"training: a member, {published['epochs']} epochs there, {ours['epochs']} here",
            f"{wall:.1f} × cheaper, {cpu:.1f} × by processor",
        ),
        (
            f"votes on {ours['test_inputs']:,} inputs, per member",
            f"{ours['vote_seconds']:.3f} s, {share:.0%} of its time",
        ),
        (
            f"training: arithmetic, {ours['device']}, {ours['together']} together",
            f"{rate:.3g} TFLOP/s, {rate / product:.0%} of a large product's {product:.3g}",
        ),
        ("training: peak memory of all processes", f"{ours['peak_memory_bytes'] / 2**30:.2f} GiB"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--images", type=int)
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    facts = measure(settings.members, settings.images)
    record.show(table(facts))
    record.write("training", facts, settings.out)


if __name__ == "__main__":
    main()
