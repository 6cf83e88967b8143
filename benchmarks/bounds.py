"""Mean radius per bound, in units of σ, for the same votes: vote profiles at M = 100, 1,000, 10,000, and a run's votes.

    python -m benchmarks.bounds [--run checkpoints/digits]

The radius is the margin of a decided, right answer and 0 otherwise, averaged over inputs. Prints a table and writes
results/bounds.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from certssb_core.certify.bounds.registry import BOUNDS, ClassBounds
from certssb_core.certify.bounds.time_uniform import time_uniform_bounds
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.run import Run

PROFILES = {
    "two classes, p_A ~ Beta(20, 1)": (2, 20.0),
    "three classes, p_A ~ Beta(8, 1)": (3, 8.0),
    "ten classes, p_A ~ Beta(8, 1)": (10, 8.0),
    "ten classes, p_A ~ Beta(3, 2)": (10, 3.0),
}
"""Classes and Beta's first parameter; the rest of the probability is spread by a flat Dirichlet over the others."""
SECOND = {"ten classes, p_A ~ Beta(3, 2)": 2.0}
MEMBERS = (100, 1000, 10_000)
TARGET = 0.5
"""Early stopping: the margin at which an input needs no further vote."""


@dataclass(frozen=True)
class Stopped:
    """Early certification: ``used`` ``(n,)`` int64 votes read per input, and the bounds that they establish."""

    used: np.ndarray
    bounds: ClassBounds


def stop_early(votes: ArrayLike, *, classes: int, alpha: float, margin: float, every: int = 1) -> Stopped:
    """Read votes in order, for every input until its margin is certified or there are no more.

    Args:
        votes: ``(M, n)`` integer classes in the order of the members.
        classes: number of classes C >= 2.
        alpha: failure probability per input, in (0, 1).
        margin: the margin, in units of sigma, at which an input needs no further vote.
        every: look after so many votes; looking costs no confidence.
    """
    votes = np.asarray(votes)
    members, n = votes.shape
    counts, running, used = np.zeros((n, classes), np.int64), np.ones(n, bool), np.full(n, members)
    found = {name: np.zeros(n, kind) for name, kind in _COLUMNS.items()}
    for start in range(0, members, every):
        part = votes[start : start + every, running]
        seen = start + len(part)
        counts[running] += np.stack([(part == c).sum(axis=0) for c in range(classes)], axis=1)
        bounds = time_uniform_bounds(counts[running], seen, alpha)
        for name, column in found.items():
            column[running] = getattr(bounds, name)
        reached = (bounds.prediction >= 0) & (ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper) >= 2 * margin)
        done = np.flatnonzero(running)[reached]
        used[done], running[done] = seen, False
        if not running.any():
            break
    return Stopped(used=used, bounds=ClassBounds(**found))


_COLUMNS = {"prediction": np.int64, "top": np.int64, "p_a_lower": np.float64, "p_b_upper": np.float64}


def margins(bounds: ClassBounds, labels: np.ndarray) -> np.ndarray:
    gap = (ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper)) / 2
    return np.where(bounds.prediction == labels, gap, 0.0)


def cast(name: str, members: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Votes ``(M, n)`` of a profile, and the true leading classes ``(n,)``."""
    classes, first = PROFILES[name]
    rng = np.random.default_rng(0)
    leading = rng.beta(first, SECOND.get(name, 1.0), size=inputs)
    others = rng.dirichlet(np.ones(classes - 1), size=inputs) * (1 - leading)[:, None]
    p = np.concatenate([leading[:, None], others], axis=1)
    draws = rng.random((members, inputs), dtype=np.float32)
    votes = np.zeros((members, inputs), np.uint8)
    for edge in np.cumsum(p, axis=1).T[:-1]:
        votes += draws > edge.astype(np.float32)
    return votes, p.argmax(axis=1)


def measure(
    votes: np.ndarray, labels: np.ndarray, classes: int, alpha: float, softmax: np.ndarray | None = None
) -> dict[str, float]:
    counts = np.stack([(votes == label).mean(axis=0) for label in range(classes)], axis=1)
    softmax = counts if softmax is None else softmax
    figures = {
        name: margins(bound.from_votes(votes, classes=classes, alpha=alpha, softmax=softmax), labels).mean()
        for name, bound in BOUNDS.items()
    }
    stopped = stop_early(votes, classes=classes, alpha=alpha, margin=TARGET, every=max(1, len(votes) // 100))
    figures["votes read until margin 0.5"] = stopped.used.mean()
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a finished run")
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "bounds.json")
    settings = parser.parse_args()
    rows = [
        {"votes": name, "members": members}
        | measure(*cast(name, members, settings.inputs), PROFILES[name][0], settings.alpha)
        for name in PROFILES
        for members in MEMBERS
    ]
    if settings.run:
        run = read_run_votes(Run(settings.run))
        for test_set, read in run.sets.items():
            for noise_map, votes in read.votes.items():
                figures = measure(votes, run.labels, run.classes, settings.alpha, read.softmax[noise_map])
                rows.append(
                    {"votes": f"{settings.run.name}: {test_set}, {noise_map}", "members": run.members} | figures
                )
    columns = list(rows[0])[2:]
    print(f"{'mean margin (radius / σ)':44}{'M':>7}" + "".join(f"{name:>29}" for name in columns))
    for row in rows:
        print(f"{row['votes']:44}{row['members']:>7}" + "".join(f"{row[name]:>29.4f}" for name in columns))
    settings.out.parent.mkdir(exist_ok=True)
    settings.out.write_text(json.dumps({"alpha": settings.alpha, "inputs": settings.inputs, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
