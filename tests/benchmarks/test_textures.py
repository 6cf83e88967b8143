"""The folder of textures is laid out as ImageNette's, and a run of its preset comes to its end on it."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import textures
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.data.datasets import availability, load
from certssb_core.data.readers import IMAGENETTE_CLASSES
from certssb_core.runs.run import Run
from tests.conftest import finish


def test_numbers_are_imagenettes():
    assert [sum(counts) for counts in textures.COUNTS.values()] == [9469, 3925]
    assert {len(counts) for counts in textures.COUNTS.values()} == {len(IMAGENETTE_CLASSES)}


@pytest.mark.parametrize(("size", "shorter"), [("full", None), ("320px", 320), ("160px", 160)])
def test_every_variant_is_found_and_read(tmp_path, size, shorter):
    made = textures.make(tmp_path, size=size, share=0.002)
    sides = [Image.open(path).size for path in made.rglob("*.JPEG")]
    assert len(sides) == 40
    assert len(set(sides)) > 20, "JPEGs of varying size"
    assert shorter is None or {min(side) for side in sides} == {shorter}
    assert availability("imagenette", tmp_path).present
    loaded = load("imagenette", root=tmp_path, size=64)
    assert loaded.train_images.shape == (20, 3, 64, 64)
    assert np.bincount(loaded.test_labels).tolist() == [2] * 10
    again = textures.texture(3, "val", 1, size)
    assert again.tobytes() == textures.texture(3, "val", 1, size).tobytes()


@pytest.mark.slow
def test_the_pair_preset_trains_certifies_and_stores(tmp_path):
    textures.make(tmp_path, share=0.06, classes=2)
    settings = {"data.root": str(tmp_path), "training.members": "12", "certification.alpha": "0.1"}
    config = override(PRESETS["imagenette-pair"], settings | {"training.single_epochs": "2"})
    run = finish(Run.create(config, "pair", tmp_path / "runs"))
    table = run.certificates()
    assert len(table) == 2 * (23 + 24)
    clean = table[table["set"] == "clean"]
    assert (clean["prediction"] == clean["label"]).mean() > 0.8, "the two tints can be told apart"
    assert (clean["radius"] > 0).any()
