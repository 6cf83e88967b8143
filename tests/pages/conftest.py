"""A small finished run, made without training: every page can be opened on it."""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from benchmarks.made_up_runs import write_results
from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.query.reply import Reply
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, load_inputs
from certssb_core.runs.run import Run

MEMBERS, STEPS, GRID = 40, 6, 25


@pytest.fixture
def runs_dir(tmp_path, monkeypatch):
    """An empty folder of runs that the dashboard looks into; its caches are cold."""
    monkeypatch.setattr("ui.kit.run_files.runs_dir", lambda: tmp_path)
    st.cache_resource.clear()
    st.cache_data.clear()
    return tmp_path


@pytest.fixture(autouse=True)
def errands(monkeypatch):
    """Commands that a page sends to another process; none is started, and each stays without an answer."""
    sent: dict[str, tuple[str, ...]] = {}
    monkeypatch.setattr("ui.kit.errand.send", lambda key, *arguments: sent.update({key: arguments}))
    return sent


class _Nobody:
    """Stands for the query processes: none is started, which would load members and keep two cores busy."""

    def of(self, run: Run) -> None:
        pass

    def ask(self, run: Run, image: np.ndarray, *, fixed: bool = False) -> Reply:
        raise RunError("in a test of a page nobody votes")


@pytest.fixture(autouse=True)
def _nobody_votes(monkeypatch):
    monkeypatch.setattr("ui.query.answers._answerers", _Nobody)


def made_up_reply(label: int, votes: tuple[int, ...], **changes) -> Reply:
    """The members' answer ``label``, certified within 0.5, where a test of a page has no members to ask."""
    reply = Reply(
        answered_by="members",
        answer=str(label),
        label=label,
        radius=0.5,
        unit="L2 pixel units",
        ball=None,
        inserted=False,
        votes=votes,
        prediction=label,
        p_a_lower=0.8,
        p_b_upper=0.2,
        margin=0.84,
        sigma=0.6,
        members_radius=0.5,
        promise="a promise",
        condition="a condition",
    )
    return replace(reply, **changes)


@pytest.fixture
def finished_run(runs_dir):
    """Three classes of digits; the members are nearest-mean classifiers of noisy training sets."""
    return make_run(runs_dir, "finished")


def ordinary(run, kept=range(60)) -> int:
    """The clean image, of ``kept``, that is answered right and whose radius is the median of such images."""
    rows = [row for row in run.certificates().to_dict("records") if row["set"] == "clean" and row["index"] in kept]
    right = [row for row in rows if row["prediction"] == row["label"]]
    median = statistics.median(row["radius"] for row in right)
    return min(right, key=lambda row: abs(row["radius"] - median))["index"]


def make_run(runs_dir, name: str, *, all_vote: int | None = None, **settings: str) -> Run:
    """A finished run; with ``all_vote`` every member gives that class to every image."""
    chosen = {"data.classes": "0,1,2", "data.max_train": "120", "data.max_test": "60", "attack.rate": "0.1"}
    chosen |= {"training.members": str(MEMBERS)} | settings
    config = override(RunConfig(title="A small run for tests"), chosen)
    run = Run.create(config, name, runs_dir)
    inputs, generator = load_inputs(config), np.random.default_rng(1)
    _write_poison(run, inputs)
    _write_sigma(run, inputs, generator)
    _write_votes(run, inputs, generator, all_vote)
    points = np.concatenate([inputs.test_images(which).reshape(60, -1) for which in SETS])
    # Six times too large, so that balls of different label do overlap: honest ones of this run seldom do.
    write_results(run, points, enlarged=6)
    run.log("stage", stage="store")
    run.log("finished", message="done")
    return run


def _write_poison(run, inputs) -> None:
    poisoned = inputs.poisoned
    arrays = {
        "indices": poisoned.indices,
        "norms": poisoned.norms,
        "original_labels": poisoned.original_labels,
    }
    files.write_arrays(run.path / "poison.safetensors", arrays)


def _write_sigma(run, inputs, generator) -> None:
    grid = np.geomspace(0.05, 2.0, GRID)
    arrays = {"train_labels": inputs.poisoned.labels, "curve_sigma": grid}
    for which, count in (("train", 120), ("clean", 60), ("triggered", 60)):
        star = np.exp(generator.normal(-0.9, 0.35, count)).clip(0.05, 2.0)
        kept = np.arange(0, count, 3)
        path = np.geomspace(0.25, star[kept], STEPS + 1).T  # (P, T + 1)
        arrays |= {which: star, f"path_index/{which}": kept, f"path_sigma/{which}": path}
        arrays[f"path_radius/{which}"] = 2.5 * path * np.exp(-path / star[kept, None])
        arrays[f"curve_radius/{which}"] = 2.5 * grid * np.exp(-grid / star[kept, None])  # its maximum is at σ*
    files.write_arrays(run.path / "sigma.safetensors", arrays)


def _write_votes(run, inputs, generator, all_vote) -> None:
    sigma = run.arrays("sigma")
    train, labels = inputs.poisoned.images.reshape(120, -1), inputs.poisoned.labels
    arrays = {"labels": inputs.dataset.test_labels}
    for noise_map in ("uniform", "sample-specific"):
        for which in SETS:
            level = sigma[which] if noise_map == "sample-specific" else np.full(60, run.config.noise.sigma)
            points = inputs.test_images(which).reshape(60, -1)
            votes = np.empty((run.config.training.members, 60), np.uint8)
            for member in range(len(votes)):
                copy = train + sigma["train"][:, None] * generator.standard_normal(train.shape)
                means = np.stack([copy[labels == label].mean(axis=0) for label in range(3)])
                noisy = points + level[:, None] * generator.standard_normal(points.shape[1])
                votes[member] = ((noisy[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
            if all_vote is not None:
                votes[:] = all_vote
            arrays[f"votes/{which}/{noise_map}"] = votes
            share = np.stack([(votes == label).mean(axis=0) for label in range(3)], axis=1)
            arrays[f"softmax/{which}/{noise_map}"] = share
    files.write_arrays(run.path / "votes.safetensors", arrays)
