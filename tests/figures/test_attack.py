"""The attack's figures against counts made by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from certssb_core.figures.attack import flow_counts, label_map, norm_histogram

CLASSES = ("cat", "dog", "owl")
BEFORE, AFTER = np.array([0, 1, 1, 2, 1]), np.array([1, 2, 2, 0, 0])


def test_flow_counts():
    expected = Counter(zip(BEFORE.tolist(), AFTER.tolist(), strict=True))
    counts = flow_counts(BEFORE, AFTER, classes=3)
    assert {pair: count for pair, count in np.ndenumerate(counts) if count} == dict(expected)


def test_label_map_draws_every_flow_between_the_right_names():
    sankey = label_map(BEFORE, AFTER, classes=CLASSES).data[0]
    drawn = {
        (sankey.node.label[source], sankey.node.label[target]): value
        for source, target, value in zip(sankey.link.source, sankey.link.target, sankey.link.value, strict=True)
    }
    assert drawn == {("cat", "dog"): 1, ("dog", "owl"): 2, ("owl", "cat"): 1, ("dog", "cat"): 1}
    assert not set(sankey.link.source) & set(sankey.link.target)  # true classes left, labels right


def test_label_map_of_kept_labels_goes_straight_across():
    sankey = label_map(np.array([2, 2]), np.array([2, 2]), classes=CLASSES).data[0]
    assert list(sankey.node.label) == ["owl", "owl"]
    assert list(sankey.link.value) == [2]


@pytest.mark.parametrize("nominal", [1.0, None])
def test_histogram_covers_all_norms_and_marks_the_nominal_one(nominal):
    norms = np.array([0.2, 0.9, 0.95, 0.95])
    figure = norm_histogram(norms, nominal=nominal)
    bars = figure.data[0]
    assert list(bars.x) == norms.tolist()
    assert bars.xbins.start <= norms.min()
    assert bars.xbins.end > norms.max()
    assert [line.x0 for line in figure.layout.shapes] == ([] if nominal is None else [nominal])
