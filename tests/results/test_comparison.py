import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import AttackConfig
from certssb_core.results import comparison


@pytest.fixture
def series():
    """Ten clean images, then ten triggered ones, four of them of the target class 0."""
    generator = np.random.default_rng(5)
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    certificates = pd.DataFrame(
        {
            "set": ["clean"] * 10 + ["triggered"] * 10,
            "label": np.tile(labels, 2),
            "prediction": np.concatenate([labels[:8], [-1, 0], labels[:6], [0, 2, 0, -1]]),
            "radius": np.where(np.arange(20) % 10 >= 8, 0.0, generator.uniform(0.1, 1.0, 20)),
        }
    )
    return comparison.Series("run", certificates, AttackConfig(target=0), classes=3)


def test_curves_follow_the_definition(series):
    table = comparison.curves([series], points=11)
    rows = series.certificates
    for set_name, counting in (("clean", rows["label"] >= 0), ("triggered", rows["label"] != 0)):
        images = rows[(rows["set"] == set_name) & counting]
        for _, point in table[table["set"] == set_name].iterrows():
            expected = ((images["prediction"] == images["label"]) & (images["radius"] > point["radius"])).sum()
            assert (point["count"], point["n"]) == (expected, len(images))
    assert table["radius"].max() > rows["radius"].max()


def test_rates_count_only_images_that_measure_the_attack(series):
    table = comparison.rates([series], radius=0.0).set_index("measure")
    assert table.loc["Clean accuracy", ["count", "n"]].tolist() == [8, 10]
    assert table.loc["Clean images abstained", "count"] == 1
    assert table.loc["Triggered images abstained", ["count", "n"]].tolist() == [1, 6]
    assert table.loc["Attack success rate (ASR)", ["count", "n"]].tolist() == [2, 6]
    assert table.loc["Empirical robust accuracy (ERA)", ["count", "n"]].tolist() == [3, 6]
    low, high = proportion_confint(3, 6, method="wilson")
    assert table.loc["Empirical robust accuracy (ERA)", ["low", "high"]].tolist() == pytest.approx([low, high])


def test_budgets_count_right_and_certified_clean_images(series):
    images = np.concatenate([[0, 1, 2, 2, 5, -1, 0, 0, 9, 9], np.full(10, 50)])
    table = comparison.budgets([series], [images]).set_index("images")
    # The ninth abstains and the tenth is wrong: their 9 does not count, nor do triggered rows.
    assert table["count"].to_dict() == {0: 7, 1: 4, 2: 3, 3: 1, 4: 1, 5: 1, 6: 0}
    assert set(table["n"]) == {10}


def test_budgets_of_many_images_are_exact_at_every_number(series):
    images = np.concatenate([[0, 7, 7, 400, 5000, -1, 31, 9999, 3, 3], np.full(10, 50)])
    table = comparison.budgets([series], [images])
    standing = images[:8]  # the ninth abstains and the tenth is wrong
    for n in (0, 1, 7, 8, 30, 31, 32, 399, 400, 401, 4999, 5000, 5001, 9999, 10_000):
        assert table[table["images"] <= n]["count"].iloc[-1] == (standing >= n).sum()
    assert len(table) < 20


def test_budgets_in_words_agree_with_the_table(series):
    images = np.concatenate([[0, 1, 2, 2, 5, -1, 0, 0, 9, 9], np.full(10, 50)])
    assert "run **3 of 10**" in comparison.budget_sentence([series], [images], count=2, norm=0.1)


def test_a_grid_counts_as_the_curve_of_each_norm_does(series):
    generator = np.random.default_rng(8)
    by_norm = {norm: generator.integers(-1, 30, len(series.certificates)) for norm in (0.0, 0.5)}
    steps = comparison.image_steps(20, 14)
    assert steps == [0, 1, 2, 5, 10, 14, 20]
    grid = comparison.budget_grid(series, by_norm, steps).set_index(["norm", "images"])
    for norm, certified in by_norm.items():
        curve = comparison.budgets([series], [certified]).set_index("images")
        for step in steps:
            assert tuple(grid.loc[(norm, step), ["count", "share"]]) == tuple(curve.loc[step, ["count", "share"]])


def test_the_envelope_is_the_best_at_each_radius(series):
    table = pd.DataFrame(
        {
            "series": ["a", "a", "b", "b"],
            "set": "clean",
            "radius": [0.0, 1.0] * 2,
            "share": [0.9, 0.1, 0.7, 0.4],
        }
    )
    best = comparison.with_envelope(table, ["a", "b"], name="best").query("series == 'best'")
    assert dict(zip(best["radius"], best["share"], strict=True)) == {0.0: 0.9, 1.0: 0.4}


def test_side_by_side_has_a_column_per_series(series):
    wide = comparison.side_by_side(comparison.rates([series], radius=0.0)).set_index("measure")
    assert list(wide.columns) == ["run"]
    assert wide.loc["Clean accuracy", "run"].startswith("80.0% (8 of 10; ")
    assert wide.index[0] == "Clean accuracy"


def test_published_points_belong_to_their_setting_only():
    assert comparison.published(PRESETS["mnist-01-onepixel"])["share"].tolist() == [0.99953, 0.99433, 0.0]
    assert comparison.published(PRESETS["mnist-01-blended"]) is None
    assert comparison.published(PRESETS["digits"]) is None


def test_the_release_s_points_stand_on_the_axis_of_their_unit_alone():
    assert comparison.published(PRESETS["mnist-01-onepixel"]) is not None
    for other in ("subset-mnist-01-onepixel", "dpa-mnist-01", "denoise-mnist-01", "mnist-01-blended"):
        assert comparison.published(PRESETS[other]) is None
