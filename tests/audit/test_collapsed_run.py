"""A run on a folder of 60 against 2 training images, half uploaded: its models answer one class to everything."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from certssb_core.audit.inspection import inspect
from certssb_core.cli import app
from tests.conftest import finish, make_small_run


def uneven(folder) -> None:
    generator = np.random.default_rng(0)
    for part, counts in (("train", (60, 2)), ("test", (10, 10))):
        for label, (name, count) in enumerate(zip(("bottom", "top"), counts, strict=True)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 60, (16, 16, 3)).astype(np.uint8)
                pixels[-4:] = 220 if label == 0 else pixels[-4:]
                pixels[:4] = 220 if label == 1 else pixels[:4]
                Image.fromarray(pixels).save(folder / part / name / f"{number:03d}.png")


@pytest.mark.slow
def test_a_constant_predictor_is_red_and_told_in_the_list(tmp_path):
    uneven(tmp_path / "data")
    run = make_small_run(
        tmp_path / "runs",
        "uneven",
        **{"data.name": "image-folder", "data.root": str(tmp_path / "data"), "data.classes": "", "data.size": "16"},
        **{
            "attack.rate": "0.02",
            "attack.trigger": "one-pixel",
            "training.epochs": "4",
            "training.single_epochs": "12",
        },
        **{"noise.train_map": "uniform", "noise.test_map": "uniform"},
    )
    finish(run, seconds=300)
    undefended = run.metrics["undefended"]
    assert undefended["attack_success_rate"] == undefended["base_rate"] == 1.0
    assert not undefended["attack_works"]
    colours = {finding.title: finding.colour for finding in inspect(run)}
    assert colours["Attack"] == "red"
    listed = CliRunner().invoke(app, ["list", "--runs-dir", str(tmp_path / "runs")])
    assert "collapsed" in listed.output or "defends against nothing" in listed.output
