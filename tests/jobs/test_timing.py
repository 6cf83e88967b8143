"""The calibration measures what a run does: its sizes exactly, its times as times."""

from __future__ import annotations

import pytest

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.errors import DataError
from certssb_core.jobs.forecast import from_calibration
from certssb_core.jobs.timing import measure
from certssb_core.runs.inputs import load_inputs


@pytest.mark.slow
def test_sizes_are_those_of_the_run_and_the_forecast_covers_its_disk(small_run):
    measured = measure(small_run.config)
    inputs = load_inputs(small_run.config)
    assert (measured.train_images, measured.test_images) == (len(inputs.poisoned.labels), len(inputs.triggered))
    assert (measured.pixels, measured.sample) == (64, measured.train_images)
    assert measured.weights == (16 * 9 + 16) + (32 * 16 * 9 + 32) + (128 * 64 + 64) + (64 * 3 + 3)
    assert 0 < measured.forward < measured.backward
    assert measured.step > 0
    assert measured.spread[0] <= 1 <= measured.spread[1]
    cost = from_calibration(small_run.config, measured)
    assert cost.low <= cost.seconds <= cost.high
    on_disk = small_run.size() - (small_run.path / "events.jsonl").stat().st_size
    assert 0.5 < cost.disk_bytes / on_disk < 2


@pytest.mark.slow
def test_an_undefended_model_of_another_kind_is_timed_too(small_run):
    config = override(small_run.config, {"training.model": "linear", "training.undefended_model": "small-cnn"})
    measured = measure(config)
    assert measured.undefended is not None
    assert measured.undefended > measured.step, "two convolutions against one linear map"


@pytest.mark.slow
def test_a_map_that_members_share_is_timed_with_the_data_and_not_with_every_vote():
    """Sizes of waves take 300 times as long as what a member adds: the linear answer of 3,210 weights."""
    config = override(
        PRESETS["subset-mnist-10-scattered"],
        {"data.max_train": 2000, "data.max_test": 200},
    )
    try:
        measured = measure(config)
    except DataError:
        pytest.skip("MNIST is not at hand")
    images = measured.train_images + 2 * measured.test_images
    assert measured.forward < measured.data / images / 5
