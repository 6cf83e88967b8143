"""Worlds in which training images are replaced and relabelled: sound certificates hold, overstated ones break."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from certssb_core.falsification import replaced_images
from certssb_core.falsification.falsify import falsify
from certssb_core.falsification.replaced_images import STRATEGIES, attack_replaced, plant
from certssb_core.falsification.violations import claims
from certssb_core.pipeline import context
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run

SHIPPED = Path(__file__).parents[2] / "checkpoints" / "subset-digits-01"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    run = Run(shutil.copytree(SHIPPED, tmp_path_factory.mktemp("replaced") / "subset"))
    context.write_scratch(run, load_inputs(run.config))
    return run


@pytest.fixture
def claimed(run):
    return claims(read_run_votes(run), load_inputs(run.config), mode="uniform")


@pytest.mark.parametrize("number", range(len(STRATEGIES)))
def test_a_world_replaces_as_many_images_as_certified_and_moves_inputs_within_their_radii(run, claimed, number):
    world = plant(run.path, number, 5, claimed, run.config.certification.attacked)
    assert len(set(world.replaced.rows.tolist())) == run.config.certification.attacked
    moved = np.linalg.norm((world.points.astype(float) - claimed.images).reshape(len(claimed), -1), axis=1)
    assert (moved < claimed.radius).all()
    assert moved.max() > 0
    train = load_inputs(run.config).poisoned
    same = (world.replaced.images == train.images[world.replaced.rows]).reshape(len(world.replaced.rows), -1).all(1)
    assert not (same & (world.replaced.labels == train.labels[world.replaced.rows])).any()


def test_sound_certificates_hold_and_ten_times_the_radius_does_not(run, claimed, monkeypatch):
    """Few members keep it short; the inflated claims say nothing that could be true."""
    monkeypatch.setattr(replaced_images, "FACTORS", ())
    settings = {"count": 2, "members": 100, "deadline": np.inf, "seed": 1}
    part = attack_replaced(run, InProcessEngine(), claimed, **settings)
    assert (part.units, part.trials, part.violations) == (2, 2 * len(claimed), 0)
    inflated = replace(claimed, radius=10 * claimed.radius)
    assert attack_replaced(run, InProcessEngine(), inflated, **settings).broken_units > 0


def test_more_images_replaced_than_certified_are_found(run, claimed, monkeypatch):
    """Half of all images: the members follow the attacker, and some claim breaks."""
    monkeypatch.setattr(replaced_images, "FACTORS", (12.0,))
    part = attack_replaced(run, InProcessEngine(), claimed, count=1, members=100, deadline=np.inf, seed=1)
    assert part.facts["overstated"][-1]["broken"] > 0
    assert "12 times as many replaced images are found" in part.power


def test_falsify_takes_a_subset_run(tmp_path):
    run = Run(shutil.copytree(SHIPPED, tmp_path / "subset"))
    report = falsify(run, minutes=1, worlds=1, members=60)
    (part,) = report["parts"]
    assert (part["name"], part["allowed"]) == ("replaced", 0.001)
    assert report["known_noise"] is None
