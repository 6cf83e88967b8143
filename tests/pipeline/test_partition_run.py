"""Runs whose members each see the images of one part, and vote with more than a class: with rankings, or margins."""

import shutil

import numpy as np
import pandas as pd
import pytest

from certssb_core import capsule
from certssb_core.audit.inspection import inspect
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.errors import ConfigError
from certssb_core.pipeline import pipeline
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.results.certification import promise, replaced_images
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run
from certssb_core.verification import verify

SMALL = {
    "data.classes": "0,1,3,8",
    "data.max_train": 240,
    "data.max_test": 40,
    "training.model": "nearest-mean",
    "training.members": 24,
    "training.single_epochs": 1,
    "training.device": "cpu",
}


def made(preset: str, folder) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "make_engine", lambda training: InProcessEngine())
        run = Run.create(override(PRESETS[preset], SMALL), preset, folder)
        pipeline.Pipeline(run).execute()
    return Run(run.path)


@pytest.fixture(scope="module")
def run_off(tmp_path_factory) -> Run:
    return made("digits-run-off", tmp_path_factory.mktemp("run-off"))


@pytest.fixture(scope="module")
def pecan(tmp_path_factory) -> Run:
    return made("digits-pecan", tmp_path_factory.mktemp("pecan"))


def test_answers_are_those_of_two_rounds(run_off):
    votes, table = run_off.arrays("votes"), pd.read_csv(run_off.path / "certificates.csv")
    for test_set, rows in table.groupby("set"):
        ranks = votes[f"votes/{test_set}/ranks"]
        assert ranks.shape == (24, 40, 4)
        assert (np.sort(ranks, axis=-1) == np.arange(4)).all()
        assert (ranks.argmin(-1) == votes[f"votes/{test_set}/uniform"]).all()
        for row in rows.itertuples():
            counts = [getattr(row, f"votes_{label}") for label in range(4)]
            assert row.prediction in sorted(range(4), key=lambda label: (-counts[label], label))[:2]
    clean = table[table["set"] == "clean"]
    assert (clean["prediction"] == clean["label"]).mean() > 0.9
    assert (clean["radius"] > 3).mean() > 0.5


def test_the_planted_attack_is_counted_vote_by_vote(pecan):
    """Two members per replaced image, and every vote whose margin the trigger exceeds, go over to the next class."""
    planted, votes = pecan.metrics["planted_attack"], pecan.arrays("votes")
    assert planted["training_images"] == 240
    for images, norm, expected in ((planted["images"], planted["norm"], planted["clean"]["certified"]), (2, 0.3, None)):
        standing = 0
        for cast, steps, label in zip(
            votes["votes/clean/uniform"].T, votes["votes/clean/margins"].T, votes["labels"].tolist(), strict=True
        ):
            firm = [int(((cast == one) & (steps / 64 >= norm)).sum()) for one in range(4)]
            gained = 2 * images + len(cast) - sum(firm)
            rivals = [(firm[one] + gained, -one) for one in range(4) if one != label]
            right = np.bincount(cast, minlength=4).argmax() == label
            standing += right and all((firm[label] - 2 * images, -label) > rival for rival in rivals)
        if expected is None:
            expected = int((replaced_images(read_run_votes(pecan), [norm])[norm][:40] >= images).sum())
            assert expected > 3
        assert standing == expected


def test_it_says_that_it_is_certain_and_covers_labels(pecan):
    said = promise(pecan.config, "uniform")
    assert "labels included" in said.test_radius
    assert "probability" not in said.test_radius
    assert "certain" in said.condition


def test_members_in_several_parts_have_no_margins():
    with pytest.raises(ConfigError, match=r"partition-margin needs training.spread 1"):
        override(PRESETS["digits-pecan"], {"training.spread": 2})


@pytest.mark.parametrize("which", ["run_off", "pecan"])
def test_every_figure_of_it_is_verified_by_other_code(which, request):
    run = request.getfixturevalue(which)
    outcomes = {found.check: found.outcome for found in verify(run)}
    assert "failed" not in outcomes.values()
    assert {outcomes[check] for check in ("vote counts", "bounds", "margins and radii", "metrics")} == {"passed"}
    assert not [finding for finding in inspect(run) if finding.colour == "red" and finding.title != "Attack"]


@pytest.mark.parametrize(("which", "name"), [("run_off", "ranks"), ("pecan", "margins")])
def test_forged_votes_are_found(which, name, request, tmp_path):
    copy = Run(shutil.copytree(request.getfixturevalue(which).path, tmp_path / "forged"))
    votes = dict(copy.arrays("votes"))
    votes[f"votes/clean/{name}"] = votes[f"votes/clean/{name}"][:, ::-1]
    files.write_arrays(copy.path / "votes.safetensors", votes)
    outcomes = {found.check: found.outcome for found in verify(copy)}
    assert (outcomes["votes of the members"], outcomes["margins and radii"]) == ("failed", "failed")


@pytest.mark.parametrize("which", ["run_off", "pecan"])
def test_a_query_and_a_capsule_give_the_certificate_of_the_run(which, request, tmp_path):
    run = request.getfixturevalue(which)
    table = pd.read_csv(run.path / "certificates.csv")
    for row in (0, 7):
        reply = LoadedEnsemble(run).ask(run_inputs(run).dataset.test_images[row])
        assert (reply.prediction, reply.radius) == (table["prediction"][row], table["radius"][row])
    packed = capsule.export(run, tmp_path / "one.capsule")
    again = capsule.import_capsule(packed, "again", tmp_path)
    assert {found.outcome for found in verify(again)} <= {"passed", "not possible"}
