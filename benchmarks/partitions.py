"""Partitions with margins against the planted attack: DPA with PECAN's idea, from the members of the subset runs.

    python -m benchmarks.partitions [PRESET] [--parts 500 1000 1500 2000]

Every training image lies in one part, and each part trains one nearest-mean member, which sees no other image. Its vote
counts where its margin is at least τ. n replaced images reach n parts where an image keeps its part whatever it becomes
(by place), and 2 n where a hash of its content names the part: it leaves one and enters another. The right class stands
while its votes are more than half by more than so many. Nothing is left to chance. Prints the clean test images that
stand at the planted attack's number of images, and writes results/partitions.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from certssb_core.config.presets import PRESETS
from certssb_core.ensemble.closed_form import NearestMean
from certssb_core.ensemble.voting import vote
from certssb_core.runs.inputs import Inputs, load_inputs
from certssb_core.smoothing.seeds import generator

NORMS = (0.0, 0.5, 1.0, 1.5, 2.0)


def backing_votes(inputs: Inputs, parts: int) -> np.ndarray:
    """Votes for the right class with a margin of at least each norm: ``(len(NORMS), n)``."""
    _, channels, side, _ = inputs.dataset.test_images.shape
    project, classes = NearestMean.project, len(inputs.dataset.classes)
    train, test = (project(torch.from_numpy(images)) for images in (inputs.poisoned.images, inputs.dataset.test_images))
    labels, truth = torch.from_numpy(inputs.poisoned.labels), inputs.dataset.test_labels
    own = generator(0, "parts").permutation(np.arange(len(train)) % parts)
    found = np.zeros((len(NORMS), len(test)), np.int64)
    for part in range(parts):
        rows = np.flatnonzero(own == part)
        member = NearestMean(channels, side, classes)
        member.solve(train[rows], labels[rows])
        ballot = vote(member, test, margins=True, batch_size=len(test))
        assert ballot.margin is not None
        right = ballot.hard.numpy() == truth
        found += [right & (ballot.margin.numpy() >= norm) for norm in NORMS]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="subset-mnist-01-onepixel")
    parser.add_argument("--parts", type=int, nargs="+", default=[500, 1000, 1500, 2000])
    asked = parser.parse_args()
    inputs = load_inputs(PRESETS[asked.preset])
    torch.set_num_threads(1)  # members are small
    images, rows = len(inputs.poisoned.indices), []
    for parts in asked.parts:
        votes = backing_votes(inputs, parts)
        for rule, reached in (("by place", images), ("by hash", 2 * images)):
            stand = (2 * (votes - reached) > parts).sum(axis=1).tolist()
            rows.append({"parts": parts, "parts of images": rule, "certified": dict(zip(NORMS, stand, strict=True))})
            print(f"{parts:6,} {rule:9} {stand} of {votes.shape[1]:,} against {images:,} images, at norms {NORMS}")
    found = {"preset": asked.preset, "images": images, "n": len(inputs.dataset.test_labels), "rows": rows}
    path = Path(__file__).parent / "results" / f"partitions-{asked.preset}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
