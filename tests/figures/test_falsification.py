import pytest

from certssb_core.figures.falsification import known_noise, violation_rates

PARTS = [
    {"title": "test: a", "trials": 2000, "violations": 0, "rate": 0.0, "rate_upper": 0.0015},
    {"title": "joint: b", "trials": 100, "violations": 5, "rate": 0.05, "rate_upper": 0.1},
    {"title": "store: c", "trials": 0, "violations": 0, "rate": None, "rate_upper": 1.0},
]


def test_every_part_has_its_bound_and_its_count():
    figure = violation_rates(PARTS, alpha=0.001, confidence=0.95)
    lines, bounds, broken = figure.data
    assert list(bounds.x) == [1.0, 0.1, 0.0015]
    assert list(bounds.text) == ["0 of 0", "5 of 100", "0 of 2,000"]
    assert list(broken.x) == [0.05]
    assert list(broken.y) == ["joint:<br>b"]
    assert list(lines.x)[3:5] == [0.05, 0.1]
    assert figure.layout.shapes[0].x0 == 0.001
    assert "95%" in bounds.name


def test_the_independent_units_of_a_bound_stand_beside_its_trials():
    part = PARTS[0] | {"unit": "worlds", "units": 8}
    assert violation_rates([part], alpha=0.001, confidence=0.95).data[1].text[0] == "0 of 2,000 in 8 worlds"


def test_a_rate_of_zero_starts_left_of_everything_on_the_log_axis():
    lines = violation_rates(PARTS, alpha=0.001, confidence=0.95).data[0]
    assert 0 < lines.x[6] < 0.001
    assert lines.x[7] == pytest.approx(0.0015)


def test_nothing_broken_marks_nothing_broken():
    assert len(violation_rates(PARTS[:1], alpha=0.001, confidence=0.95).data) == 2


def test_known_noise_draws_the_truth_and_both_claims_of_every_input():
    row = {"set": "clean", "index": 3, "true_low": 0.6, "true_high": 0.65, "claimed_known": 0.7, "claimed_fresh": 0.5}
    truth, known, fresh = known_noise([row, row | {"index": 4}]).data
    assert list(truth.x)[:3] == [0.6, 0.65, None]
    assert list(known.x) == [0.7, 0.7]
    assert list(fresh.x) == [0.5, 0.5]
    assert list(known.y) == ["clean 3", "clean 4"]
