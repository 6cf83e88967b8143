"""The Python door: every public name is there, and a notebook gets the numbers of a run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import certssb_core
from certssb_core import (
    Dataset,
    RunConfig,
    RunError,
    assess,
    attacked_inputs,
    certify_votes,
    collect_votes,
    find_sigma,
    load_inputs,
    override,
    read_run_votes,
    run_experiment,
    train_ensemble,
)

ROOT = Path(__file__).parents[1]


def test_every_name_of_the_door_is_there_and_known_to_type_checkers():
    tree = ast.parse((ROOT / "certssb_core" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    typed |= {node.targets[0].id for node in block.body if isinstance(node, ast.Assign)}
    assert typed == {*certssb_core.__all__}
    for name in certssb_core.__all__:
        assert getattr(certssb_core, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        certssb_core.nothing  # noqa: B018


def test_opening_a_run_and_certifying_it_anew_does_not_load_torch(small_run):
    code = (
        "import sys; from certssb_core import certify_votes, open_run, read_run_votes; "
        f"certify_votes(read_run_votes(open_run({str(small_run.path)!r})), bound='hoeffding'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_notebook_gets_the_numbers_of_a_run(small_run):
    config = small_run.config
    inputs = load_inputs(config)
    sigma = find_sigma(config, inputs)
    recorded = small_run.arrays("sigma")
    assert all((sigma[which] == recorded[which]).all() for which in ("train", "clean", "triggered"))

    votes = collect_votes(train_ensemble(config, inputs, sigma))
    expected = read_run_votes(small_run)
    for which, own in votes.sets.items():
        assert own.votes.keys() == expected.sets[which].votes.keys() == {"sample-specific", "uniform"}
        for noise_map, cast in own.votes.items():
            assert (cast == expected.sets[which].votes[noise_map]).all()
            np.testing.assert_allclose(own.softmax[noise_map], expected.sets[which].softmax[noise_map], atol=1e-12)

    table = certify_votes(votes)
    recorded = small_run.certificates()
    pd.testing.assert_frame_equal(table, recorded[table.columns], rtol=1e-12)
    figures = assess(votes, table)
    assert figures["clean"]["accuracy"] == small_run.metrics["clean"]["accuracy"]


def test_data_of_ones_own_goes_the_same_way():
    draws = np.random.default_rng(3)
    labels = np.arange(60) % 2
    images = (0.5 * labels[:, None, None, None] + 0.4 * draws.random((60, 1, 8, 8))).astype(np.float32)
    dataset = Dataset("mine", ("dark", "bright"), images, labels, images[:20], labels[:20])
    settings = {"training.members": 7, "training.epochs": 4, "training.batch_size": 16, "certification.alpha": 0.1}
    uniform = {"noise.train_map": "uniform", "noise.test_map": "uniform", "noise.sigma": 0.1, "attack.rate": 0.1}
    config = override(RunConfig(), settings | uniform | {"training.device": "cpu"})
    inputs = attacked_inputs(config, dataset)
    assert len(inputs.poisoned.indices) == 6
    sigma = find_sigma(config, inputs)
    assert {which: (*set(levels),) for which, levels in sigma.items()} == dict.fromkeys(sigma, (0.1,))
    votes = collect_votes(train_ensemble(config, inputs, sigma))
    assert (votes.members, len(certify_votes(votes))) == (7, 40)


@pytest.mark.slow
def test_an_experiment_that_fails_says_why(tmp_path):
    config = override(RunConfig(), {"data.name": "image-folder", "data.root": str(tmp_path), "data.size": 8})
    with pytest.raises(RunError, match=r"failed: .*train"):
        run_experiment(config, "mine", tmp_path / "runs")


def test_the_example_of_the_readme_runs():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    done = subprocess.run([sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
