"""Backdoor smoothing of the small run's undefended model, and what is read from a result."""

import json

import numpy as np
import pytest

from certssb_core.comparisons import backdoor_smoothing
from certssb_core.comparisons.roc import area
from certssb_core.comparisons.undefended import undefended
from certssb_core.errors import RunError
from certssb_core.runs.files import result_path
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run


@pytest.fixture(scope="module")
def result(small_run):
    return backdoor_smoothing.conclude("one", {small_run.name: small_run}, draws=40)


def test_all_groups_are_the_same_images_and_success_is_that_of_the_run(small_run, result):
    model = undefended(small_run, at_most=30, patterns=4)
    inputs = load_inputs(small_run.config)
    assert {len(images) for images in model.images.values()} == {30}
    tested = {image.tobytes() for image in inputs.dataset.test_images[inputs.measures_attack]}
    assert {image.tobytes() for image in model.images["clean"]} <= tested
    stated = small_run.metrics["undefended"]["attack_success_rate"]
    assert result["attacks"][0]["attack_success"] == pytest.approx(stated)
    assert model.norm("clean") == 0 < model.norm("control") <= small_run.config.attack.norm + 1e-6


def test_what_is_stored_is_what_was_measured(small_run, result):
    model = undefended(small_run, at_most=backdoor_smoothing.MEASURED, patterns=backdoor_smoothing.PATTERNS)
    scale = backdoor_smoothing.SCALES[1]
    values = {group: model.smoothness(group, scale=scale, draws=40)["distance"] for group in backdoor_smoothing.GROUPS}
    (row,) = backdoor_smoothing.table(result, measure="distance", scale=scale).to_dict("records")
    for group, found in values.items():
        assert row[group] == pytest.approx(np.median(found), abs=1e-4)
        assert row[f"{group}_low"] == pytest.approx(np.quantile(found, 0.25), abs=1e-4)
    smoother = area(-values["triggered"], -values["control"])
    assert (row["auc_control"], row["auc_control_low"]) == (smoother.value, smoother.low)
    shown = backdoor_smoothing.curves(result, run=small_run.name, measure="distance", scale=scale)
    for against, part in shown.groupby("against"):
        # The curve is kept at 41 places, so its area is close to the exact one.
        assert np.trapezoid(part["hits"], part["alarms"]) == pytest.approx(row[f"auc_{against}"], abs=0.03)


def test_rising_attacks_differ_in_their_rate_alone():
    configs = backdoor_smoothing.rising("digits")
    assert [config.attack.rate for config in configs] == list(backdoor_smoothing.RATES)
    assert len({config.model_copy(update={"attack": configs[0].attack}).model_dump_json() for config in configs}) == 1
    assert {config.training.members for config in configs} == {1}


def test_a_run_without_an_undefended_model_is_told(tmp_path, small_run):
    with pytest.raises(RunError, match="new has no undefended model"):
        backdoor_smoothing.conclude("new", {"new": Run.create(small_run.config, "new", tmp_path)})


def test_results_are_found_and_a_damaged_one_is_told(tmp_path, small_run):
    result_path("smoothness", "a", tmp_path).write_text(json.dumps({"title": "A"}))
    assert backdoor_smoothing.results(tmp_path) == {"a": {"title": "A"}}
    result_path("smoothness", "b", tmp_path).write_text("{")
    with pytest.raises(RunError, match="make it again with `smoothness`"):
        backdoor_smoothing.results(tmp_path)
