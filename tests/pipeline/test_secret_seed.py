"""Secret noise: drawn by the system, committed to in the manifest, published on demand; public noise stays."""

from __future__ import annotations

import json
import shutil
import stat

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from certssb_core import capsule
from certssb_core.audit import inspection
from certssb_core.audit.inspected import Finding
from certssb_core.cli import app
from certssb_core.config.presets import PRESETS
from certssb_core.errors import RunError
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs import files
from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run
from certssb_core.verification import verify
from tests.conftest import finish, make_small_run


def seeds(run: Run) -> Finding:
    return next(one for one in inspection.inspect(run) if one.title == "Seeds")


@pytest.fixture(scope="module")
def secret_run(tmp_path_factory) -> Run:
    few = {"data.max_train": "120", "training.members": "6", "certification.alpha": "0.4"}
    drawn = {"noise_seed": "secret", "certification.bound": "randomised"}
    return finish(make_small_run(tmp_path_factory.mktemp("secret"), "secret", **few, **drawn))


@pytest.mark.slow
def test_the_seed_is_long_private_and_kept_out_of_a_capsule(secret_run, tmp_path):
    path = secret_run.path / files.SECRET
    assert int(json.loads(path.read_text())["seed"]) > 2**96  # all but surely, of 128 bits
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret_run.manifest["sha256"][files.SECRET] == files.sha256(path)
    guest = capsule.import_capsule(capsule.export(secret_run, tmp_path / "secret.capsule"), "guest", tmp_path)
    with pytest.raises(RunError, match="secret, and was not published"):
        _ = guest.noise_seed
    assert {one.outcome for one in verify(guest)} <= {"passed", "not possible"}
    assert seeds(secret_run).colour == "green"


@pytest.mark.slow
def test_its_members_vote_the_same_again(secret_run):
    """A clean test image is one of those that the run voted on: its votes follow from the secret seed."""
    recorded = secret_run.certificates().iloc[0]
    loaded = LoadedEnsemble(secret_run)
    image = run_inputs(secret_run).dataset.test_images[0]
    reply = loaded.ask(image)
    assert reply.votes == tuple(int(recorded[f"votes_{label}"]) for label in range(3))
    assert reply.p_a_lower == pytest.approx(recorded["p_a_lower"], rel=1e-12)  # by the stored draw
    assert loaded._draw(image) == [secret_run.arrays("votes")["draws/clean"][0]]


@pytest.mark.slow
def test_every_query_has_its_own_draw(secret_run):
    """By Kolmogorov–Smirnov at 10⁻⁶ the draws of 300 images are uniform; equal images draw equally."""
    loaded = LoadedEnsemble(secret_run)
    image = np.array(run_inputs(secret_run).dataset.test_images[0])
    draws = []
    for step in range(300):
        image[0, 0, 0] = step / 1000 + 0.0005
        draws.append(float(loaded._draw(image)[0]))
    assert loaded._draw(image) == [draws[-1]]
    assert len(set(draws)) == 300
    assert stats.kstest(draws, "uniform").pvalue > 1e-6


@pytest.mark.slow
def test_a_published_seed_verifies_and_a_wrong_one_does_not(secret_run, tmp_path):
    run = Run(shutil.copytree(secret_run.path, tmp_path / "published"))
    said = CliRunner().invoke(app, ["publish-seed", str(run.path)])
    assert said.exit_code == 0
    assert int(said.output) == secret_run.noise_seed
    assert {one.check: one.outcome for one in verify(run)}["published seed"] == "passed"
    assert "published since" in seeds(run).reason
    guest = capsule.import_capsule(capsule.export(run, tmp_path / "published.capsule"), "guest", tmp_path)
    assert guest.noise_seed == secret_run.noise_seed
    assert {one.check: one.outcome for one in verify(guest)}["published seed"] == "passed"
    files.write_json(run.path / files.PUBLISHED_SEED, {"seed": "7"})
    assert {one.check: one.outcome for one in verify(run)}["published seed"] == "failed"


def test_a_public_seed_is_said_to_be_public(small_run):
    assert small_run.noise_seed == small_run.config.seed
    assert not (small_run.path / files.SECRET).exists()
    assert seeds(small_run).colour == "amber"
    assert "chosen without it" in seeds(small_run).reason
    said = CliRunner().invoke(app, ["publish-seed", str(small_run.path)])
    assert "public" in said.output


def test_presets_have_public_noise_and_the_command_line_draws_it_secretly(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("certssb_core.cli.runs._go", lambda run, queue: made.append(run.config))
    for settings in ([], ["--set", "seed=4"], ["--set", "noise_seed=public"]):
        found = CliRunner().invoke(
            app, ["run", "digits-quick", "--runs-dir", str(tmp_path / str(len(made))), *settings]
        )
        assert found.exit_code == 0, found.output
    assert [one.noise_seed for one in made] == ["secret", "public", "public"]
    assert {preset.noise_seed for preset in PRESETS.values()} == {"public"}
