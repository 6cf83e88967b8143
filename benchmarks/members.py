"""Compare what members certify, run beside run, at equal M and α.

    python -m benchmarks.members NAME RUN [RUN …] [--members 1000,10000]

Every run is cut to its first members, as many as asked for or as the smallest run has, and its votes at σ*_x are read
by one sound arithmetic; a run may have been imported (``import-release``: the published loop's own members). Clean test
images; a wrong answer counts as radius 0. Prints the share certified beyond each radius and writes
results/members-NAME.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.results import certification
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.run import Run

MODE = "sample-specific"
HARD = [name for name, bound in BOUNDS.items() if bound.vote != "softmax"]


def first(found: RunVotes, members: int) -> RunVotes:
    """Keep the votes of the first ``members`` alone, for bounds on hard votes: softmax is a mean over all."""
    sets = {
        test_set: replace(read, votes={noise_map: votes[:members] for noise_map, votes in read.votes.items()})
        for test_set, read in found.sets.items()
    }
    return replace(found, sets=sets)


def certified(found: RunVotes, *, bound: str, alpha: float, radii: np.ndarray) -> dict[str, Any]:
    table = certification.certify_votes(found, mode=MODE, bound=bound, alpha=alpha)
    rows = table[table["set"] == "clean"]
    radius = np.where(rows["prediction"] == rows["label"], rows["radius"], -1.0)
    return {
        "mean radius": float(radius.clip(0).mean()),
        "mean accuracy of a member": float((found.sets["clean"].votes[MODE] == found.labels).mean()),
        "share beyond": [float((radius > r).mean()) for r in radii],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--members", help="separated by commas; default: those of the smallest run")
    parser.add_argument("--bound", default="clopper-pearson", choices=HARD)
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--step", type=float, default=0.05)
    parser.add_argument("--radius", type=float, default=2.0, help="up to which the shares are told")
    settings = parser.parse_args()
    runs = {path.name: read_run_votes(Run(path)) for path in settings.runs}
    fewest = min(run.members for run in runs.values())
    counts = [int(count) for count in settings.members.split(",")] if settings.members else [fewest]
    if max(counts) > fewest:
        parser.error(f"{max(counts):,} members are asked for, and one run has {fewest:,}")
    rule = {"bound": settings.bound, "alpha": settings.alpha}
    radii = np.arange(0, settings.radius, settings.step)
    found = {
        f"{name}, {members:,} members": certified(first(run, members), radii=radii, **rule)
        for name, run in runs.items()
        for members in counts
    }
    every = max(1, round(0.25 / settings.step))
    for name, one in found.items():
        shown = "  ".join(f"{share:.4f}" for share in one["share beyond"][::every])
        print(f"{name:32} member {one['mean accuracy of a member']:.4f}  radius {one['mean radius']:.3f}  {shown}")
    record.write(f"members-{settings.name}", rule | {"radii": radii.tolist(), "runs": found})


if __name__ == "__main__":
    main()
