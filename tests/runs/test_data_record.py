"""A run and the data it was made from: other images are refused wherever a run's images are needed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from certssb_core.capsule import export, import_capsule
from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig
from certssb_core.data.datasets import load
from certssb_core.errors import DataError, RunError
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs import data_record
from certssb_core.runs.inputs import load_inputs, run_inputs
from certssb_core.runs.run import Run
from certssb_core.verification import verify
from tests.conftest import finish

TINY = {
    "data.name": "image-folder",
    "data.size": "8",
    "attack.trigger": "patch",
    "attack.rate": "0.1",
    "noise.iterations": "1",
    "noise.candidates": "2",
    "noise.draws": "2",
    "training.model": "small-cnn",
    "training.members": "2",
    "training.epochs": "1",
    "training.single_epochs": "1",
    "training.batch_size": "8",
    "training.workers": "1",
}


def write_images(folder, seed: int, train: int = 10, test: int = 3) -> None:
    generator = np.random.default_rng(seed)
    for split, count in (("train", train), ("test", test)):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index:03d}.png")


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", seed=0)
    return tmp_path / "images"


@pytest.fixture
def started(tmp_path, images):
    """A run that has loaded its data, and nothing else."""
    run = Run.create(override(RunConfig(), TINY | {"data.root": str(images)}), "started", tmp_path / "runs")
    data_record.record(run, run_inputs(run).dataset)
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    write_images(folder / "images", seed=0)
    return finish(Run.create(override(RunConfig(), TINY | {"data.root": str(folder / "images")}), "done", folder))


def refusal(run: Run) -> str:
    with pytest.raises(DataError) as caught:
        run_inputs(run)
    return str(caught.value)


def test_the_same_images_pass_and_the_record_does_not_change(started):
    before = (started.path / "data.json").read_bytes()
    data_record.record(started, run_inputs(started).dataset)
    assert (started.path / "data.json").read_bytes() == before
    found = json.loads(before)
    assert (found["train"]["images"], found["test"]["images"], found["classes"]) == (20, 6, ["a", "b"])


def test_replaced_images_of_the_same_names_and_number_are_refused_at_resume(started, images):
    write_images(images, seed=9)
    with pytest.raises(DataError, match="there are 20 training images as before, but their pixels or labels differ"):
        Pipeline(started).execute()
    assert not (started.path / "poison.safetensors").exists(), "refused before anything is made of them"


def test_the_refusal_names_the_split_and_the_counts(started, images):
    Image.new("RGB", (8, 8)).save(images / "test" / "a" / "new.png")
    message = refusal(started)
    assert "6 test images became 7" in message
    assert "training" not in message
    assert message.endswith("Put the old images back, or start a new run.")


def test_the_refusal_names_the_other_root_and_the_other_classes(started, images, tmp_path, monkeypatch):
    write_images(tmp_path / "other", seed=0)
    for split in ("train", "test"):
        (tmp_path / "other" / split / "b").rename(tmp_path / "other" / split / "c")
    config = json.loads((started.path / "config.json").read_text())
    config["data"]["root"] = str(tmp_path / "other")
    (started.path / "config.json").write_text(json.dumps(config))
    message = refusal(Run(started.path))
    assert f"they came from {images.resolve()}, now from {(tmp_path / 'other').resolve()}" in message
    assert "classes a, b became a, c" in message


def test_a_run_of_an_earlier_version_says_that_its_data_is_not_recorded(started, images):
    (started.path / "data.json").unlink()
    (started.path / "poison.safetensors").touch()
    data_record.record(started, load("image-folder", root=images, size=8))
    assert data_record.recorded(started) is None
    data_record.check(started, load("image-folder", root=images, size=4))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"classes": [1], "train": {}, "test": {}}', "[" * 10**5])
def test_a_damaged_record_is_told(started, content):
    (started.path / "data.json").write_text(content)
    with pytest.raises(RunError, match=r"data\.json is damaged"):
        run_inputs(started)


def test_files_that_were_not_read_are_in_the_runs_log(tmp_path, images):
    (images / "train" / "a" / "photo.heic").touch()
    run = Run.create(override(RunConfig(), TINY | {"data.root": str(images)}), "run", tmp_path / "runs")
    data_record.record(run, run_inputs(run).dataset)
    (event,) = [event for event in run.events() if event["kind"] == data_record.LOADED]
    assert "1 .heic" in event["message"]
    assert event["root"] == str(images.resolve())


def test_a_finished_run_refuses_to_answer_or_to_pass_on_other_images(finished, tmp_path):
    run = Run(shutil.copytree(finished.path, tmp_path / "runs" / "done"))
    assert "failed" not in {found.outcome for found in verify(run)}
    assert run.manifest["sha256"]["data.json"]
    images = load_inputs(run.config).dataset
    added = finished.config.data.root + "/test/a/new.png"
    Image.new("RGB", (8, 8)).save(added)
    try:
        with pytest.raises(DataError, match="6 test images became 7"):
            LoadedEnsemble(run)
        (found,) = [found for found in verify(run) if found.check == "dataset and poison"]
        assert (found.outcome, "6 test images became 7" in found.detail) == ("failed", True)
        imported = import_capsule(export(run, tmp_path / "run.capsule"), "imported", tmp_path / "runs")
        assert data_record.recorded(imported) == images.fingerprint
    finally:
        (tmp_path / added).unlink()
