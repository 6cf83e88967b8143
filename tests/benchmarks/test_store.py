"""The store's benchmark compares like with like: the script it races decides as the rules say."""

import numpy as np

from benchmarks import store
from certssb_core.store.store import Store


def test_the_published_script_ends_with_the_balls_of_the_store(monkeypatch):
    """The script works in float32 and stores abstentions and empty balls, so none are sent."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(120, 3)).astype(np.float32), rng.integers(0, 3, 120)
    radii = rng.uniform(0.1, 0.8, 120)
    with Store.in_memory(3) as ours:
        entries = ours.insert(images, labels, radii, np.ones(120), ["x"] * 120, np.arange(120))
    assert {"trimmed", "aligned"} <= {entry.case for entry in entries}
    monkeypatch.setattr(store, "SIZES", (60, 120))
    found = store.published(images, labels, radii)
    assert found["inputs"] == [60, 120]
    saved_labels, saved_radii = found["saved"]
    assert saved_labels == [entry.label for entry in entries]
    np.testing.assert_allclose(saved_radii, [entry.radius_after for entry in entries], atol=1e-5)


def test_inputs_are_those_described():
    images, labels, radii = store.inputs("random", 2000)
    assert images.shape == (2000, 784)
    assert images.dtype == np.float32
    assert np.all((radii == 0) == (labels == -1))
    assert np.count_nonzero(labels == -1) in range(1, 60)
    assert radii[labels >= 0].min() >= 0.25 * store.MARGIN
    assert radii.max() <= store.MARGIN
