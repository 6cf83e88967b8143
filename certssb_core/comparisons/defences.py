"""The systems of the field on one dataset and one attack, each a preset of the one pipeline, side by side.

Their certificates are about different changes, so no number of one stands for a number of another. What several of
them cover, n training images each moved by at most τ, is compared there and only there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from certssb_core.certify.certificate import certify as certify_l2
from certssb_core.certify.certificate import images_certified
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.rab_nearest_neighbour import nearest_class_bounds
from certssb_core.comparisons.suites import SMALL, STEM, SUITES, SYSTEMS
from certssb_core.results import budget_maps, certification, comparison
from certssb_core.results.comparison import Series
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, run_inputs
from certssb_core.runs.run import Run, default_runs_dir

CORNERS = 150
"""Of a curve over images, as many as a result keeps."""
NORMS = (0.02, 0.05, 0.1)
"""τ of the common budget; that of the attack's trigger comes on top."""
TRAINING = "test input as given"
BOTH = "test input moved by τ too"


def results(runs_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """The comparisons that were made, by suite.

    Raises:
        RunError: a file is damaged.
    """
    return files.read_results(STEM, runs_dir or default_runs_dir(), command="compare")


def conclude(name: str, runs: dict[str, Run]) -> dict[str, Any]:
    """Compare the finished runs of :func:`.suites.plan`, by their names."""
    chosen = SUITES[name]
    of = {system: runs[chosen.run_name(system)] for system in chosen.presets}
    entries = {system: _entry(system, run) for system, run in of.items()}
    if "nearest" not in chosen.left_out and len(of["rab"].arrays("sigma")["train"]) <= SMALL:
        entries["nearest"] = _nearest(of["rab"])
    poisoned = len(of["rab"].arrays("poison")["indices"])
    return {
        "suite": name,
        "title": chosen.title,
        "attack": chosen.attack.model_dump(mode="json"),
        "poisoned": poisoned,
        "undefended": of["rab"].metrics["undefended"],
        "systems": {system: entries[system].row() for system in SYSTEMS if system in entries},
        "curves": _curves(entries).to_dict("list"),
        "common": _common(entries, chosen.attack.norm, poisoned).to_dict("list"),
        "maps": _maps(entries, chosen.attack.norm, poisoned).to_dict("list"),
    }


def frame(result: dict[str, Any], name: str) -> pd.DataFrame:
    """The ``curves``, the ``common`` budget or the ``maps`` of a comparison, with shares."""
    return pd.DataFrame(result[name]).assign(share=lambda rows: rows["count"] / rows["n"])


def table(result: dict[str, Any]) -> pd.DataFrame:
    """The comparison for reading: a row per system, the undefended model first."""
    undefended = result["undefended"]
    rows = [
        {
            "system": "No defence",
            "accuracy": undefended["clean_accuracy"],
            "attack success": undefended["attack_success_rate"],
            "certifies": "nothing",
            "median": "–",
            "models": 1,
        }
    ]
    for system, row in result["systems"].items():
        rows.append(
            {
                "system": SYSTEMS[system].title,
                "accuracy": row["accuracy"]["share"],
                "attack success": row["attack_success"]["share"],
                "certifies": row["budget"],
                "median": "none" if row["median"] < 0 else f"{row['median']:.3g}",
                "models": row["models"],
                "seconds": row["seconds"],
                "setting": row["setting"],
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _Entry:
    """A system's certificates, and what is needed to read them."""

    system: str
    run_votes: RunVotes
    certificates: pd.DataFrame
    budget: str
    models: int
    seconds: float
    setting: str

    @property
    def series(self) -> Series:
        return Series(
            SYSTEMS[self.system].title, self.certificates, self.run_votes.config.attack, self.run_votes.classes
        )

    @property
    def whole(self) -> bool:
        return self.run_votes.kind.whole

    def row(self) -> dict[str, Any]:
        rates = comparison.rates([self.series], radius=0.0).drop(columns="series").set_index("measure")
        clean = self.series.measured("clean")
        certified = np.where(clean["prediction"] == clean["label"], clean["radius"], 0.0) - self.whole
        return {
            "accuracy": rates.loc["Clean accuracy"].to_dict(),
            "attack_success": rates.loc["Attack success rate (ASR)"].to_dict(),
            "right_under_trigger": rates.loc["Empirical robust accuracy (ERA)"].to_dict(),
            "budget": self.budget,
            "median": float(np.median(certified)),
            "models": self.models,
            "seconds": round(self.seconds, 1),
            "setting": self.setting,
        }

    def covered(self, attack: str, norms: Sequence[float], images: Sequence[int]) -> budget_maps.Covered:
        """:func:`budget_maps.covered`; the exact nearest neighbour has no members, and no noise on the test input."""
        sigma_train = self.run_votes.sigma_train
        if self.system != "nearest" or sigma_train is None:
            return budget_maps.covered(self.run_votes, self.certificates, attack, norms, images)
        if attack != budget_maps.MOVED_ALONE:
            return {}
        margin = self.certificates["margin"].to_numpy()
        return {norm: images_certified(margin, np.inf, sigma_train, norm=norm) for norm in norms}


def _entry(system: str, run: Run) -> _Entry:
    run_votes, config = read_run_votes(run), run.config
    noise = config.noise
    setting = {
        "cert-ssbd": f"σ* in {noise.sigma_min:g} … {noise.sigma_max:g}",
        "rab": f"σ {noise.sigma:g}",
        "denoise": f"σ {noise.sigma:g}, denoiser {config.denoiser}",
        "l0": f"β {noise.keep:g}, {len(run.arrays('sigma')['train'])} binary training images",
        "dpa": f"{run_votes.members} parts",
        "run-off": f"{run_votes.members} parts, two rounds",
        "pecan": f"{run_votes.members} parts, votes with margins",
        "finite-aggregation": f"{run_votes.members} members, each image in {config.training.spread}",
        "subset": f"{config.training.subset} images per member",
    }[system]
    seconds = run.metrics["seconds"]
    return _Entry(
        system=system,
        run_votes=run_votes,
        certificates=run.certificates(),
        budget=run_votes.kind.budget,
        models=run_votes.members,
        seconds=seconds["total"] - seconds["undefended"],
        setting=setting,
    )


def _nearest(run: Run) -> _Entry:
    """The exact smoothed nearest neighbour on the data and at the noise of a RAB run."""
    run_votes, inputs, started = read_run_votes(run), run_inputs(run), time.perf_counter()
    sigma = run.config.noise.sigma
    tables = []
    for which in SETS:
        bounds = nearest_class_bounds(
            inputs.poisoned.images,
            inputs.poisoned.labels,
            inputs.test_images(which),
            sigma=sigma,
            classes=run_votes.classes,
        )
        certificates = certify_l2(bounds, sigma, training_map="uniform", test_map="uniform")
        columns = {name: getattr(certificates, name) for name in ("prediction", "margin", "radius", "sigma")}
        tables.append(pd.DataFrame({"set": which, "label": run_votes.labels} | columns))
    return _Entry(
        system="nearest",
        run_votes=run_votes,
        certificates=pd.concat(tables, ignore_index=True),
        budget=CERTIFICATES["training-l2"].budget,
        models=0,
        seconds=time.perf_counter() - started,
        setting=f"σ {sigma:g}",
    )


def _curves(entries: dict[str, _Entry]) -> pd.DataFrame:
    """Certified accuracy of each system over its own budget: ``series, budget, set, radius, count, n``."""
    parts = [
        comparison.curves([entry.series], points=201, whole=entry.whole).assign(budget=entry.budget)
        for entry in entries.values()
    ]
    curves = pd.concat(parts, ignore_index=True)[["series", "budget", "set", "radius", "count", "n"]]
    return _corners(curves, ["series", "budget", "set"])


def _common(entries: dict[str, _Entry], trigger: float, poisoned: int) -> pd.DataFrame:
    """Clean test inputs that stay right, of the systems that cover n training images moved by τ each, labels kept:
    ``series, test_input, norm, images, count, n``. A count holds until the next row; where there are many it is the
    lowest until then, but exact at as many images as are poisoned."""
    parts = []
    for test_input, attack in ((TRAINING, budget_maps.MOVED_ALONE), (BOTH, budget_maps.MOVED)):
        for norm in sorted({*NORMS, trigger}):
            moved = {name: entry.covered(attack, [norm], [0]) for name, entry in entries.items()}
            covered = {name: images[norm] for name, images in moved.items() if norm in images}
            table = comparison.budgets([entries[name].series for name in covered], list(covered.values()))
            parts.append(table.assign(test_input=test_input, norm=norm))
    common = pd.concat(parts, ignore_index=True)[["series", "test_input", "norm", "images", "count", "n"]]
    by = ["series", "test_input", "norm"]
    groups = [thinned(rows, poisoned) for _, rows in _corners(common, by).groupby(by, sort=False)]
    return pd.concat(groups, ignore_index=True)


def _maps(entries: dict[str, _Entry], trigger: float, poisoned: int) -> pd.DataFrame:
    """Clean test inputs that stay right under each of ``budget_maps.ATTACKS``, over images and norms:
    ``attack, series, images, norm, count, n``."""
    norms = sorted({*budget_maps.NORMS, trigger})
    steps = budget_maps.grid_steps(certification.budget_share(entries["rab"].run_votes).images, poisoned)
    parts = []
    for attack in budget_maps.ATTACKS:
        for entry in entries.values():
            if covered := entry.covered(attack, norms, steps):
                parts.append(comparison.budget_grid(entry.series, covered, steps).assign(attack=attack))
    return pd.concat(parts, ignore_index=True)[["attack", "series", "images", "norm", "count", "n"]]


def thinned(corners: pd.DataFrame, exact: int) -> pd.DataFrame:
    """Keep about :data:`CORNERS` corners of a falling staircase, each with the lowest count until the next.

    Args:
        corners: columns ``images`` (rising) and ``count`` (falling) at least; exact: images at which nothing is lost.
    """
    if len(corners) <= CORNERS:
        return corners
    at = int(corners["images"].searchsorted(exact, side="right"))
    rows = np.unique(np.clip([*np.linspace(0, len(corners) - 1, CORNERS).astype(int), at - 1, at], 0, len(corners) - 1))
    until = np.append(rows[1:] - 1, rows[-1])
    return corners.iloc[rows].assign(count=corners["count"].to_numpy()[until])


def _corners(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows where a falling staircase begins, falls or ends."""
    groups = table.groupby(by)["count"]
    return table[(groups.diff() != 0) | (groups.cumcount(ascending=False) == 0)]
