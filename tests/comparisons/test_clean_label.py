"""Crafted poisons in the one pipeline: made once, stored, seen by members, verified, measured on who is aimed at."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from certssb_core import craft_poisons, verification
from certssb_core.comparisons import clean_label
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble import shards
from certssb_core.errors import ConfigError, RunError
from certssb_core.jobs.worker import work
from certssb_core.pipeline.context import scratch_path
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.runs.inputs import load_inputs, run_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.denoising.denoisers import denoiser
from certssb_core.smoothing.denoising.diffusion import denoise
from certssb_core.smoothing.seeds import standard_normal

pytestmark = pytest.mark.slow  # every attack makes a run

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
        patch.setattr("certssb_core.pipeline.pipeline.make_engine", lambda *_: InProcessEngine())
        patch.setitem(clean_label.SUITES, "digits", replace(clean_label.SUITES["digits"], trials=2))
        runs = {name: Run.create(config, name, folder) for name, config in clean_label.plan("digits").items()}
        for run in runs.values():
            assert work(run), run.status().message
        made, again = (clean_label.conclude("digits", runs) for _ in range(2))
    assert json.dumps(made) == json.dumps(again)
    return made


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
    crafted = craft_poisons(run.config, clean)
    assert np.allclose(crafted, poison["images"], atol=0.01), "a notebook crafts them too, on one thread"


def test_victims_are_measured_as_they_are_and_triggers_on_all(result, folder):
    rows = {row["method"]: row for row in result["attacks"]}
    for method, seeds in (("bullseye-polytope", ("", "-1")), ("clean-label-backdoor", ("",))):
        runs = [Run(folder / f"digits-39-{method}{seed}") for seed in seeds]
        aimed = [run_inputs(run) for run in runs]
        counts = [int(inputs.measures_attack.sum()) for inputs in aimed]
        assert counts == [run.metrics["triggered"]["n"] for run in runs]
        assert (rows[method]["runs"], rows[method]["measured"]) == (len(seeds), sum(counts))
        for inputs in aimed:
            assert (inputs.dataset.test_labels[inputs.measures_attack] != 0).all()
            moved = (inputs.triggered != inputs.dataset.test_images).any()
            assert moved == (method == "clean-label-backdoor")
        hits = sum(run.metrics["triggered"]["attack_success_rate"] * n for run, n in zip(runs, counts, strict=True))
        assert rows[method]["success"] == pytest.approx(hits / sum(counts))
    assert counts != [4], "a trigger is measured on all images"
    victims = [run_inputs(Run(folder / f"digits-39-bullseye-polytope{seed}")) for seed in ("", "-1")]
    first, second = (inputs.dataset.test_images[inputs.measures_attack] for inputs in victims)
    assert len(first) == len(second) == 4
    assert not np.array_equal(first, second), "another seed has other victims"


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


def test_a_suite_that_is_none_is_refused():
    with pytest.raises(RunError, match="'mars' is no suite; there are digits, mnist"):
        clean_label.plan("mars")


def test_poisons_are_kept_to_look_at_before_and_after_every_stage(result, folder):
    """The shown ones come back to half a step of 8 bits; distances are recomputed from the run's own files."""
    for method in METHODS:
        run = Run(folder / f"digits-39-{method}")
        poison, clean = run.arrays("poison"), load_inputs(run.config).dataset.train_images
        before, crafted = clean[poison["indices"]], poison["images"]
        row = next(row for row in result["attacks"] if row["method"] == method)
        levels = [level["sigma"] for level in row["stages"]["levels"]]
        assert levels[-1] == run.config.noise.sigma
        for sigma in levels:
            images, apart = clean_label.stages(result, method=method, sigma=sigma)
            assert list(images) == ["as it was", "poison", f"σ = {sigma:g}", "denoised"]
            shown = np.linspace(0, len(crafted) - 1, len(images["poison"])).astype(int)
            np.testing.assert_allclose(images["as it was"], before[shown], atol=0.5 / 255 + 1e-6)
            np.testing.assert_allclose(images["poison"], crafted[shown], atol=0.5 / 255 + 1e-6)
            draws = standard_normal(len(crafted), crafted.shape[1:], seed=0, purpose="training noise", member=0)
            noisy = torch.from_numpy(crafted) + sigma * draws
            np.testing.assert_allclose(images[f"σ = {sigma:g}"], noisy[shown].clamp(0, 1), atol=0.5 / 255 + 1e-6)
            denoised = denoise(denoiser("digits"), noisy, torch.full((len(noisy),), sigma)).numpy()
            np.testing.assert_allclose(images["denoised"], denoised[shown], atol=0.5 / 255 + 1e-5)
            for name, other in (("to_before", before), ("to_poison", crafted)):
                norms = np.sort(np.linalg.norm((denoised - other).reshape(len(other), -1), axis=1))
                assert norms[(len(norms) - 1) // 2] == pytest.approx(apart[name], rel=1e-4), "the lower median"


def test_what_is_taken_for_the_target_without_poison_is_counted(result, folder):
    """Recounted from the unpoisoned run's own votes, image by image."""
    rows = {row["method"]: row for row in result["attacks"]}
    for method, seeds in (("bullseye-polytope", (0, 1)), ("clean-label-backdoor", (0,))):
        hits, aimed = [0, 0], 0
        for seed in seeds:
            suffix = f"-{seed}" if seed else ""
            run, other = Run(folder / f"digits-39-{method}{suffix}"), Run(folder / f"digits-39-unpoisoned{suffix}")
            assert len(other.arrays("poison")["indices"]) == 0
            shown = "clean" if method == "bullseye-polytope" else "triggered"
            table = other.certificates()
            predictions = table.loc[table["set"] == shown, "prediction"].to_numpy()
            for image in np.flatnonzero(run_inputs(run).measures_attack):
                hits[0] += int(other.arrays("undefended")[shown][image] == 0)
                hits[1] += int(predictions[image] == 0)
                aimed += 1
        assert rows[method]["undefended_chance"] == pytest.approx(hits[0] / aimed)
        assert rows[method]["chance"] == pytest.approx(hits[1] / aimed)
