"""A run's fixed ensemble: drawn, certified, verified, asked, and labelled apart from the joint budget's classifier."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from certssb_core.audit import inspection, joint_budget
from certssb_core.certify.certificate import FIXED
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.errors import ConfigError, RunError
from certssb_core.pipeline.fixed_ensemble import draw_again
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.run import Run
from certssb_core.verification import verify

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn(small_run, tmp_path_factory):
    run = Run(shutil.copytree(small_run.path, tmp_path_factory.mktemp("fixed") / "small"))
    return run, draw_again(run, draws=60, jury=4, seed=3, bound="joint")


def test_every_input_has_its_draws_and_a_radius_that_verifies(drawn):
    run, told = drawn
    arrays = run.arrays("fixed")
    assert arrays["votes/clean"].shape == arrays["votes/triggered"].shape == (60, 108)
    assert told["clean"]["average_certified_radius"] > 0
    np.testing.assert_allclose(arrays["softmax/clean"].sum(axis=1), 1, atol=1e-6)
    outcomes = {finding.check: finding.outcome for finding in verify(run)}
    assert outcomes["fixed ensemble"] == outcomes["files"] == outcomes["manifest"] == "passed"


def test_a_figure_that_does_not_follow_from_the_draws_is_named(drawn, tmp_path):
    folder = shutil.copytree(drawn[0].path, tmp_path / "changed")
    told = json.loads((folder / "fixed.json").read_text())
    told["clean"]["average_certified_radius"] += 0.01
    (folder / "fixed.json").write_text(json.dumps(told))
    found = {finding.check: finding for finding in verify(Run(folder))}
    assert found["fixed ensemble"].outcome == "failed"
    assert "clean.average_certified_radius" in found["fixed ensemble"].detail


def test_it_is_a_mode_with_its_own_words_and_no_joint_budget(drawn):
    run_votes = read_run_votes(drawn[0])
    assert FIXED in run_votes.modes
    assert FIXED not in run_votes.joint_modes
    said = certification.promise(run_votes.config, FIXED)
    assert "these very members" in said.test_radius
    assert said.joint_budget.startswith("None in this mode")
    assert "levels σ* of the training images" not in said.condition
    translated = joint_budget.translate(run_votes, images=1, norm=0.01)
    assert {one.mode for one in translated} == set(run_votes.joint_modes)
    found = {finding.title: finding for finding in inspection.inspect(drawn[0], mode=FIXED)}
    assert "60 draws" in found["Count of votes in the bound"].reason
    assert "jury of 4" in found["Classifier"].reason


def test_the_same_seed_draws_the_same_votes_and_a_question_draws_afresh(drawn, tmp_path):
    run, _ = drawn
    again = Run(shutil.copytree(run.path, tmp_path / "again"))
    draw_again(again, draws=60, jury=4, seed=3)
    np.testing.assert_array_equal(again.arrays("fixed")["votes/clean"], run.arrays("fixed")["votes/clean"])
    loaded = LoadedEnsemble(run)
    image = np.zeros(loaded.shape, np.float32)
    first, second = loaded.ask(image).fixed, loaded.ask(image).fixed
    assert sum(first["votes"]) == sum(second["votes"]) == 60
    assert first["seed"] != second["seed"]
    assert first["radius"] == pytest.approx(max(0.0, first["sigma"] * first["margin"]))


def test_runs_that_certify_no_balls_have_none(small_run, tmp_path):
    with pytest.raises(ConfigError, match="fixed_draws needs certificates that are balls"):
        override(PRESETS["digits-01-dpa"], {"certification.fixed_draws": "10"})
    with pytest.raises(RunError, match="not finished"):
        draw_again(Run.create(small_run.config, "new", tmp_path), draws=10, jury=2)
