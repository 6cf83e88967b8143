"""A run whose members each see a few images, from training to re-verification.

Its trigger is a patch, whose norm no setting says, and its radii allow fewer images than are poisoned.
"""

import shutil
from math import comb
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.errors import ConfigError
from certssb_core.pipeline import pipeline
from certssb_core.pipeline.context import context_of
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs import files
from certssb_core.runs.inputs import load_inputs, run_inputs
from certssb_core.runs.run import Run
from certssb_core.verification import verify

CONFIG = override(
    PRESETS["subset-digits-01"],
    {
        "certification.certificate": "subset",
        "noise.law": "gaussian-test",
        "training.members": 200,
        "training.single_epochs": 1,
        "training.device": "cpu",
        "training.subset": 6,
        "noise.sigma": 0.5,
        "attack.trigger": "patch",
        "attack.norm": 1.0,
        "attack.patch_size": 1,
        "attack.patch_value": 0.2,
        "attack.rate": 0.02,
        "certification.attacked": 2,
        "data.max_test": 60,
    },
)


MARGINS = override(CONFIG, {"certification.certificate": "subset-margin", "noise.law": "none"})
"""The same members without test noise: their votes count where their margins are large enough."""


def made(config: RunConfig, folder: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "make_engine", lambda training: InProcessEngine())
        run = Run.create(config, "subset", folder)
        pipeline.Pipeline(run).execute()
    return Run(run.path)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return made(CONFIG, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def margin_run(tmp_path_factory) -> Run:
    return made(MARGINS, tmp_path_factory.mktemp("margin-runs"))


def test_a_member_sees_as_many_images_as_said_each_as_often_as_another():
    inputs = load_inputs(CONFIG)
    context = context_of(settled(CONFIG, inputs), inputs)
    count = len(context.tensors["train"])
    seen = [context.seen(member).numpy() for member in range(2000)]
    assert {len(rows) for rows in seen} == {6}
    assert all(len(set(rows)) == 6 for rows in seen)
    often = np.bincount(np.concatenate(seen), minlength=count)
    expected = 2000 * 6 / count
    chi_square = ((often - expected) ** 2 / (expected * (1 - 6 / count))).sum()
    assert chi_square < count + 6 * np.sqrt(2 * count)  # seeded: six standard deviations


def test_the_planted_attack_is_counted_as_in_the_formula(run):
    planted, table = run.metrics["planted_attack"], pd.read_csv(run.path / "certificates.csv")
    inputs = run_inputs(run)
    change = (inputs.triggered - inputs.dataset.test_images).reshape(len(inputs.triggered), -1).astype(float)
    norm = np.linalg.norm(change, axis=1).max()
    n, images = len(inputs.poisoned.indices), len(inputs.poisoned.labels)
    assert (planted["images"], planted["training_images"]) == (n, images)
    assert n > CONFIG.certification.attacked
    assert 0 < norm < CONFIG.attack.norm
    assert planted["norm"] == pytest.approx(norm)
    unseen, normal = comb(images - n, 6) / comb(images, 6), NormalDist()
    held = []
    for row in table.itertuples():
        own = (row.p_a_lower - (1 - unseen)) / unseen
        attacked = unseen * normal.cdf(normal.inv_cdf(own) - norm / row.sigma) if 0 < own < 1 else 0
        held.append(row.prediction == row.label and attacked > 0.5)
    for test_set in ("clean", "triggered"):
        rows = (table["set"] == test_set).to_numpy()
        assert planted[test_set] == {"n": int(rows.sum()), "certified": int(np.array(held)[rows].sum())}
    assert planted["clean"]["certified"] > 10


def test_with_margins_it_is_counted_vote_by_vote(margin_run):
    planted, votes = margin_run.metrics["planted_attack"], margin_run.arrays("votes")
    images, members = planted["training_images"], 200
    lost = 1 - comb(images - planted["images"], 6) / comb(images, 6)
    for test_set in ("clean", "triggered"):
        answers, steps = votes[f"votes/{test_set}/uniform"], votes[f"votes/{test_set}/margins"]
        backing = ((answers == votes["labels"]) & (steps / 64 >= planted["norm"])).sum(axis=0)
        # Where nearly all votes agree, two classes are bounded by Clopper-Pearson at α.
        surely = beta.ppf(0.001, backing, members - backing + 1) > 0.5 + lost
        at_most = beta.ppf(0.001 + 1e-6, backing, members - backing + 1) > 0.5 + lost
        assert surely.sum() <= planted[test_set]["certified"] <= at_most.sum()
    assert planted["clean"]["certified"] > 40


def test_members_of_unknown_margin_are_refused():
    with pytest.raises(ConfigError, match="whose margins are known"):
        override(MARGINS, {"training.model": "small-cnn"})


@pytest.mark.parametrize("which", ["run", "margin_run"])
def test_every_figure_of_it_is_verified_by_other_code(which, request):
    run = request.getfixturevalue(which)
    outcomes = {found.check: found.outcome for found in verify(run)}
    assert outcomes.pop("measurements") == "not possible"
    store = {"ledger", "centres", "store, balls", "store, other inputs"}  # nothing is stored
    assert {check for check, outcome in outcomes.items() if outcome != "passed"} == store
    measured = next(found.detail for found in verify(run) if found.check == "measurements")
    assert "planted" not in measured


def test_a_forged_margin_is_found(margin_run, tmp_path):
    copy = Run(shutil.copytree(margin_run.path, tmp_path / "forged"))
    votes = dict(copy.arrays("votes"))
    votes["votes/clean/margins"] = np.full_like(votes["votes/clean/margins"], 255)
    files.write_arrays(copy.path / "votes.safetensors", votes)
    outcomes = {found.check: found.outcome for found in verify(copy)}
    assert (outcomes["votes of the members"], outcomes["margins and radii"]) == ("failed", "failed")


@pytest.mark.parametrize("which", ["run", "margin_run"])
def test_a_query_gets_the_certificate_of_the_run(which, request):
    run = request.getfixturevalue(which)
    table = pd.read_csv(run.path / "certificates.csv")
    image = run_inputs(run).dataset.test_images[0]
    reply = LoadedEnsemble(run).ask(image)
    assert reply.radius == pytest.approx(table["radius"][0])
    assert "by anything, labels included" in reply.promise
