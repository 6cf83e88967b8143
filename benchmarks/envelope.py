"""Sample-specific noise against the upper envelope of uniform runs, at equal M and α: test radius and joint budget.

    python -m benchmarks.envelope NAME RUN [RUN …]

Runs with votes at candidates (noise.test_map voted or set-aside) and uniform training noise make the envelope: at
every radius, and at every number of poisoned images, the best of all pairs of training σ and test σ, as if that one
had been known. Against it: every sample-specific reading of every run (σ*_x found on the base classifier; chosen by
the votes; chosen by members set aside). Clean test images; a wrong answer counts as radius 0. Prints both tables and
writes results/envelope-NAME.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import images_certified
from certssb_core.certify.input_votes import InputVotes, VoteBounds, bound_at
from certssb_core.results.certification import certify_bounds
from certssb_core.results.comparison import published
from certssb_core.results.vote_bounds import bound_votes
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run

SHARE_LEFT = 0.01
"""Radii and numbers of images are reported as far as the envelope certifies this share of the inputs."""


def _read(path: Path, **noise: float) -> RunVotes:
    found = read_run_votes(Run(path))
    changed = found.config.model_copy(update={"noise": found.config.noise.model_copy(update=noise)})
    return replace(found, config=changed)


def on_common_inputs(runs: list[RunVotes]) -> list[RunVotes]:
    """Every run, on the test images that all of them voted on."""
    rows = [{image.tobytes(): row for row, image in enumerate(_test_images(run))} for run in runs]
    common = [image for image in rows[0] if all(image in others for others in rows)]
    return [_on(run, np.array([own[image] for image in common])) for run, own in zip(runs, rows, strict=True)]


def _test_images(run: RunVotes) -> np.ndarray:
    return load_inputs(run.config).dataset.test_images


def _on(run: RunVotes, rows: np.ndarray) -> RunVotes:
    return replace(
        run,
        labels=run.labels[rows],
        sets={test_set: _rows_of(votes, rows) for test_set, votes in run.sets.items()},
    )


def _rows_of(votes: InputVotes, rows: np.ndarray) -> InputVotes:
    changes = {
        "votes": {noise_map: read[:, rows] for noise_map, read in votes.votes.items()},
        "softmax": {noise_map: read[rows] for noise_map, read in votes.softmax.items()},
        "sigma": {noise_map: read[rows] for noise_map, read in votes.sigma.items()},
    }
    if votes.candidates:
        changes |= {"candidate_votes": votes.candidate_votes[..., rows]}
        changes |= {"candidate_softmax": votes.candidate_softmax[:, rows]}
    return replace(votes, **changes)


def single(run: RunVotes, k: int, bound: str, alpha: float) -> VoteBounds:
    """Every input at candidate ``k``, at the whole of α."""
    votes = run.sets["clean"]
    return bound_at(
        votes.candidate_votes[:, k],
        np.full(len(run.labels), votes.candidates[k]),
        bound=BOUNDS[bound],
        classes=run.classes,
        alpha=alpha,
        test_map="uniform",
        softmax=votes.candidate_softmax[k],
    )


def curves(
    run: RunVotes, reading: VoteBounds, *, radii: np.ndarray, images: np.ndarray, norm: float
) -> dict[str, np.ndarray]:
    """Share of the inputs that are right and certified beyond each radius, and for each number of moved images."""
    certified = certify_bounds(reading, run.config)
    right = certified.prediction == run.labels
    radius = np.where(right, certified.radius, -1.0)
    count = np.where(right, images_certified(certified.margin, certified.sigma, run.sigma_train, norm=norm), -1)
    return {
        "radius": np.array([(radius > r).mean() for r in radii]),
        "images": np.array([(count >= n).mean() for n in images]),
        "average": np.array(radius.clip(0).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--bound", default="clopper-pearson", choices=BOUNDS)
    parser.add_argument("--norm", type=float, default=0.1, help="of every moved training image and of the test input")
    parser.add_argument("--aside", type=float, default=0.05, help="share of the members set aside")
    parser.add_argument("--kept", type=int, default=2, help="candidates that they keep")
    parser.add_argument("--step", type=float, default=0.25)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    settings = parser.parse_args()
    found = on_common_inputs([_read(path, aside=settings.aside, kept=settings.kept) for path in settings.runs])
    runs = {path.name: run for path, run in zip(settings.runs, found, strict=True)}
    rule = {"bound": settings.bound, "alpha": settings.alpha}
    axes = {"radii": np.arange(0, 8, settings.step), "images": np.arange(0, 400), "norm": settings.norm}
    uniform = {
        f"training σ {run.config.noise.sigma:g}, test σ {sigma:g}": curves(run, single(run, k, **rule), **axes)
        for run in runs.values()
        if run.sets["clean"].candidates and run.config.noise.train_map == "uniform"
        for k, sigma in enumerate(run.config.noise.test_candidates)
    }
    specific = {
        f"{name}, {mode}": curves(run, bound_votes(run.sets["clean"], run.config, mode=mode, **rule), **axes)
        for name, run in runs.items()
        for mode in run.sound_modes
        if mode != "uniform"
    }
    facts = {
        "members": sorted({run.members for run in runs.values()}),
        "inputs": len(next(iter(runs.values())).labels),
        "uniform": {name: float(one["average"]) for name, one in uniform.items()},
        **rule,
    }
    for axis, points in (("radius", axes["radii"]), ("images", axes["images"])):
        envelope = np.max([one[axis] for one in uniform.values()], axis=0)
        shown = points[envelope > SHARE_LEFT]
        facts[axis] = {"points": shown.tolist(), "envelope of uniform": envelope[: len(shown)].tolist()} | {
            name: one[axis][: len(shown)].tolist() for name, one in specific.items()
        }
        print(f"\n{axis}" + (f" at norm {settings.norm}" if axis == "images" else ""))
        for name, values in facts[axis].items():
            every = max(1, len(shown) // 16)
            print(f"{name:42}" + "".join(f"{value:7.3f}" for value in values[::every]))
    if (points := published(next(iter(runs.values())).config)) is not None:
        facts["published by the release (not a certificate)"] = points.to_dict("list")
    facts["average radius"] = {"best uniform": max(facts["uniform"].values())} | {
        name: float(one["average"]) for name, one in specific.items()
    }
    print(f"\naverage radius: {facts['average radius']}")
    (settings.out / f"envelope-{settings.name}.json").write_text(
        json.dumps(facts | {"norm": settings.norm}, indent=1, ensure_ascii=False)
    )


if __name__ == "__main__":
    main()
