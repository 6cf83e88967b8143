"""Choosing σ_x on the smoothed classifier: the best single test σ, the union bound over candidates, members set aside.

    python -m benchmarks.candidates RUN

RUN is a finished run with votes at candidates (noise.test_map voted or set-aside). Radii count where the answer is
right, and 0 otherwise, on clean test images. Prints a table and writes results/candidates.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.envelope import single
from certssb_core.certify.input_votes import VoteBounds
from certssb_core.results.certification import certify_bounds
from certssb_core.results.vote_bounds import bound_votes
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.run import Run

RADII = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
ASIDE = ((0.05, 1), (0.05, 2), (0.05, 3), (0.1, 1), (0.1, 2))
"""Share of the members set aside, and how many candidates they keep."""


def curve(run: RunVotes, reading: VoteBounds) -> dict[str, float]:
    certified = certify_bounds(reading, run.config)
    radius = np.where(certified.prediction == run.labels, certified.radius, -1.0)
    accuracy = {f"accuracy at {r}": float((radius > r).mean()) for r in RADII}
    return {"average radius": float(radius.clip(0).mean())} | accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--bounds", nargs="+", default=["clopper-pearson", "joint"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "candidates.json")
    settings = parser.parse_args()
    run, rows = read_run_votes(Run(settings.run)), []
    sigmas = run.config.noise.test_candidates
    for bound in settings.bounds:
        singles = [curve(run, single(run, k, bound, settings.alpha)) for k in range(len(sigmas))]
        best = max(range(len(sigmas)), key=lambda k: singles[k]["average radius"])
        envelope = {name: max(one[name] for one in singles) for name in singles[0]}
        read = {"bound": bound, "alpha": settings.alpha}
        found = [(f"single σ {sigma}", one) for sigma, one in zip(sigmas, singles, strict=True)]
        found += [(f"best single σ {sigmas[best]}", singles[best]), ("envelope of all single σ", envelope)]
        found += [("voted (union)", curve(run, bound_votes(run.sets["clean"], run.config, mode="voted", **read)))]
        for share, kept in ASIDE:
            noise = run.config.noise.model_copy(update={"aside": share, "kept": kept})
            changed = run.config.model_copy(update={"noise": noise})
            reading = bound_votes(run.sets["clean"], changed, mode="set-aside", **read)
            found.append((f"set aside {run.members - reading.members}, kept {kept}", curve(changed, reading)))
        rows += [{"bound": bound, "choice": name} | figures for name, figures in found]
    print(f"{run.members} members, {len(run.labels)} clean test images, α {settings.alpha}")
    print(f"{'bound':18}{'choice':28}{'average radius':>15}" + "".join(f"{r:>8}" for r in RADII))
    for row in rows:
        figures = "".join(f"{row[f'accuracy at {r}']:8.3f}" for r in RADII)
        print(f"{row['bound']:18}{row['choice']:28}{row['average radius']:15.3f}{figures}")
    settings.out.parent.mkdir(exist_ok=True)
    facts = {"members": run.members, "images": len(run.labels), "alpha": settings.alpha, "candidates": sigmas}
    config = run.config.model_dump(mode="json", exclude={"data": {"root"}})
    settings.out.write_text(json.dumps(facts | {"config": config, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
