"""The command line: what it prints, what it returns, and how it answers bad input."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certssb_core import cli
from certssb_core.config.presets import PRESETS
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.denoising.denoisers import denoiser
from tests.conftest import SMALL, make_small_run

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hears_ctrl_c():
    """Processes started by the test answer to Ctrl-C, also where the tests run in the background and would not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["certssb_core", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def settings(**changes: str) -> list[str]:
    return [word for key, value in (SMALL | changes).items() for word in ("--set", f"{key}={value}")]


def test_run_ends_with_the_folder_and_the_folder_with_the_figures(call, small_run, tmp_path):
    code, out, _ = call(
        "run", "digits", "--name", "mine", "--runs-dir", tmp_path, *settings(), "--set", "noise_seed=public"
    )
    assert code == 0
    assert out.splitlines()[-1] == str(tmp_path / "mine")
    assert Run.open("mine", tmp_path).metrics["clean"] == small_run.metrics["clean"]


def test_a_run_goes_on_where_it_is_told_to(call, tmp_path, monkeypatch):
    """Its folder says where, so that a worker of the queue knows it too."""
    monkeypatch.setitem(sys.modules, "ray", object())
    monkeypatch.setattr("certssb_core.cli.runs.waiting.submit", lambda run: None)
    cluster = ["--engine", "ray", "--address", "10.0.0.1:6379"]
    assert call("run", "digits", "--name", "far", "--queue", "--runs-dir", tmp_path, *cluster)[0] == 0
    training = Run.open("far", tmp_path).config.training
    assert (training.engine, training.address) == ("ray", "10.0.0.1:6379")
    assert call("resume", "far", "--engine", "local", "--queue", "--runs-dir", tmp_path)[0] == 0
    assert Run.open("far", tmp_path).config.training.engine == "local"


def test_list_and_show(call, small_run):
    folder = small_run.path.parent
    code, out, _ = call("list", "--json", "--runs-dir", folder)
    assert code == 0
    assert [(row["name"], row["state"]) for row in json.loads(out)] == [("small", "done")]
    code, out, _ = call("show", "small", "--json", "--runs-dir", folder)
    shown = json.loads(out)
    assert shown["metrics"] == small_run.metrics
    assert shown["config"]["training"]["members"] == 12
    assert "accuracy" in call("show", small_run.path)[1]
    assert "small" in call("list", "--runs-dir", folder)[1]


def test_certify_repeats_the_runs_own_figures_and_changes_with_its_options(call, small_run):
    code, out, _ = call("certify", small_run.path, "--json")
    own = json.loads(out)
    assert code == 0
    assert {key: own[key] for key in ("clean", "triggered")} == {
        key: small_run.metrics[key] for key in ("clean", "triggered")
    }
    assert "noise level as fixed" in own["promise"]["condition"]
    uniform = json.loads(call("certify", small_run.path, "--mode", "uniform", "--alpha", "0.3", "--json")[1])
    assert (uniform["mode"], uniform["alpha"], uniform["members"]) == ("uniform", 0.3, 12)
    assert uniform["clean"]["abstained"] <= own["clean"]["abstained"]
    hoeffding = json.loads(call("certify", small_run.path, "--bound", "hoeffding", "--json")[1])
    assert hoeffding["clean"]["average_certified_radius"] <= own["clean"]["average_certified_radius"]
    assert "Promise:" in call("certify", small_run.path)[1]


def test_a_curve_is_computed_as_the_run_kept_it(call, small_run):
    kept = small_run.arrays("sigma")
    index = int(kept["path_index/triggered"][1])
    code, out, _ = call("curve", small_run.path, "triggered", str(index), "--json")
    assert code == 0
    found = json.loads(out)
    assert found["sigma"] == pytest.approx(kept["curve_sigma"].tolist())
    assert found["radius"] == pytest.approx(kept["curve_radius/triggered"][1].tolist(), abs=1e-6)
    code, _, err = call("curve", small_run.path, "clean", "100000")
    assert code == cli.FAILED
    assert "has no image clean 100000" in err


def test_the_attack_is_measured_without_a_run_as_in_one(call, small_run, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(small_run.config.model_dump_json())
    code, out, _ = call("undefended", file, "--json")
    assert code == 0
    assert json.loads(out) == small_run.metrics["undefended"]


def test_a_server_that_downloads_nothing_fetches_nothing(call, monkeypatch, tmp_path):
    monkeypatch.setenv("CERTSSB_DOWNLOADS", "0")
    code, _, err = call("fetch", "mnist", "--root", tmp_path)
    assert code == cli.DATA
    assert "downloads nothing" in err
    monkeypatch.setenv("CERTSSB_DOWNLOADS", "1")
    code, _, err = call("fetch", "image-folder", "--root", tmp_path)
    assert code == cli.DATA
    assert "put images into" in err
    assert "built in" in call("fetch", "digits", "--root", tmp_path)[1]


def test_query_is_answered_by_the_store_where_a_ball_holds_the_image(call, small_run, tmp_path):
    """A stored test image, saved as a PNG of its 0…16 grey levels, lies in its own ball."""
    table = small_run.certificates()
    row = table[(table["set"] == "clean") & (table["store_radius"] > 0.05)].iloc[0]
    image = load_inputs(small_run.config).dataset.test_images[row["index"], 0]
    path = tmp_path / "digit.png"
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(path)
    code, out, _ = call("query", small_run.path, path, "--json")
    reply = json.loads(out)
    assert code == 0
    assert (reply["answered_by"], reply["label"]) == ("store", row["store_prediction"])
    assert sum(reply["votes"]) == 12
    assert reply["votes"] == [row["votes_0"], row["votes_1"], row["votes_2"]]
    assert 0 < reply["radius"] <= row["store_radius"]


def test_query_outside_all_balls_is_answered_by_the_members(call, small_run, tmp_path):
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
    code, out, _ = call("query", small_run.path, path)
    assert code == 0
    assert out.startswith("answered by members")


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40])
def test_query_refuses_what_is_no_image(call, small_run, tmp_path, content):
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
    code, _, err = call("query", small_run.path, path)
    assert code == cli.DATA
    assert str(path) in err


def test_presets_and_doctor(call):
    code, out, _ = call("presets", "--json")
    assert code == 0
    assert set(json.loads(out)) == set(PRESETS)
    code, out, _ = call("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert findings["data: digits"]["present"]
    assert "cuda" in findings


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "no-such-preset"], cli.MISUSED, "neither a preset"),
        (["run", "digits", "--set", "training.members"], cli.MISUSED, "expected KEY=VALUE"),
        (["run", "digits", "--set", "training.members=0"], cli.MISUSED, "training.members"),
        (["run", "digits", "--set", "traning.members=3"], cli.MISUSED, "no such setting"),
        (["run", "digits", "--engine", "moon"], cli.MISUSED, "training.engine"),
        (["run", "digits", "--address", "10.0.0.1:6379"], cli.MISUSED, "--address belongs to --engine ray"),
        (["tune", "t", "--continue", "--engine", "ray"], cli.MISUSED, "--engine too"),
        (["run", "digits", "--name", "../out"], cli.FAILED, "is not a name for a run"),
        (["show", "nothing"], cli.FAILED, "no run 'nothing'"),
        (["resume", "nothing"], cli.FAILED, "no run 'nothing'"),
        (["certify", "nothing"], cli.FAILED, "no run 'nothing'"),
        (["tune", "t", "--range", "noise.sigma"], cli.MISUSED, "expected KEY=LOW:HIGH"),
        (["tune", "t", "--range", "noise.sigma=9:10"], cli.MISUSED, "noise.sigma cannot be 9.0"),
        (["tune", "t", "--range", "seed=1:10"], cli.MISUSED, "no setting that can be varied"),
        (["tune", "t", *["--range", "noise.sigma=0.1:0.2"] * 2], cli.MISUSED, "noise.sigma is given two ranges"),
        (["tune", "t"], cli.MISUSED, "1 to 8 settings"),
        (["tune", "t", "--range", "noise.sigma=0.1:0.2", "--objectives", "radius"], cli.MISUSED, "two or three"),
        (["tune", "../t", "--range", "noise.sigma=0.1:0.2"], cli.FAILED, "is not a name for a run"),
        (["tune", "t", "--continue"], cli.FAILED, "no study 't'"),
        (["tune", "t", "--continue", "--range", "noise.sigma=0.1:0.2"], cli.MISUSED, "leave --range and --set out"),
        (["study", "t"], cli.FAILED, "no study 't'"),
        (["fly"], 2, "No such command"),
    ],
)
def test_bad_input_is_answered_in_one_line_with_an_exit_code(call, tmp_path, arguments, code, message):
    got, out, err = call(*arguments, *(["--runs-dir", str(tmp_path)] if arguments[0] != "fly" else []))
    assert got == code
    assert message in re.sub(r"\s+", " ", err)
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"data.name": "cifar10"}, cli.DATA, "CIFAR10 could not be downloaded"),
        ({"data.classes": "0,77"}, cli.DATA, "77"),
        ({"attack.target": "5"}, cli.FAILED, "target"),
        ({"training.model": "mnist-cnn"}, cli.FAILED, "cannot take images of 8×8"),
    ],
)
def test_what_the_worker_finds_impossible_is_said(call, tmp_path, monkeypatch, changes, code, message):
    monkeypatch.setenv("CERTSSB_DATA", str(tmp_path / "empty"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no network: nothing may be waited for
    got, out, err = call("run", "digits", "--name", "bad", "--runs-dir", tmp_path, *settings(**changes))
    assert got == code
    assert message in err
    assert "Traceback" not in out + err
    assert Run.open("bad", tmp_path).status().state == "failed"


@pytest.mark.slow
@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_leaves_a_run_that_resumes(tmp_path):
    """A real terminal's interrupt: exit code 130, a run in state stopped, and resume ends it."""
    command = [sys.executable, "-m", "certssb_core"]
    process = subprocess.Popen(
        [*command, "run", "digits", "--name", "c", "--runs-dir", str(tmp_path), *settings()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run = Run(tmp_path / "c")
    for _ in range(900):
        try:
            process.wait(timeout=0.1)
            pytest.fail(f"ended early: {process.stderr.read()}")
        except subprocess.TimeoutExpired:
            if run.status().stage == "members":
                break
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == cli.STOPPED, err
    assert "resume" in err
    assert run.status().state == "stopped"
    done = subprocess.run(
        [*command, "resume", "c", "--runs-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert run.status().state == "done"


def test_rename_and_delete(call, tmp_path, monkeypatch):
    make_small_run(tmp_path, "one")
    code, out, _ = call("rename", "one", "two", "--runs-dir", tmp_path)
    assert (code, out.strip()) == (0, str(tmp_path / "two"))
    assert call("rename", "two", "../out", "--runs-dir", tmp_path)[0] == cli.FAILED
    with Run.open("two", tmp_path).lock():
        assert call("delete", "two", "--yes", "--runs-dir", tmp_path)[0] == cli.FAILED
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert call("delete", "two", "--runs-dir", tmp_path)[0] == cli.FAILED, "nobody said yes"
    assert (tmp_path / "two").is_dir()
    assert call("delete", "two", "--yes", "--runs-dir", tmp_path)[0] == 0
    assert not (tmp_path / "two").exists()


def test_a_deleted_run_comes_back_from_the_trash_until_it_is_emptied(call, tmp_path):
    make_small_run(tmp_path, "one")
    there = ("--runs-dir", tmp_path)
    assert call("delete", "one", "--yes", *there)[0] == 0
    assert "one" in call("trash", *there)[1]
    assert call("trash", "--put-back", "other", *there)[0] == cli.FAILED
    assert call("trash", "--put-back", "one", *there)[1].strip() == str(tmp_path / "one")
    assert Run.open("one", tmp_path).config
    assert call("trash", *there)[1] == ""
    call("delete", "one", "--yes", *there)
    assert "MB freed" in call("trash", "--empty", "--yes", *there)[1]
    assert list((tmp_path / ".trash").iterdir()) == []
    make_small_run(tmp_path, "two")
    assert "MB freed" in call("delete", "two", "--yes", "--for-ever", *there)[1]
    assert list((tmp_path / ".trash").iterdir()) == []


def test_a_run_is_found_by_its_tags(call, tmp_path):
    make_small_run(tmp_path, "one")
    make_small_run(tmp_path, "two")
    there = ("--runs-dir", tmp_path)
    assert call("tag", "one", "thesis", "chapter 3", *there)[1].strip() == "chapter 3, thesis"
    assert [row["name"] for row in json.loads(call("list", "--json", "--find", "THESIS", *there)[1])] == ["one"]
    heading, line = call("list", "--find", "chapter one", *there)[1].splitlines()
    assert line.startswith("one ")
    assert "chapter 3, thesis" in line
    assert heading.startswith("run ")
    assert call("tag", "one", "thesis", "--remove", *there)[1].strip() == "chapter 3"
    code, _, err = call("tag", "one", "a,b", *there)
    assert code == cli.FAILED
    assert "no comma" in err
    assert call("list", "--find", "nothing of the kind", *there)[1] == ""


def test_a_queued_run_is_listed_and_withdrawn(call, tmp_path):
    busy = make_small_run(tmp_path, "busy")
    with busy.lock():
        code, out, err = call("run", "digits", "--queue", "--name", "later", "--runs-dir", tmp_path, *settings())
        assert (code, out.strip()) == (0, str(tmp_path / "later"))
        assert "later is queued" in err
        states = {row["name"]: row["state"] for row in json.loads(call("list", "--json", "--runs-dir", tmp_path)[1])}
        assert states == {"busy": "running", "later": "queued"}
    assert call("withdraw", "later", "--runs-dir", tmp_path)[0] == 0
    assert Run.open("later", tmp_path).status().state == "new"
    code, _, err = call("withdraw", "later", "--runs-dir", tmp_path)
    assert code == cli.FAILED
    assert "not in the queue" in err


@pytest.mark.slow
def test_forecast_times_the_machine_once(call, tmp_path, monkeypatch):
    code, out, _ = call("forecast", "digits", "--json", "--runs-dir", tmp_path, *settings())
    first = json.loads(out)
    assert code == 0
    assert 0 < first["low"] <= first["seconds"] <= first["high"]
    monkeypatch.setattr("certssb_core.jobs.timing.measure", None)
    assert json.loads(call("forecast", "digits", "--json", "--runs-dir", tmp_path, *settings())[1]) == first
    assert "on disk" in call("forecast", "digits", "--runs-dir", tmp_path, *settings())[1]


@pytest.mark.slow
@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_stops_a_study_and_study_says_how_far_it_came(call, tmp_path):
    """Interrupted in its first trial: exit code 130, run and study stopped, one trial to be taken up again."""
    command = [sys.executable, "-m", "certssb_core", "tune", "t", "--trials", "2", "--range", "noise.sigma=0.1:0.5"]
    process = subprocess.Popen(
        [*command, "--runs-dir", str(tmp_path), *settings()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if line.startswith("t-001"):
            break
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == cli.STOPPED, err
    assert "tune t --continue" in err
    assert Run(tmp_path / "t-001").status().state in ("stopped", "new")
    assert "stopped" in call("study", "--runs-dir", tmp_path)[1]
    code, out, _ = call("study", "t", "--json", "--runs-dir", tmp_path)
    shown = json.loads(out)
    assert code == 0
    assert shown["status"]["state"] == "stopped"
    assert [(trial["run"], trial["state"], trial["accuracy"]) for trial in shown["trials"]] == [
        ("t-001", "running", None)
    ]
    assert "no finished trial yet" in call("study", "t", "--runs-dir", tmp_path)[1]
    runs = [run.name for run in Run.all(tmp_path)]
    assert call("delete-study", "t", "--yes", "--runs-dir", tmp_path)[0] == 0
    assert "no study" in call("study", "t", "--runs-dir", tmp_path)[2]
    assert [run.name for run in Run.all(tmp_path)] == runs, "the runs stay"


@pytest.mark.slow
def test_smoothness_of_a_finished_run_is_printed_and_written_beside_it(call, small_run):
    folder = small_run.path.parent
    code, out, _ = call("smoothness", "small", "--name", "mine", "--runs-dir", folder)
    assert code == 0
    path = folder / "smoothness-mine.json"
    assert out.splitlines()[-1] == str(path)
    (attack,) = json.loads(path.read_text())["attacks"]
    assert attack["run"] == "small"
    code, _, err = call("smoothness", "digits", "small", "--runs-dir", folder)
    assert code == 2
    assert "digits is a preset" in err


def test_a_denoiser_is_trained_where_it_is_asked_for(call, tmp_path):
    code, out, _ = call("denoiser", "train", "--steps", "2", "--output", tmp_path / "one.safetensors")
    assert code == 0
    assert out.strip() == str(tmp_path / "one.safetensors")
    assert denoiser(out.strip()).side == 8
