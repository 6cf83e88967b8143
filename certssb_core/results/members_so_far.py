"""Count the votes of the members that a run at work has made so far, from their files beside the worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run

POINTS = 40
"""Numbers of members at which the vote is counted, at most."""


def majority_so_far(run: Run) -> pd.DataFrame:
    """Share of the test images on which most of the first m members are right, for rising m.

    Members vote under the run's own test noise; nobody abstains here, so this is no certified accuracy.

    Returns:
        Columns ``members, set, share``; empty as long as fewer than two members are there.
    """
    try:
        with safe_open(run.path / "scratch.safetensors", "numpy") as scratch:
            labels, classes = scratch.get_tensor("test_labels"), int(scratch.get_tensor("classes").item())
    except (OSError, SafetensorError):
        return _table([])
    noise = run.config.noise
    noise_map = "uniform" if noise.chosen_by_votes else noise.test_map
    votes = {name: _votes(run.path / "members", f"votes/{name}/{noise_map}", len(labels)) for name in SETS}
    made = min(map(len, votes.values()))
    if made < 2:
        return _table([])
    rows = []
    for name, cast in votes.items():
        counts, before = np.zeros((len(labels), classes), np.int64), 0
        for members in np.unique(np.linspace(1, made, min(made, POINTS)).astype(int)).tolist():
            for one in cast[before:members]:
                counts[np.arange(len(labels)), one] += 1
            before = members
            rows.append({"members": members, "set": name, "share": float((counts.argmax(1) == labels).mean())})
    return _table(rows)


def _table(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["members", "set", "share"])


def _votes(folder: Path, name: str, images: int) -> np.ndarray:
    """Votes ``(m, n)`` of the members whose files are whole; a file may be written or gathered at this moment."""
    found = [np.empty((0, images), np.uint8)]
    paths = [*folder.glob("shard-*.safetensors"), *folder.glob("part-*.safetensors")]
    for path in sorted(paths, key=lambda path: path.stem.partition("-")[2]):  # by the number of the first member
        try:
            with safe_open(path, "numpy") as file:
                if name in file.keys():  # noqa: SIM118
                    found.append(file.get_tensor(name).reshape(-1, images))
        except (OSError, SafetensorError, ValueError):
            continue
    return np.concatenate(found)
