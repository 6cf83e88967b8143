"""Ranges: how they are written, and which ones a configuration can take."""

from __future__ import annotations

import pytest

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig, flatten
from certssb_core.errors import ConfigError
from certssb_core.tuning import ranges
from certssb_core.tuning.ranges import Choices, Interval

BASE = PRESETS["digits-quick"]  # σ₀ 0.3 between 0.1 and 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("noise.sigma=0.1:0.5", ("noise.sigma", Interval(low=0.1, high=0.5))),
        (" training.epochs = 4 : 16 ", ("training.epochs", Interval(low=4, high=16))),
        ("training.learning_rate=1e-4:1e-2:log", ("training.learning_rate", Interval(low=1e-4, high=1e-2, log=True))),
        ("training.epochs=2,4,8", ("training.epochs", Choices(choices=(2, 4, 8)))),
        (
            "noise.train_map=uniform, sample-specific",
            ("noise.train_map", Choices(choices=("uniform", "sample-specific"))),
        ),
    ],
)
def test_what_is_written_is_what_is_meant(text, expected):
    key, values = ranges.parse(text)
    assert (key, values) == expected
    assert ranges.parse(f"{key}={values}") == expected, "a range is printed as it is written"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noise.sigma", "expected KEY=LOW:HIGH"),
        ("noise.sigma=0.5:0.1", "must rise"),
        ("noise.sigma=0.1:0.1", "must rise"),
        ("noise.sigma=0:1:log", "above 0"),
        ("noise.sigma=0.1:1:lin", "expected KEY=LOW:HIGH"),
        ("noise.sigma=low:high", "could not convert"),
        ("noise.sigma=0.1:nan", "finite number"),
        ("noise.sigma=0.1", "2 to 20 values"),
        ("training.epochs=2,2", "twice"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_text(text, message):
    with pytest.raises(ConfigError, match=message) as error:
        ranges.parse(text)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "1 to 8 settings"),
        (["noise.sigmma=0.1:0.5"], "noise.sigmma: no setting that can be varied"),
        (["seed=0:5"], "seed: no setting"),
        (["data.classes=0,1"], "data.classes: no setting"),
        (["certification.radii=0,1"], "certification.radii: no setting"),
        (["noise.train_map=0:1"], "it takes uniform, sample-specific"),
        (["noise.train_map=uniform,some"], "noise.train_map cannot be some"),
        (["training.epochs=0:4"], "training.epochs cannot be 0"),
        (["training.epochs=1.5:4"], "whole numbers"),
        (["noise.sigma=0.1:0.9"], "between sigma_min 0.1 and sigma_max 0.5"),
        (["noise.sigma=0.1:0.9", "noise.sigma_max=0.3:0.8"], "noise.sigma cannot be 0.9"),
    ],
)
def test_what_the_configuration_never_takes_is_refused(texts, message):
    with pytest.raises(ConfigError, match=message):
        ranges.check(dict(map(ranges.parse, texts)), BASE)


def test_an_end_counts_as_possible_if_the_other_ranges_allow_it():
    ranges.check(dict(map(ranges.parse, ["noise.sigma=0.1:0.9", "noise.sigma_max=0.3:1.0"])), BASE)


def test_what_can_be_varied_are_numbers_and_choices():
    kinds = ranges.tunable()
    assert kinds["noise.sigma"] == "number"
    assert kinds["training.epochs"] == kinds["data.max_train"] == "whole number"
    assert ranges.options("noise.train_map") == ("uniform", "sample-specific")
    defaults = flatten(RunConfig())
    for key, kind in kinds.items():
        expected = {"number": float, "whole number": int, "choice": str}[kind]
        assert isinstance(defaults[key], expected | None), key


def test_applied_changes_these_settings_alone():
    made = ranges.applied(BASE, {"noise.sigma": 0.25, "training.epochs": 5, "noise.train_map": "uniform"})
    changed = {key: value for key, value in flatten(made).items() if value != flatten(BASE)[key]}
    assert changed == {"noise.sigma": 0.25, "training.epochs": 5, "noise.train_map": "uniform"}
