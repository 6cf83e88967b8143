"""Certificates of partitions against the planted attack, at equal members: the neighbours of the subset runs.

    python -m benchmarks.partitions [PRESET] [--parts 500 1000 1500 2000] [--images N …] [--test N]

Members are those of the preset, each of the images of one part, and vote with their margins (PECAN's idea). n replaced
images rule n members where an image keeps its part whatever it becomes (by place), and 2 n where a hash of its content
names the part: it leaves one and enters another. *Finite aggregation* sends an image, by that hash, to two members, so
that a member sees twice as many. Its rows are about the input as given, as DPA's are: those by hash at norm 0. Nothing
is left to chance. Prints the clean test images that stand at each number of replaced images, by default that of the
planted attack, and writes results/partitions-PRESET.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from certssb_core.certify.margin_votes import in_steps, steps_of
from certssb_core.certify.partition import offsets, spread_changes_certified
from certssb_core.certify.partition_margin import changes_while_moved
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble.models import build, projected
from certssb_core.ensemble.voting import vote
from certssb_core.runs.inputs import Inputs, load_inputs
from certssb_core.smoothing.seeds import generator

NORMS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


def cast_votes(
    inputs: Inputs, seen: tuple[torch.Tensor, torch.Tensor], model: str, parts: int, spread: int
) -> tuple[np.ndarray, np.ndarray]:
    """Train a member per part on the ``spread`` buckets that reach it: votes and margins in steps ``(parts, n)``.

    Args:
        seen: training and test images as the members take them.
    """
    _, channels, side, _ = inputs.dataset.test_images.shape
    train, test = seen
    labels, classes = torch.from_numpy(inputs.poisoned.labels), len(inputs.dataset.classes)
    bucket = generator(0, "parts").permutation(np.arange(len(train)) % parts)
    votes, margins = [], []
    for part in range(parts):
        rows = np.flatnonzero(np.isin((part - bucket) % parts, offsets(parts, spread)))
        member = build(model, channels=channels, side=side, classes=classes, seed=0, member=part)
        member.solve(train[rows], labels[rows])
        ballot = vote(member, test, margins=True, batch_size=len(test))
        assert ballot.margin is not None
        votes.append(ballot.hard.numpy())
        margins.append(in_steps(ballot.margin.numpy()))
    return np.stack(votes), np.stack(margins)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="subset-mnist-01-onepixel")
    parser.add_argument("--parts", type=int, nargs="+", default=[500, 1000, 1500, 2000])
    parser.add_argument("--images", type=int, nargs="+", help="replaced images; default: those that are poisoned")
    parser.add_argument("--test", type=int, help="test images, at most")
    asked = parser.parse_args()
    config = override(PRESETS[asked.preset], {"data.max_test": asked.test} if asked.test else {})
    inputs, model = load_inputs(config), config.training.model
    torch.set_num_threads(1)  # members are small
    train, test = (torch.from_numpy(one) for one in (inputs.poisoned.images, inputs.dataset.test_images))
    seen = projected(model, train), projected(model, test)
    truth, classes = inputs.dataset.test_labels, len(inputs.dataset.classes)
    replaced = asked.images or [len(inputs.poisoned.indices)]
    rows: list[dict[str, Any]] = []

    def note(parts: int, rule: str, images: int, norms: list[float], stand: list[int]) -> None:
        row = {"parts": parts, "parts of images": rule, "images": images}
        rows.append(row | {"certified": dict(zip(norms, stand, strict=True))})
        print(f"{parts:6,} {rule:20} {stand} of {len(truth):,} against {images:,} images, at norms {norms}", flush=True)

    for parts in asked.parts:
        votes, margins = cast_votes(inputs, seen, model, parts, 1)
        top = np.stack([(votes == label).sum(0) for label in range(classes)]).argmax(0)
        changes = changes_while_moved(votes, margins, top, classes)[:, [steps_of(norm) for norm in NORMS]]
        changes = np.where((top == truth)[:, None], changes, -1)
        print(f"{parts:6,} parts: accuracy {(top == truth).mean():.4f}")
        twice, _ = cast_votes(inputs, seen, model, parts, 2)
        both = np.stack([(twice == label).sum(0) for label in range(classes)]).argmax(0)
        certified = np.where(both == truth, spread_changes_certified(twice, classes, 2), -1)
        for images in replaced:
            for rule, ruled in (("by place", images), ("by hash", 2 * images)):
                note(parts, rule, images, list(NORMS), (changes >= ruled).sum(0).tolist())
            note(parts, "finite aggregation", images, [0.0], [int((certified >= 2 * images).sum())])
    found = {"preset": asked.preset, "model": model, "n": len(truth), "rows": rows}
    path = Path(__file__).parent / "results" / f"partitions-{asked.preset}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
