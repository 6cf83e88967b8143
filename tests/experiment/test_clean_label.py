"""Crafted poisons in the one pipeline: made once, stored, seen by members, verified, measured on who is aimed at."""

import json

import numpy as np
import pytest

from certssb_core.audit import verification
from certssb_core.ensemble import shards
from certssb_core.experiment import clean_label
from certssb_core.experiment.config import ConfigError, override
from certssb_core.experiment.engine import InProcessEngine
from certssb_core.experiment.inputs import load_inputs, run_inputs
from certssb_core.experiment.pipeline import Pipeline
from certssb_core.experiment.presets import PRESETS
from certssb_core.experiment.run import Run, RunError, Status
from certssb_core.experiment.workbench import scratch_path
from certssb_core.experiment.worker import work

SMALL = {"data.max_train": "80", "training.members": "3", "training.epochs": "3", "training.single_epochs": "6"}
SMALL |= {"attack.craft_steps": "4", "certification.alpha": "0.5"}
METHODS = ("bullseye-polytope", "clean-label-backdoor")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clean-label")


@pytest.fixture(scope="module")
def result(folder):
    with pytest.MonkeyPatch.context() as patch:
        for method in METHODS:
            patch.setitem(PRESETS, f"digits-39-{method}", override(PRESETS[f"digits-39-{method}"], SMALL))
        patch.setattr(clean_label, "CRAFTED", METHODS)
        patch.setattr("certssb_core.experiment.pipeline.make_engine", lambda *_: InProcessEngine())
        made = clean_label.attack("digits", at_once, folder)
        again = clean_label.attack("digits", lambda run: pytest.fail("nothing is run twice"), folder)
    assert json.dumps(made) == json.dumps(again) == json.dumps(clean_label.results(folder)["digits"])
    return made


def at_once(run: Run) -> Status:
    work(run)
    return run.status()


@pytest.mark.parametrize("method", METHODS)
def test_poisons_are_stored_and_everybody_sees_them(result, folder, method):
    run = Run(folder / f"digits-39-{method}")
    poison, inputs, clean = run.arrays("poison"), run_inputs(run), load_inputs(run.config)
    assert np.array_equal(inputs.poisoned.images[poison["indices"]], poison["images"])
    assert np.array_equal(clean.poisoned.images, clean.dataset.train_images), "not poisoned until they are crafted"
    assert np.array_equal(inputs.poisoned.labels, inputs.dataset.train_labels), "all labels are kept"
    assert (inputs.dataset.train_labels[poison["indices"]] == run.config.attack.target).all()
    assert [f.detail for f in verification.verify(run) if f.outcome == "failed"] == []
    pipeline = Pipeline(Run.create(run.config, f"again-{method}", folder))
    pipeline._prepare(InProcessEngine())
    assert np.array_equal(pipeline.run.arrays("poison")["images"], poison["images"]), "a pure function of the config"
    laid_out = shards.read(scratch_path(pipeline.run))["train"].numpy()
    assert np.array_equal(laid_out, inputs.poisoned.images)


def test_victims_are_measured_as_they_are_and_triggers_on_all(result, folder):
    rows = {row["method"]: row for row in result["attacks"]}
    for method, count in (("bullseye-polytope", 4), ("clean-label-backdoor", None)):
        run = Run(folder / f"digits-39-{method}")
        inputs = run_inputs(run)
        assert rows[method]["measured"] == int(inputs.counts.sum()) == run.metrics["triggered"]["n"]
        assert (inputs.dataset.test_labels[inputs.counts] != 0).all()
        moved = (inputs.triggered != inputs.dataset.test_images).any()
        assert moved == (count is None)
        assert count in (None, rows[method]["measured"])


def test_the_table_has_a_row_with_and_one_without_defence(result):
    table = clean_label.table(result)
    assert list(table["defence"].unique()) == ["none", "diffusion denoising"]
    assert (table["low"] <= table["success"]).all()
    assert (table["success"] <= table["high"]).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attack.method": "sleeper-agent"}, "keeps all labels: set label_mode to clean-label"),
        ({"attack.method": "feature-collision", "attack.label_mode": "clean-label"}, "victims to be at least 1, not 0"),
        ({"attack.victims": "3"}, "method stamp needs victims to be 0, not 3"),
    ],
)
def test_attacks_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        override(PRESETS["digits"], settings)


def test_a_suite_that_is_none_is_refused(tmp_path):
    with pytest.raises(RunError, match="'mars' is no suite; there are digits, mnist"):
        clean_label.attack("mars", lambda run: run.status(), tmp_path)
