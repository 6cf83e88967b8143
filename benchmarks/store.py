"""Cost of the store by its size: time, memory, a query; beside the published memory script, in one run.

    python -m benchmarks.store [--balls 100000] [--published 4000] [--kinds mnist,random]   (MNIST under CERTSSB_DATA)

``mnist``: all 70,000 images and as many one-pixel triggered copies as are missing, shuffled; ``random``: uniform
pixels, the worst case for every shortcut. Radii are σ · 2.4633 (what 1,000 unanimous votes certify at α = 0.001) with
σ log-uniform in 0.25 … 1; 2 % of the labels are wrong and 1 % abstain. The store is a file, filled in transactions of
500 by a process of its own, whose memory counts beyond what it began with and the images, mapped from a file. Writes
results/store.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import record
from certssb_core.data.datasets import load
from certssb_core.data.triggers import apply_trigger
from certssb_core.store.store import Store

BATCH = 500
SIZES = (500, 1000, 2000, 4000, 10_000, 20_000, 40_000, 70_000, 100_000)
MARGIN = 2.4633
QUERIES = 200
COLUMNS = ("images", "labels", "radii")


def inputs(kind: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(n, 784)`` float32 images, ``(n,)`` labels (-1: abstains) and radii."""
    generator = np.random.default_rng(0)
    if kind == "random":
        images, labels = generator.random((count, 784), dtype=np.float32), generator.integers(0, 10, count)
    else:
        data = load(name="mnist", root=None, classes=None, max_train=None, max_test=None, size=None, seed=0)
        images = np.concatenate([data.train_images, data.test_images])
        labels = np.concatenate([data.train_labels, data.test_labels])
        order = generator.permutation(len(images))[:count]
        more = order[: count - len(order)]
        triggered = apply_trigger(images[more], trigger="one-pixel", norm=1.0)
        images, labels = np.concatenate([images[order], triggered]), np.concatenate([labels[order], labels[more]])
        arrival = generator.permutation(count)
        images, labels = images[arrival].reshape(count, -1), labels[arrival]
    radii = MARGIN * np.exp(generator.uniform(np.log(0.25), 0, count))
    labels = np.where(generator.random(count) < 0.02, generator.integers(0, 10, count), labels)
    labels[generator.random(count) < 0.01] = -1
    radii[labels == -1] = 0
    return images, labels, radii


def ours(folder: Path) -> dict[str, Any]:
    """Seconds (wall clock, processor) at every size on the way, the milliseconds of a query, and the memory."""
    images, labels, radii = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in COLUMNS)
    marks, cases, before = [], {}, held()
    highest, wall, cpu = 0, time.perf_counter(), time.process_time()
    with Store.open(folder / "store.sqlite") as store:
        for start in range(0, len(images), BATCH):
            rows = slice(start, start + BATCH)
            part = len(labels[rows])
            indices = np.arange(start, start + part)
            for entry in store.insert(
                images[rows], labels[rows], radii[rows], np.ones(part), ["benchmark"] * part, indices
            ):
                cases[entry.case] = cases.get(entry.case, 0) + 1
            highest = max(highest, held() - before)
            if start + part in SIZES or start + part == len(images):
                marks.append((start + part, time.perf_counter() - wall, time.process_time() - cpu))
        balls = len(store)
        asked = [image + np.float32(0.01) for image in images[:QUERIES]]
        took, cpu = [], time.process_time()
        for image in asked:
            began = time.perf_counter()
            store.query(image)
            took.append(time.perf_counter() - began)
        cpu = time.process_time() - cpu
    return {
        "balls": balls,
        "cases": cases,
        "inputs": [mark[0] for mark in marks],
        "seconds": [round(mark[1], 3) for mark in marks],
        "cpu_seconds": [round(mark[2], 3) for mark in marks],
        "query_ms": {"median": float(np.median(took) * 1e3), "least": min(took) * 1e3, "cpu": cpu / QUERIES * 1e3},
        "memory_over_centres": highest / (balls * images.shape[1] * 4),
    }


def published(images: np.ndarray, labels: np.ndarray, radii: np.ndarray) -> dict[str, Any]:
    """Seconds at every size on the way of :func:`memory_script`, and the labels and radii it ends with."""
    marks, saved = [], ([], [])
    wall, cpu = time.perf_counter(), time.process_time()
    for saved in memory_script(torch.from_numpy(images), labels.tolist(), radii.tolist()):
        if len(saved[0]) in SIZES:
            marks.append((len(saved[0]), time.perf_counter() - wall, time.process_time() - cpu))
    return {
        "inputs": [mark[0] for mark in marks],
        "seconds": [round(mark[1], 3) for mark in marks],
        "cpu_seconds": [round(mark[2], 3) for mark in marks],
        "saved": saved,
    }


def memory_script(
    images: torch.Tensor, labels: list[int], radii: list[float]
) -> Iterator[tuple[list[int], list[float]]]:
    """The public memory script of arXiv 2012.04351, in our words: everything stored is stacked anew for every input.

    Its conflict branch raises (it unpacks a minimum without an index); here it takes what the branch was meant to take.
    """
    saved_images: list[torch.Tensor] = []
    saved_labels: list[int] = []
    saved_radii: list[float] = []
    for image, label, radius in zip(images, labels, radii, strict=True):
        if saved_images:
            apart = torch.norm(image.reshape(1, -1) - torch.stack(saved_images).reshape(len(saved_radii), -1), dim=1)
            overlap = apart < torch.tensor(saved_radii) + radius
            rivals = overlap & (torch.tensor(saved_labels) != label)
            if overlap.any() and rivals.any():
                gap, nearest = (apart[rivals] - torch.tensor(saved_radii)[rivals]).min(dim=0)
                if gap < 0:
                    label = int(torch.tensor(saved_labels)[rivals][nearest])
                radius = abs(float(gap))
        saved_images.append(image)
        saved_labels.append(label)
        saved_radii.append(radius)
        yield saved_labels, saved_radii


def held() -> int:
    """Bytes of memory that this process holds and that are no mapped files (Linux; 0 elsewhere)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measure(balls: int = 100_000, published_balls: int = 4000, kinds: tuple[str, ...] = ("mnist", "random")) -> dict:
    facts: dict[str, Any] = {"dimensions": 784, "batch": BATCH, "threads": torch.get_num_threads()}
    for kind in kinds:
        given = inputs(kind, balls)
        if kind == "mnist" and published_balls:
            facts["published script"] = published(*(column[:published_balls] for column in given))
            del facts["published script"]["saved"]
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
            for name, column in zip(COLUMNS, given, strict=True):
                np.save(Path(folder) / f"{name}.npy", column)
            facts[kind] = pool.apply(ours, (Path(folder),))
    return facts


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the measured costs, in words."""
    rows = []
    for kind in ("published script", "mnist", "random"):
        if kind not in facts:
            continue
        found = facts[kind]
        for count, wall, cpu in zip(found["inputs"], found["seconds"], found["cpu_seconds"], strict=True):
            if count in (4000, 10_000, found["inputs"][-1]):
                rows.append((f"store, {kind}: {count:,} inputs", f"{wall:.2f} s ({cpu:.2f} s of processor)"))
        if "query_ms" in found:
            query = found["query_ms"]
            rows.append(
                (
                    f"store, {kind}: a query",
                    f"{query['median']:.2f} ms (least {query['least']:.2f}, processor {query['cpu']:.2f})",
                )
            )
            rows.append((f"store, {kind}: memory", f"{found['memory_over_centres']:.2f} × the centres"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--balls", type=int, default=100_000)
    parser.add_argument("--published", type=int, default=4000)
    parser.add_argument("--kinds", default="mnist,random")
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    facts = measure(settings.balls, settings.published, tuple(settings.kinds.split(",")))
    record.show(table(facts))
    record.write("store", facts, settings.out)


if __name__ == "__main__":
    main()
