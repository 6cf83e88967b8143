"""What the pages read of the runs is fresh, and the right run is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.errors import DataError, RunError
from certssb_core.runs import data_record, files
from certssb_core.runs.inputs import load_dataset
from certssb_core.runs.run import Run
from ui.kit import run_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("ui.kit.run_files.runs_dir", lambda: tmp_path)
    st.cache_resource.clear()
    st.cache_data.clear()
    return tmp_path


def finished(folder, name: str, **settings: str) -> Run:
    run = Run.create(override(RunConfig(), settings), name, folder)
    run.log("finished")
    return run


def test_a_changed_file_is_read_again(folder):
    run = finished(folder, "one")
    path = run.path / "metrics.json"
    files.write_json(path, {"answer": 1})
    assert run_files.metrics(run) == {"answer": 1}
    files.write_json(path, {"answer": 2})
    os.utime(path, ns=(1, 1))
    assert run_files.metrics(run) == {"answer": 2}


def test_an_unchanged_file_is_read_once(folder):
    run = finished(folder, "one")
    files.write_json(run.path / "metrics.json", {"answer": 1})
    assert run_files.metrics(run) is run_files.metrics(run)


def test_a_missing_file_is_a_plain_error_each_time(folder):
    run = finished(folder, "one")
    for _ in range(2):
        with pytest.raises(RunError, match="has the run finished"):
            run_files.metrics(run)


def test_images_depend_on_data_and_attack_only(folder):
    config = override(RunConfig(), {"data.classes": "0,1", "data.max_train": "20", "data.max_test": "10"})
    inputs = run_files.inputs_of(config)
    assert run_files.inputs_of(override(config, {"training.members": "5"})) is inputs
    assert run_files.inputs_of(override(config, {"attack.norm": "0.5"})) is not inputs


def test_run_with_attack_wants_the_same_data_and_attack(folder):
    run = finished(folder, "one", **{"data.root": "elsewhere", "attack.norm": "0.5"})
    half = override(RunConfig(), {"attack.norm": "0.5"})
    assert run_files.run_with_attack(half).name == run.name
    assert run_files.run_with_attack(RunConfig()) is None
    assert run_files.run_with_attack(override(half, {"data.classes": "0,1"})) is None
    run.log("stopped")
    assert run_files.run_with_attack(half) is None


def test_class_names_of_a_missing_dataset_are_unknown(folder, tmp_path):
    assert run_files.class_names("digits") == tuple("0123456789")
    assert run_files.class_names("mnist", str(tmp_path)) == ()


def test_machine_says_why_it_could_not_look(folder, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RunError, match="doctor"):
        run_files.machine()


def test_pages_refuse_images_that_changed_under_a_run_and_read_them_afresh_for_a_new_one(tmp_path):
    st.cache_resource.clear()
    picture = tmp_path / "test" / "b" / "0.png"
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (8, 8), len(name)).save(tmp_path / name / "0.png")
    config = override(RunConfig(), {"data.name": "image-folder", "data.size": "8", "data.root": str(tmp_path)})
    old, new = (Run.create(config, name, tmp_path / "runs") for name in ("old", "new"))
    data_record.record(old, run_files.inputs(old).dataset)
    Image.new("L", (8, 8), 250).save(picture)
    data_record.record(new, load_dataset(config))
    assert run_files.inputs(new).dataset.test_images[1].min() > 0.9
    with pytest.raises(DataError, match="not the images that old was made from: there are 2 test images as before"):
        run_files.inputs(old)


def test_the_runs_lie_beside_the_app_wherever_the_server_was_started(tmp_path, monkeypatch):
    monkeypatch.delenv("CERTSSB_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run_files.runs_dir() == Path(__file__).parents[3] / "checkpoints"
    run_files.machine.clear()
    assert any(finding["name"] == "python" for finding in run_files.machine())
    monkeypatch.setenv("CERTSSB_RUNS", "elsewhere")
    assert run_files.runs_dir() == Path("elsewhere")


def test_a_link_to_a_run_that_is_not_here_says_so_and_keeps_its_address(tmp_path, monkeypatch):
    """Another run is shown only once the reader has chosen it."""
    monkeypatch.setenv("CERTSSB_RUNS", str(tmp_path))
    for name in ("one", "two"):
        Run.create(RunConfig(), name, tmp_path).log("finished")

    def page() -> None:
        from ui.kit import run_files

        if run := run_files.pick_run():
            import streamlit as st

            st.write(f"shows {run.name}")

    test = AppTest.from_function(page, default_timeout=30)
    test.query_params["run"] = "*gone*"
    test.run()
    assert "not here" in test.error[0].value
    assert test.text[0].value == "*gone*"
    assert not test.markdown
    assert test.query_params["run"] in ("*gone*", ["*gone*"])
    test.selectbox[0].set_value("one").run()
    assert test.markdown[0].value == "shows one"
    assert not test.error


def test_an_attack_is_not_read_from_a_run_on_other_images_of_the_same_shape(folder):
    for root, level in (("one", 10), ("other", 200)):
        for name in ("train/a", "train/b", "test/a", "test/b"):
            (folder / root / name).mkdir(parents=True)
            Image.new("L", (8, 8), level + len(name)).save(folder / root / name / "0.png")
    settings = {"data.name": "image-folder", "data.size": "8"}
    run = finished(folder, "run", **settings, **{"data.root": str(folder / "one")})
    data_record.record(run, load_dataset(run.config))
    run.log("finished")
    other = override(run.config, {"data.root": str(folder / "other")})
    assert run_files.run_with_attack(run.config).name == "run"
    assert run_files.run_with_attack(other) is None


def test_a_link_to_a_run_that_a_page_cannot_show_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("CERTSSB_RUNS", str(tmp_path))
    Run.create(RunConfig(), "one", tmp_path).log("finished")
    Run.create(PRESETS["subset-digits-01"], "subset", tmp_path).log("finished")

    def page() -> None:
        from ui.kit import run_files

        run_files.pick_run(balls=True)

    test = AppTest.from_function(page, default_timeout=30)
    test.query_params["run"] = "subset"
    test.run()
    assert "cannot show" in test.error[0].value
    assert "training images replaced" in test.error[0].value
