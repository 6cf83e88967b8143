"""Every system of the field, made small, by the real pipeline, and the comparison that follows from their files."""

import json

import numpy as np
import pandas as pd
import pytest

from certssb_core import capsule, verification
from certssb_core.audit.inspection import inspect
from certssb_core.audit.joint_budget import translate
from certssb_core.comparisons import defences, suites
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.errors import RunError
from certssb_core.falsification.falsify import falsify
from certssb_core.jobs.worker import work
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.pipeline.resolve_auto import resolve_denoiser
from certssb_core.query.ensemble import ask
from certssb_core.report import report
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.denoising.denoisers import denoiser

SMALL = {"data.max_train": "90", "data.max_test": "24", "training.members": "14", "training.epochs": "6"}
SMALL |= {
    "training.single_epochs": "10",
    "certification.alpha": "0.1",
    "noise.paths": "0",
    "training.shard_members": "7",
}
COUNTING = ("l0", "dpa", "finite-aggregation")
TRAINED = ("cert-ssbd", "rab", "denoise", "pecan", *COUNTING)

pytestmark = pytest.mark.slow  # every system makes a run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("field")


@pytest.fixture(scope="module")
def result(folder):
    with pytest.MonkeyPatch.context() as patch:
        for system in TRAINED:
            patch.setitem(PRESETS, f"digits-01-{system}", override(PRESETS[f"digits-01-{system}"], SMALL))
        small = SMALL | {"training.members": "60", "training.subset": "3"}
        patch.setitem(PRESETS, "subset-digits-01", override(PRESETS["subset-digits-01"], small))
        patch.setattr("certssb_core.pipeline.pipeline.make_engine", lambda *_: InProcessEngine())
        runs = {name: Run.create(config, name, folder) for name, config in suites.plan("digits").items()}
        for run in runs.values():
            assert work(run), run.status().message
        made, again = (defences.conclude("digits", runs) for _ in range(2))
    for one in (made, again):
        one["systems"]["nearest"]["seconds"] = 0.0
    assert json.dumps(made) == json.dumps(again)
    return made


def run_of(folder, system) -> Run:
    return Run(folder / f"field-digits-01-{system}")


def test_every_system_has_its_row_and_its_unit(result, folder):
    assert set(result["systems"]) == set(suites.SYSTEMS) - set(suites.SUITES["digits"].left_out)
    budgets = {system: row["budget"] for system, row in result["systems"].items()}
    assert budgets["rab"] == budgets["cert-ssbd"]
    assert len(set(budgets.values())) == 5
    assert next(iter(defences.table(result)["system"])) == "No defence"


def test_rates_are_those_of_the_runs(result, folder):
    for system in TRAINED:
        metrics, row = run_of(folder, system).metrics, result["systems"][system]
        assert row["accuracy"]["share"] == pytest.approx(metrics["clean"]["accuracy"])
        assert row["attack_success"]["share"] == pytest.approx(metrics["triggered"]["attack_success_rate"])


def test_curves_fall_and_start_at_the_accuracy(result):
    for (series, _), part in defences.frame(result, "curves").query("set == 'clean'").groupby(["series", "budget"]):
        assert (part["share"].diff().dropna() <= 0).all()
        system = next(name for name, known in suites.SYSTEMS.items() if known.title == series)
        assert part["share"].iloc[0] <= result["systems"][system]["accuracy"]["share"]


def test_the_common_budget_counts_a_moved_image_twice_for_dpa_and_leaves_flips_out(result, folder):
    common = defences.frame(result, "common")
    assert "Feature flips" not in set(common["series"])
    assert set(common[common["test_input"] == defences.BOTH]["series"]) == {
        "RAB",
        "Cert-SSBD",
        "Subset",
        "Partitions with margins",
    }
    table = run_of(folder, "dpa").certificates().query("set == 'clean'")
    standing = ((table["prediction"] == table["label"]) & (table["radius"] - 1 >= 2 * 3)).sum()
    rows = common.query("series == 'DPA' and norm == 0.1 and images <= 3")
    assert rows["count"].iloc[-1] == standing


def test_maps_say_of_every_attack_which_inputs_stand(result, folder):
    """By the certificates one by one: what a radius covers alone, DPA's pairs, and the plain sum of RAB's budget."""
    maps = defences.frame(result, "maps").set_index(["attack", "series", "images", "norm"])["count"]
    for system, title in (("rab", "RAB"), ("cert-ssbd", "Cert-SSBD")):
        rows = run_of(folder, system).certificates().query("set == 'clean' and prediction == label")
        assert maps[("replaced", title, 0, 0.2)] == (rows["radius"] > 0.2).sum()
        assert maps[("replaced", title, 1, 0.0)] == 0, "a member that sees every image sees a replaced one"
        worst = np.sort(run_of(folder, system).arrays("sigma")["train"])[:5]
        cost = 0.05**2 * (1 / rows["sigma"] ** 2 + (1 / worst**2).sum())
        assert maps[("moved", title, 5, 0.05)] == (cost < rows["margin"] ** 2).sum()
    rows = run_of(folder, "dpa").certificates().query("set == 'clean' and prediction == label")
    assert maps[("replaced", "DPA", 2, 0.0)] == maps[("moved-alone", "DPA", 2, 1.0)] == (rows["radius"] > 4).sum()
    assert ("replaced", "DPA", 0, 0.1) not in maps.index
    planted = Run(folder / "field-subset-digits-01").metrics["planted_attack"]
    at = (planted["images"], result["attack"]["norm"])
    assert maps[("replaced", "Subset", *at)] <= planted["clean"]["certified"]
    assert maps[("replaced", "Subset", 1, 0.0)] == maps[("moved-alone", "Subset", 1, 1.0)] > 0
    silent = {suites.SYSTEMS[system].title for system in ("l0", *suites.SUITES["digits"].left_out)}
    assert {title for _, title, _, _ in maps.index} == {row.title for row in suites.SYSTEMS.values()} - silent


@pytest.mark.parametrize("system", ["rab", "denoise", "pecan", *COUNTING])
def test_runs_verify_by_other_code(result, folder, system):
    findings = verification.verify(run_of(folder, system))
    assert [finding.detail for finding in findings if finding.outcome == "failed"] == []
    passed = {finding.check for finding in findings if finding.outcome == "passed"}
    assert {"vote counts", "bounds", "margins and radii", "metrics"} <= passed


def test_denoising_certifies_training_images_alone(result, folder):
    """n images moved by τ each: n τ² < (σ margin)², whatever the test input has for noise."""
    run = run_of(folder, "denoise")
    run_votes, table = read_run_votes(run), run.certificates()
    norm, sigma = 0.02, run.config.noise.sigma
    expected = np.ceil(table["margin"] ** 2 * sigma**2 / norm**2 - 1e-6).astype(int) - 1
    expected = np.minimum(expected, len(run_votes.sigma_train))
    assert np.array_equal(certification.joint_budget(run_votes, table, norm=norm), expected)
    assert expected.max() > 0
    (budget,) = translate(run_votes, images=5, norm=norm)
    assert budget.images_max == expected[(table["set"] == "clean") & (table["prediction"] == table["label"])].max()
    assert "test input as given" in budget.promise.joint_budget
    assert "denoiser is part of how members are trained" in budget.promise.condition
    assert not run.store_path.exists()
    common = defences.frame(result, "common")
    assert "Diffusion denoising" in set(common[common["test_input"] == defences.TRAINING]["series"])


@pytest.mark.parametrize("system", ["denoise", "dpa"])
def test_a_run_without_a_store_has_a_report(result, folder, system):
    run = run_of(folder, system)
    page = report([run])
    assert read_run_votes(run).kind.unit in page
    assert ("If the training images move too" in page) == (system == "denoise")
    assert ("If training images are replaced" in page) == (system == "dpa")


def test_the_denoiser_is_named_and_another_one_is_refused(result, folder, tmp_path):
    run = run_of(folder, "denoise")
    assert (run.config.denoiser, run.denoiser["name"]) == ("digits", "digits")
    assert run.denoiser["sha256"] == denoiser("digits").digest
    findings = {finding.title: finding for finding in inspect(run)}
    assert run.denoiser["sha256"][:12] in findings["Denoiser"].reason
    other = Run.create(run.config, "other", tmp_path)
    (other.path / "denoiser.json").write_text('{"name": "digits", "sha256": "0"}')
    with pytest.raises(RunError, match="is not the one that other began with"):
        resolve_denoiser(other, channels=1, side=8)
    louder = Run.create(override(run.config, {"noise.sigma": "300", "noise.sigma_max": "300"}), "louder", tmp_path)
    with pytest.raises(RunError, match="the denoiser knows noise up to σ"):
        resolve_denoiser(louder, channels=1, side=8)


@pytest.mark.parametrize("system", COUNTING)
def test_a_forged_count_is_found(result, folder, system, tmp_path):
    packed = capsule.export(run_of(folder, system), tmp_path / "one.capsule")
    run = capsule.import_capsule(packed, "forged", tmp_path)
    table = run.certificates()
    table.loc[3, "radius"] += 1
    table.to_csv(run.path / "certificates.csv", index=False)
    found = {finding.check: finding for finding in verification.verify(run)}
    assert found["margins and radii"].outcome == "failed"
    assert "clean 3: radius" in found["margins and radii"].detail


@pytest.mark.parametrize("system", COUNTING)
def test_what_is_about_norms_says_that_this_is_not(result, folder, system):
    run, run_votes = run_of(folder, system), read_run_votes(run_of(folder, system))
    assert run_votes.modes == ("uniform",)
    for refuse in (
        lambda: translate(run_votes, images=1, norm=0.1),
        lambda: certification.joint_budget(run_votes, run.certificates(), norm=0.1),
        lambda: falsify(run, minutes=0.1),
    ):
        with pytest.raises(RunError, match=r"inserted or removed|features and labels"):
            refuse()
    assert not run.store_path.exists()
    assert (run.metrics["store"], run.metrics["unit"]) == (None, run_votes.kind.unit)


def test_partitions_are_counted_whatever_bound_and_alpha_say(result, folder):
    run_votes = read_run_votes(run_of(folder, "dpa"))
    one, other = (
        certification.certify_votes(run_votes, mode="uniform", bound=bound, alpha=alpha)
        for bound, alpha in (("hoeffding", 0.5), ("joint", 1e-6))
    )
    assert one.equals(other)
    assert "probability" not in certification.promise(run_votes.config, "uniform").test_radius


def test_flips_see_binary_images(result, folder):
    inputs = load_inputs(run_of(folder, "l0").config)
    for images in (inputs.poisoned.images, inputs.test_images("clean"), inputs.triggered):
        assert set(np.unique(images)) == {0.0, 1.0}
    changed = (inputs.triggered != inputs.dataset.test_images).reshape(len(inputs.triggered), -1).sum(axis=1)
    assert 0 < changed.max() <= 4


@pytest.mark.parametrize("system", COUNTING)
def test_a_run_without_a_store_answers_by_its_members(result, folder, system):
    run = run_of(folder, system)
    table = run.certificates()
    reply = ask(run, load_inputs(run.config).dataset.test_images[5])
    assert (reply.answered_by, reply.prediction, reply.radius) == ("members", *table.loc[5, ["prediction", "radius"]])


def test_a_thinned_staircase_never_says_more_and_is_exact_where_it_must_be():
    generator = np.random.default_rng(4)
    images = np.concatenate([[0], np.sort(generator.choice(np.arange(1, 9000), 2000, replace=False))])
    whole = pd.DataFrame({"images": images, "count": np.arange(len(images))[::-1]})
    for exact in (0, 253, int(images[1000]), 8999, 20_000):
        few = defences.thinned(whole, exact)
        assert len(few) <= defences.CORNERS + 2

        def at(table, n):
            return table[table["images"] <= n]["count"].iloc[-1]

        assert at(few, exact) == at(whole, exact)
        said = np.array([[at(few, n), at(whole, n)] for n in range(0, 9100, 7)])
        assert (said[:, 0] <= said[:, 1]).all()
        assert (said[:, 1] - said[:, 0]).max() < 2000 / defences.CORNERS + 2
    assert defences.thinned(whole[:100], 3).equals(whole[:100])


def test_a_suite_that_is_none_is_refused():
    with pytest.raises(RunError, match="'cifar' is no suite; there are digits, digits-10, mnist, photographs"):
        suites.plan("cifar")
