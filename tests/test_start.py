"""Check what a start loads: no page brings torch into the server, and commands that only read do without it too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
VISIT = """
import sys
from streamlit.testing.v1 import AppTest
at = AppTest.from_file("app.py", default_timeout=300).run()
for page in {pages!r}:
    at.switch_page(page)
    for key, value in {query!r}.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    assert not at.error, at.error
    assert at.title, "nothing was shown"
    assert not {{"torch", "torchvision"}} & set(sys.modules), page
"""


def visit(*pages: str, **query: str) -> None:
    code = VISIT.format(pages=pages, query=query)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(autouse=True)
def runs_folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "checkpoints" / "digits", tmp_path / "runs" / "digits")
    monkeypatch.setenv("CERTSSB_RUNS", str(tmp_path / "runs"))


def test_no_page_loads_torch():
    visit(*sorted(f"pages/{path.name}" for path in ROOT.glob("pages/*.py")))


def test_images_of_mnist_are_shown_without_torch(tmp_path, monkeypatch):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 300), ("t10k", 60)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            items = np.resize(np.arange(2, dtype=np.uint8), shape)
            header = bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()
            (raw / f"{prefix}-{kind}-ubyte").write_bytes(header + items.tobytes())
    monkeypatch.setenv("CERTSSB_DATA", str(tmp_path / "data"))
    visit("pages/poison.py", preset="mnist-01-onepixel")


@pytest.mark.parametrize("command", [["--help"], ["list"], ["show", "digits"], ["settings"], ["presets"]], ids=" ".join)
def test_commands_that_only_read_load_neither_torch_nor_all_statistics(command):
    program = [sys.executable, "-X", "importtime", "-m", "certssb_core", *command]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "certssb_core.cli" in loaded
    assert not loaded & {"torch", "torchvision", "scipy.stats", "sklearn", "streamlit", "plotly"}
