"""The command for a GPU machine, run without one: its refusals, its clock, and all its parts, small, on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_checks, gpu_clock, gpu_runs
from certssb_core.runs.inputs import load_inputs

ROOT = Path(__file__).parents[2]
UNNEEDED = ("streamlit", "plotly", "typer", "rich", "jinja2", "torchvision", "optuna", "ray", "diffusers")
WITHOUT_DASHBOARD = f"""
import runpy, sys
for name in {UNNEEDED!r}:
    sys.modules[name] = None
sys.argv = ["benchmarks.gpu", *sys.argv[1:]]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


def refusal(monkeypatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    return str(stopped.value)


def test_missing_wheels_are_named_as_pip_knows_them(monkeypatch):
    there = gpu.importlib.util.find_spec
    monkeypatch.setattr(
        gpu.importlib.util, "find_spec", lambda name: None if name in ("sklearn", "pandas") else there(name)
    )
    assert refusal(monkeypatch).endswith("python -m pip install pandas scikit-learn")


def test_without_a_gpu_it_offers_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device cpu --seconds 30" in refusal(monkeypatch)


def test_a_part_has_its_share_and_no_more_than_is_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(gpu_clock.time, "perf_counter", lambda: now[0])
    clock = gpu_clock.Clock(100)
    clock.begin(0.3)
    assert clock.left == 30
    now[0] = 29.5
    assert clock.over
    now[0] = 90
    clock.begin(0.3)
    assert clock.left == 10


def test_a_part_that_fails_is_reported_and_the_others_go_on(monkeypatch, tmp_path):
    def breaks(device, clock):
        yield {"first": 1}
        raise RuntimeError("no such kernel")

    def works(device, clock):
        yield {"passed": True}

    monkeypatch.setattr(gpu, "parts", lambda: {"one": (0.5, breaks), "two": (0.5, works)})
    assert not gpu.run_all("cpu", 100, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["one", "one", "two", "end"]
    assert lines[1]["failed"] == "RuntimeError: no such kernel"
    assert not lines[-1]["passed"]


def test_made_up_images_are_read_as_mnist(monkeypatch, tmp_path):
    monkeypatch.setenv("CERTSSB_DATA", str(tmp_path / "nothing"))
    with gpu_runs.mnist() as there:
        assert not there
        inputs = load_inputs(gpu_runs.small("cpu", 2))
    assert inputs.dataset.train_images.shape == (400, 1, 28, 28)
    assert gpu_runs.os.environ["CERTSSB_DATA"] == str(tmp_path / "nothing")


def test_small_stacks_are_made_when_the_memory_ends():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = gpu_checks.halves_when_memory_ends("cpu")
    finally:
        torch.set_num_threads(threads)
    assert found["passed"]
    assert found["stack_sizes"][:2] == [4, 2]


@pytest.mark.slow
def test_all_parts_pass_on_a_cpu_without_the_dashboards_wheels(tmp_path):
    out = tmp_path / "gpu.jsonl"
    program = [sys.executable, "-c", WITHOUT_DASHBOARD, "--device", "cpu", "--seconds", "30", "--out", str(out)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {line["part"] for line in lines} == {*gpu.parts(), "end"}
    assert not [line for line in lines if "failed" in line or not line.get("passed", True)]
    assert any("member_epochs_per_second" in line or line.get("left_out") == gpu_clock.NO_TIME for line in lines)
