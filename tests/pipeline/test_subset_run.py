"""A run whose members each see a few images, from training to re-verification.

Its trigger is a patch, whose norm no setting says, and its radii allow fewer images than are poisoned.
"""

from math import comb
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.pipeline import pipeline
from certssb_core.pipeline.context import context_of
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.pipeline.resolve_auto import settled
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs.inputs import load_inputs, run_inputs
from certssb_core.runs.run import Run
from certssb_core.verification import verify

CONFIG = override(
    PRESETS["subset-digits-01"],
    {
        "training.members": 400,
        "training.device": "cpu",
        "training.subset": 6,
        "noise.sigma": 0.5,
        "attack.trigger": "patch",
        "attack.patch_size": 1,
        "attack.patch_value": 0.2,
        "attack.rate": 0.02,
        "certification.attacked": 2,
        "data.max_test": 60,
    },
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "make_engine", lambda training: InProcessEngine())
        run = Run.create(CONFIG, "subset", tmp_path_factory.mktemp("runs"))
        pipeline.Pipeline(run).execute()
    return Run(run.path)


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


def test_every_figure_of_it_is_verified_by_other_code(run):
    outcomes = {found.check: found.outcome for found in verify(run)}
    assert outcomes.pop("measurements") == "not possible"
    store = {"ledger", "centres", "store, balls", "store, other inputs"}  # nothing is stored
    assert {check for check, outcome in outcomes.items() if outcome != "passed"} == store
    measured = next(found.detail for found in verify(run) if found.check == "measurements")
    assert "planted" not in measured


def test_a_query_gets_the_certificate_of_the_run(run):
    table = pd.read_csv(run.path / "certificates.csv")
    image = run_inputs(run).dataset.test_images[0]
    reply = LoadedEnsemble(run).ask(image)
    assert reply.radius == pytest.approx(table["radius"][0])
    assert "by anything, labels included" in reply.promise
