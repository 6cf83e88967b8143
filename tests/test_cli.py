"""The command line: what it prints, what it returns, and how it answers bad input."""

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
from certssb_core.experiment.inputs import load_inputs
from certssb_core.experiment.presets import PRESETS
from certssb_core.experiment.run import Run
from tests.conftest import SMALL

ROOT = Path(__file__).parents[1]


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
    code, out, _ = call("run", "digits", "--name", "mine", "--runs-dir", tmp_path, *settings())
    assert code == 0
    assert out.splitlines()[-1] == str(tmp_path / "mine")
    assert Run.open("mine", tmp_path).metrics["clean"] == small_run.metrics["clean"]


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
    assert "noise levels as fixed" in own["promise"]["condition"]
    uniform = json.loads(call("certify", small_run.path, "--mode", "uniform", "--alpha", "0.3", "--json")[1])
    assert (uniform["mode"], uniform["alpha"], uniform["members"]) == ("uniform", 0.3, 12)
    assert uniform["clean"]["abstained"] <= own["clean"]["abstained"]
    hoeffding = json.loads(call("certify", small_run.path, "--bound", "hoeffding", "--json")[1])
    assert hoeffding["clean"]["average_certified_radius"] <= own["clean"]["average_certified_radius"]
    assert "Promise:" in call("certify", small_run.path)[1]


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
        (["run", "digits", "--name", "../out"], cli.FAILED, "is not a name for a run"),
        (["show", "nothing"], cli.FAILED, "no run 'nothing'"),
        (["resume", "nothing"], cli.FAILED, "no run 'nothing'"),
        (["certify", "nothing"], cli.FAILED, "no run 'nothing'"),
        (["fly"], 2, "No such command"),
    ],
)
def test_bad_input_is_answered_in_one_line_with_an_exit_code(call, tmp_path, arguments, code, message):
    got, out, err = call(*arguments, *(["--runs-dir", str(tmp_path)] if arguments[0] != "fly" else []))
    assert got == code
    assert message in re.sub(r"\s+", " ", err)
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


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
    _, err = process.communicate(timeout=60)
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
