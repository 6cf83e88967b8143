"""The run that ships: small, whole, and its figures follow from its own votes."""

from pathlib import Path

import pytest

from certssb_core.comparisons import backdoor_smoothing, clean_label, defences
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import AttackConfig, CertificationConfig
from certssb_core.ensemble import shards
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.run import Run

RUN = Run(Path(__file__).parents[1] / "checkpoints" / "digits")
SHIPPED = RUN.path.parent


def test_is_the_digits_preset_and_a_few_megabytes():
    resolved = {"training": PRESETS["digits"].training.model_dump(exclude={"model", "device", "precision"})}
    usual = PRESETS["digits"].model_copy(update={"certification": CertificationConfig(bound="clopper-pearson")})
    assert RUN.config.model_dump(exclude={"training"}) == usual.model_dump(exclude={"training"})  # it names its bound
    assert RUN.config.training.model_dump(include=set(resolved["training"])) == resolved["training"]
    assert sum(path.stat().st_size for path in RUN.path.rglob("*") if path.is_file()) < 9e6
    assert RUN.status().state == "done"


def test_no_byte_has_changed():
    for name, digest in RUN.manifest["sha256"].items():
        assert files.sha256(RUN.path / name) == digest, name


def test_figures_follow_from_the_votes():
    settings = RUN.config.certification
    run_votes = read_run_votes(RUN)
    table = certification.certify_votes(
        run_votes, mode=RUN.config.noise.test_map, bound=settings.bound, alpha=settings.alpha
    )
    stored = RUN.certificates()
    assert stored["set"].tolist() == table["set"].tolist()
    numbers = table.columns.drop("set")
    assert stored[numbers].to_numpy() == pytest.approx(table[numbers].to_numpy(), rel=1e-9)
    recomputed = certification.assess(run_votes, table, radii=settings.radii)
    for part in ("clean", "triggered"):
        flat = {key: value for key, value in recomputed[part].items() if not isinstance(value, dict)}
        assert flat == pytest.approx({key: RUN.metrics[part][key] for key in flat})
    for part, curve in (("clean", "certified_accuracy"), ("triggered", "certified_robust_accuracy")):
        assert recomputed[part][curve] == pytest.approx(RUN.metrics[part][curve])


def test_keeps_the_promise_of_the_preset():
    metrics = RUN.metrics
    assert metrics["undefended"]["attack_success_rate"] >= 0.80
    assert metrics["triggered"]["attack_success_rate"] <= 0.10
    assert metrics["clean"]["accuracy"] >= 0.90


def test_all_members_are_there_to_vote_again():
    assert shards.finished(RUN.path / "members") == set(range(RUN.config.training.members))


def test_what_the_lecture_hall_needs_is_shipped():
    assert "digits" in defences.results(SHIPPED)
    assert "digits" in backdoor_smoothing.results(SHIPPED)
    assert "digits" in clean_label.results(SHIPPED)


@pytest.mark.parametrize("name", defences.results(SHIPPED))
def test_the_shipped_comparison_is_of_the_presets_and_says_what_its_runs_said(name):
    result, suite = defences.results(SHIPPED)[name], defences.SUITES[name]
    assert AttackConfig.model_validate(result["attack"]) == suite.attack
    trained = set(defences.SYSTEMS) - {"nearest"}
    assert set(suite.presets) == trained
    assert set(result["systems"]) - {"nearest"} == trained
    assert result["undefended"]["attack_works"]
    for system in trained:
        assert result["systems"][system]["models"] == suite.config(system).training.members
    assert len(defences.table(result)) == 1 + len(result["systems"])


def test_the_shipped_smoothness_says_what_is_said_of_it():
    measured = backdoor_smoothing.results(SHIPPED)["digits"]
    table = backdoor_smoothing.table(measured, measure="entropy", scale=0.4)
    none, strongest = table.iloc[0], table.iloc[-1]
    assert none["rate"] == 0
    assert none["auc_clean_low"] < 0.5 < none["auc_clean_high"]
    assert strongest["attack_success"] > 0.9 < strongest["auc_clean_low"]


@pytest.mark.parametrize("name", clean_label.results(SHIPPED))
def test_denoising_stops_every_shipped_attack_that_works(name):
    """To at most 16 % (the range of 2403.11981), at no more than 2 points of accuracy."""
    result = clean_label.results(SHIPPED)[name]
    assert [one["method"] for one in result["attacks"]] == list(clean_label.CRAFTED)
    attacked = clean_label.table(result).set_index(["defence", "attack"])
    bare, defended = attacked.loc["none"], attacked.loc["diffusion denoising"]
    working = bare.index[bare["success"] >= 0.5]
    assert len(working) >= 5
    assert (defended.loc[working, "success"] <= 0.16).all()
    assert (bare.loc[working, "accuracy"] - defended.loc[working, "accuracy"] <= 0.02).all()
