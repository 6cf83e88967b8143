"""The network that σ* is found on: which noise it learns under, and what that does to its answers."""

import numpy as np
import pytest
import torch
from scipy import stats

from certssb_core import PRESETS, load_inputs, override
from certssb_core.pipeline.context import RunContext, context_of
from certssb_core.pipeline.resolve_auto import settled

CPU = {"training.device": "cpu", "training.precision": "float32"}


def context(preset: str, **settings) -> RunContext:
    config = override(PRESETS[preset], CPU | settings)
    inputs = load_inputs(config)
    return context_of(settled(config, inputs), inputs)


@pytest.fixture
def levels(monkeypatch):
    """The noise that the base classifier of a context would be trained under."""

    def asked(where: RunContext) -> np.ndarray:
        seen = []

        def trained(self, member: int, sigma: torch.Tensor) -> torch.nn.Module:
            seen.append(sigma)
            return torch.nn.Identity()

        monkeypatch.setattr(RunContext, "trained", trained)
        where.base_classifier()
        return seen[0].numpy()

    return asked


def test_one_level_for_all(levels):
    found = levels(context("digits", **{"noise.sigma": 0.3}))
    assert len(found) == 1437
    assert np.all(found == np.float32(0.3))


def test_levels_are_spread_evenly_on_a_log_scale(levels):
    spread = {"noise.base_map": "spread", "noise.sigma_min": 0.1, "noise.sigma_max": 0.8, "noise.sigma": 0.3}
    found = levels(context("digits", **spread))
    assert len(found) == 1437
    assert found.min() >= 0.1
    assert found.max() <= 0.8
    # seed 0; of true draws one in 1,000 seeds would fail
    assert stats.kstest(np.log(found / 0.1) / np.log(8), "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(levels(context("digits", **spread)), found)
    assert np.mean(levels(context("digits", **spread, seed=1)) == found) == 0


@pytest.mark.slow
def test_a_base_classifier_of_one_level_leans_to_a_class_under_stronger_noise_and_of_all_levels_does_not():
    """Why σ* gave the class away: at twice its own level the one answers "airplane" to nearly everything."""
    leaning = {}
    for base_map in ("uniform", "spread"):
        where = context(
            "photographs",
            **{"training.model": "patch-ridge", "noise.base_map": base_map, "noise.sigma": 0.5, "noise.sigma_max": 1.0},
        )
        images = where.before_noise["train"][::20]
        noise = torch.from_numpy(np.random.default_rng(7).normal(size=images.shape)).float()
        with torch.no_grad():
            answers = where.base_classifier()(images + noise).argmax(1)
        leaning[base_map] = (answers == 0).double().mean().item()
    # half of the 200 images are airplanes; five standard deviations of a share of 200 are 0.18
    assert leaning["uniform"] > 0.85
    assert abs(leaning["spread"] - 0.5) < 0.18
