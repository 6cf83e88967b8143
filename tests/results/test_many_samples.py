"""Hundreds of thousands of σ*: binned here, so that the browser gets a few bars, and opened bar by bar."""

import numpy as np
import pandas as pd
import pytest

from certssb_core.figures import sigma
from certssb_core.results import per_image

COUNT = 300_000


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 10, COUNT)
    return pd.DataFrame(
        {
            "set": "train",
            "index": np.arange(COUNT),
            "label": label,
            "name": label.astype(str),
            "poisoned": generator.random(COUNT) < 0.02,
            "sigma": np.exp(generator.normal(-1, 0.5, COUNT)),
        }
    )


@pytest.mark.parametrize("by", ["set", "poisoned", "class"])
def test_every_value_is_in_one_bar_and_every_bar_opens(table, by):
    shown = per_image.grouped(table, by, "train")
    bins = sigma.binned(shown["sigma"], shown["group"])
    assert bins["count"].sum() == COUNT
    edges = np.append(bins["low"].unique(), bins["high"].max())
    np.testing.assert_array_equal(bins.groupby("low")["count"].sum(), np.histogram(table["sigma"], edges)[0])
    figure = sigma.histogram(bins, colours={name: "#000001" for name in bins["group"].unique()})
    assert len(figure.to_json()) < 150_000, "bytes to the browser do not grow with the number of images"
    bar = int(bins["count"].to_numpy()[: len(edges) - 1].argmax())
    group = str(bins["group"].iloc[0])
    assert len(per_image.in_bar(shown, bins, bar, group)) == bins["count"].iloc[bar]
