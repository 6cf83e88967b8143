"""What members certify, ours beside the published ones, at equal M and α.

    python -m benchmarks.published RUN RELEASE

RUN was trained here, RELEASE imported (``import-release``): the published loop's own members. Both are cut to the
smaller number of members, and their votes at σ*_x read by the same sound arithmetic. Clean test images; a wrong answer
counts as radius 0. Prints the share certified beyond each radius and writes results/published.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from certssb_core.experiment import certification
from certssb_core.experiment.run import Run
from certssb_core.experiment.voted import Voted, voted

MODE = "sample-specific"


def first(found: Voted, members: int) -> Voted:
    """As if only the first ``members`` had voted (hard votes; softmax stays the mean over all)."""
    return replace(found, votes={key: votes[:members] for key, votes in found.votes.items()})


def certified(found: Voted, *, alpha: float, radii: np.ndarray) -> dict[str, Any]:
    table = certification.certify(found, mode=MODE, bound="clopper-pearson", alpha=alpha)
    rows = table[table["set"] == "clean"]
    radius = np.where(rows["prediction"] == rows["label"], rows["radius"], -1.0)
    return {
        "mean radius": float(radius.clip(0).mean()),
        "mean accuracy of a member": float((found.votes["clean", MODE] == found.labels).mean()),
        "share beyond": [float((radius > r).mean()) for r in radii],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ours", type=Path, metavar="RUN")
    parser.add_argument("published", type=Path, metavar="RELEASE")
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--step", type=float, default=0.05)
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    runs = {"ours": voted(Run(settings.ours)), "published": voted(Run(settings.published))}
    members = min(run.members for run in runs.values())
    radii = np.arange(0, 2, settings.step)
    found = {name: certified(first(run, members), alpha=settings.alpha, radii=radii) for name, run in runs.items()}
    print(f"{members} members each, α {settings.alpha:g}")
    for name, one in found.items():
        shown = "  ".join(f"{share:.4f}" for share in one["share beyond"][:: max(1, round(0.25 / settings.step))])
        print(f"{name:12} member {one['mean accuracy of a member']:.4f}  mean radius {one['mean radius']:.3f}  {shown}")
    facts = {"members": members, "alpha": settings.alpha, "radii": radii.tolist()} | found
    record.write("published", facts, settings.out)


if __name__ == "__main__":
    main()
