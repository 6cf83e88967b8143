import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from certssb_core.config.schema import NoiseConfig
from certssb_core.figures.sigma import binned
from certssb_core.results import per_image


@pytest.fixture
def sigma():
    grid = np.geomspace(0.1, 1.0, 10)
    curve = np.stack([1 - np.log(grid / 0.3) ** 2 / 4, 2 - np.log(grid / 0.6) ** 2])
    return {
        "train": np.array([0.2, 0.3, 0.4]),
        "clean": np.array([0.5, 0.6]),
        "triggered": np.array([0.7, 0.8]),
        "train_labels": np.array([0, 1, 1]),
        "path_index/clean": np.array([1, 0]),
        "path_sigma/clean": np.array([[0.25, 0.6], [0.25, 0.5]]),
        "path_radius/clean": np.array([[0.8, 1.0], [1.0, 1.9]]),
        "curve_sigma": grid,
        "curve_radius/clean": curve,
    }


@pytest.fixture
def certificates():
    return pd.DataFrame(
        {
            "set": ["clean", "clean", "triggered", "triggered"],
            "index": [0, 1, 1, 0],
            "label": [0, 1, 1, 0],
            "prediction": [0, -1, 1, 1],
            "margin": [2.0, 0.0, 1.0, 1.5],
            "radius": [1.0, 0.0, 0.8, 1.05],
        }
    )


@pytest.fixture
def table(sigma, certificates):
    return per_image.samples(sigma, {"indices": np.array([2])}, certificates, ("zero", "one"))


def test_each_image_keeps_its_own_sigma_whatever_the_order_of_the_rows(table):
    assert table.loc[table["set"] == "train", "poisoned"].tolist() == [False, False, True]
    triggered = table[table["set"] == "triggered"].set_index("index")
    assert triggered.loc[1, ["sigma", "radius", "name", "right"]].tolist() == [0.8, 0.8, "one", True]
    assert triggered.loc[0, ["sigma", "right"]].tolist() == [0.7, False]
    assert not table.loc[(table["set"] == "clean") & (table["index"] == 1), "right"].item(), (
        "an abstention is not right"
    )
    assert table.loc[table["set"] == "train", "radius"].isna().all()


def test_groups(table):
    by_set = per_image.grouped(table, "set")["group"].value_counts().to_dict()
    assert by_set == {"train": 3, "clean": 2, "triggered": 2}
    poisoned = per_image.grouped(table, "poisoned")
    assert poisoned.loc[poisoned["group"] == "poisoned", "sigma"].tolist() == [0.4]
    assert per_image.grouped(table, "class", "train")["group"].tolist() == ["zero", "one", "one"]


def test_bars_hold_every_image_once():
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {"set": "train", "index": np.arange(400), "sigma": np.exp(generator.normal(-1, 0.5, 400)), "label": 0}
    )
    table["name"], table["poisoned"] = np.array(["zero", "one"])[np.arange(400) % 2], table["index"] % 10 == 0
    shown = per_image.grouped(table, "poisoned")
    bins = binned(shown["sigma"], shown["group"], bins=9)
    bars = [per_image.in_bar(shown, bins, bar) for bar in range(9)]
    assert sorted(pd.concat(bars)["index"]) == list(range(400)), "the largest σ* too"
    counts = bins[bins["group"] == "poisoned"]["count"].tolist()
    assert [len(per_image.in_bar(shown, bins, bar, "poisoned")) for bar in range(9)] == counts
    assert bars[4]["sigma"].is_monotonic_increasing
    assert per_image.in_bar(shown, bins, 4, "clean")["poisoned"].sum() == 0


def test_released_sigma_stands_beside_that_of_the_same_image(table):
    released = table.assign(sigma=table["sigma"] + table["index"]).iloc[::-1]
    found = per_image.beside_release(table, released).set_index("index")
    assert found["ours"].to_dict() == {0: 0.5, 1: 0.6}
    assert found["theirs"].to_dict() == {0: 0.5, 1: 1.6}


def test_ascent_is_that_of_the_image_asked_for(sigma):
    found = per_image.ascent(sigma, "clean", 1)
    assert (found.sigma_star, found.path_sigma.tolist()) == (0.6, [0.25, 0.6])
    assert found.best_sigma == pytest.approx(0.3, rel=0.15)  # within one step of the grid
    assert found.radius_star == pytest.approx(1 - np.log(2) ** 2 / 4, abs=0.01)  # linear between grid points
    assert per_image.ascent(sigma, "train", 1) is None
    assert per_image.with_ascent(sigma, "clean").tolist() == [0, 1]
    assert len(per_image.ascent_table(found)) == 10 + 2


def test_regret_against_the_closed_form(sigma):
    row = per_image.regret(sigma).iloc[0]
    grid = np.geomspace(0.1, 1.0, 200_000)
    curves = np.stack([1 - np.log(grid / 0.3) ** 2 / 4, 2 - np.log(grid / 0.6) ** 2])
    star = (1 - np.log(2) ** 2 / 4) + (2 - np.log(0.5 / 0.6) ** 2)
    assert row["regret"] == pytest.approx(1 - star / 3, abs=0.02)
    assert row["best_uniform_regret"] == pytest.approx(1 - curves.mean(axis=0).max() / 1.5, abs=0.02)
    assert row["best_uniform_sigma"] == pytest.approx(grid[curves.mean(axis=0).argmax()], rel=0.15)


def test_display_noise_is_one_draw_scaled_by_sigma():
    image = np.full((1, 200, 200), 0.5, np.float32)
    assert np.std(per_image.with_noise(image, 0.1) - image) == pytest.approx(0.1, rel=0.02)
    np.testing.assert_array_equal(per_image.with_noise(image, 0.0), image)
    np.testing.assert_allclose(
        per_image.with_noise(image, 0.1) - 0.5, (per_image.with_noise(image, 0.05) - 0.5) * 2, atol=1e-6
    )
    assert per_image.with_noise(image, 9.0).max() == 1.0


def test_unanimous_margin_of_two_classes():
    # Clopper–Pearson of M unanimous votes is (alpha / 2)^(1 / M); of two classes the bounds add up to 1.
    assert per_image.unanimous_margin("clopper-pearson", members=1000, classes=2, alpha=0.002) == pytest.approx(
        2.4633, abs=1e-4
    )
    assert per_image.unanimous_margin("clopper-pearson", members=50, classes=2, alpha=0.01) == pytest.approx(
        norm.ppf(0.005 ** (1 / 50))
    )


def test_the_share_at_the_ends_counts_what_lies_on_the_range_and_only_where_sigma_was_searched():
    noise = NoiseConfig(sigma_min=0.1, sigma_max=0.5)
    sigma = {"train": np.full(4, 0.1), "clean": np.array([0.1, 0.2, 0.5, 0.5]), "triggered": np.array([0.3, 0.3])}
    shares = per_image.sigma_at_ends(sigma, noise)
    assert shares["clean"] == {"low": 0.25, "high": 0.5}
    assert shares["triggered"] == {"low": 0.0, "high": 0.0}
    uniform = noise.model_copy(update={"train_map": "uniform"})
    assert set(per_image.sigma_at_ends(sigma, uniform)) == {"clean", "triggered"}
