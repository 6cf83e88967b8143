"""The reader of IDX files against torchvision's."""

import numpy as np
import pytest

from certssb_core.data.datasets import load


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_images_labels_and_classes_are_those_of_torchvision(tmp_path, name, kind):
    raw = tmp_path / kind / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", 30)):
        for part, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            items = generator.integers(0, 256 if len(shape) > 1 else 10, shape).astype(np.uint8)
            items.flat[:10] = range(10)  # every class is there
            header = bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()
            (raw / f"{prefix}-{part}-ubyte").write_bytes(header + items.tobytes())
    datasets = pytest.importorskip("torchvision.datasets")
    found = load(name, root=tmp_path)
    for train, images, labels in (
        (True, found.train_images, found.train_labels),
        (False, found.test_images, found.test_labels),
    ):
        expected = getattr(datasets, kind)(str(tmp_path), train=train)
        np.testing.assert_array_equal(images[:, 0] * 255, expected.data.numpy())
        np.testing.assert_array_equal(labels, expected.targets.numpy())
    names = tuple(one.split(" - ")[0] for one in expected.classes) if kind == "MNIST" else tuple(expected.classes)
    assert found.classes == names
