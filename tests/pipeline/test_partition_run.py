"""Runs whose members each see the images of one part, and vote with more than a class: rankings."""

import shutil

import numpy as np
import pandas as pd
import pytest

from certssb_core import capsule
from certssb_core.audit.inspection import inspect
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.pipeline import pipeline
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.query.ensemble import LoadedEnsemble
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


def test_every_figure_of_it_is_verified_by_other_code(run_off):
    outcomes = {found.check: found.outcome for found in verify(run_off)}
    assert "failed" not in outcomes.values()
    assert {outcomes[check] for check in ("vote counts", "bounds", "margins and radii", "metrics")} == {"passed"}
    assert not [finding for finding in inspect(run_off) if finding.colour == "red" and finding.title != "Attack"]


def test_a_forged_ranking_is_found(run_off, tmp_path):
    copy = Run(shutil.copytree(run_off.path, tmp_path / "forged"))
    votes = dict(copy.arrays("votes"))
    votes["votes/clean/ranks"] = votes["votes/clean/ranks"][:, ::-1]
    files.write_arrays(copy.path / "votes.safetensors", votes)
    outcomes = {found.check: found.outcome for found in verify(copy)}
    assert (outcomes["votes of the members"], outcomes["margins and radii"]) == ("failed", "failed")


def test_a_query_and_a_capsule_give_the_certificate_of_the_run(run_off, tmp_path):
    table = pd.read_csv(run_off.path / "certificates.csv")
    for row in (0, 7):
        reply = LoadedEnsemble(run_off).ask(run_inputs(run_off).dataset.test_images[row])
        assert (reply.prediction, reply.radius) == (table["prediction"][row], table["radius"][row])
    packed = capsule.export(run_off, tmp_path / "one.capsule")
    again = capsule.import_capsule(packed, "again", tmp_path)
    assert {found.outcome for found in verify(again)} <= {"passed", "not possible"}
