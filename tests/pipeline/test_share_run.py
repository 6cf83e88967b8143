"""A run whose members see a share of the images, poisoned with labels kept: its budgets count the draw."""

import numpy as np
import pytest
from typer.testing import CliRunner

from certssb_core.audit.joint_budget import translate
from certssb_core.cli import app
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.pipeline import pipeline
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.run import Run
from certssb_core.verification import verify

CONFIG = override(
    PRESETS["digits-01-rab"],
    {
        "training.model": "nearest-mean",
        "training.undefended_model": "linear",
        "training.members": 60,
        "training.storage": "float32",
        "training.share": 0.3,
        "training.single_epochs": 10,
        "training.device": "cpu",
        "attack.label_mode": "clean-label",
        "attack.norm": 0.1,
        "attack.rate": 0.02,
        "certification.alpha": 0.05,
        "data.max_test": 40,
    },
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "make_engine", lambda training: InProcessEngine())
        run = Run.create(CONFIG, "share", tmp_path_factory.mktemp("runs"))
        pipeline.Pipeline(run).execute()
    return Run(run.path)


def test_both_budgets_are_recorded_and_the_draw_helps(run):
    budget = run.metrics["joint_budget"]
    assert budget["share"]["seen"] == round(0.3 * len(run.arrays("sigma")["train"]))
    assert budget["share"]["images_max"] > 2 * budget["images_max"] > 0


def test_both_are_verified_by_other_code_and_a_forged_one_is_found(run):
    found = {finding.check: finding for finding in verify(run)}
    assert [finding.detail for finding in found.values() if finding.outcome == "failed"] == []
    metrics = run.metrics
    for place, name in (
        (metrics["joint_budget"]["share"], "images_max"),
        (metrics["planted_attack"]["clean"], "certified"),
    ):
        place[name] += 1
        files.write_json(run.path / "metrics.json", metrics)
        assert name in {finding.check: finding for finding in verify(Run(run.path))}["metrics"].detail
        place[name] -= 1
    files.write_json(run.path / "metrics.json", metrics)


def test_a_run_of_an_earlier_version_holds_the_plain_number_alone_and_verifies(run):
    metrics = run.metrics
    older = metrics | {"joint_budget": {**metrics["joint_budget"]}, "planted_attack": None}
    del older["joint_budget"]["share"]
    files.write_json(run.path / "metrics.json", older)
    assert {finding.check: finding for finding in verify(Run(run.path))}["metrics"].outcome == "passed"
    files.write_json(run.path / "metrics.json", metrics)


def test_the_planted_attack_is_one_budget_where_labels_were_kept(run):
    planted, run_votes = run.metrics["planted_attack"], read_run_votes(run)
    poison = run.arrays("poison")
    assert (planted["images"], planted["moved"]) == (len(poison["indices"]), poison["norms"].max())
    table = run.certificates()
    most = certification.joint_budget(run_votes, table, norm=max(planted["moved"], planted["norm"]))
    right = (table["set"] == "clean") & (table["prediction"] == table["label"])
    assert 0 < (right & (most >= planted["images"])).sum() <= planted["clean"]["certified"]


def test_the_translator_says_both_and_replaced_images_cost_more_than_moved_ones(run):
    run_votes = read_run_votes(run)
    drawn, plain = translate(run_votes, images=5, norm=0.1)
    assert drawn.seen < drawn.training_images
    assert plain.seen == plain.training_images
    assert drawn.certified >= plain.certified > 0
    assert drawn.norm_median > plain.norm_median > 0
    assert drawn.images_max > plain.images_max
    (mixed,) = translate(run_votes, images=5, norm=0.1, replaced=1)
    assert 0 < mixed.certified <= drawn.certified
    assert mixed.images_max < drawn.images_max
    assert "1 further training images may be replaced by anything" in mixed.promise.joint_budget
    table = run.certificates()
    table = table[(table["set"] == "clean") & (table["prediction"] == table["label"])]
    assert int(np.median(certification.joint_budget(run_votes, table, norm=0.1))) == drawn.images_median


def test_the_command_line_labels_both(run):
    result = CliRunner().invoke(app, ["budget", str(run.path), "--images", "5", "--norm", "0.1"])
    assert result.exit_code == 0, result.output
    assert "and the draw is counted" in result.output
    assert "As if every member saw all" in result.output
    assert "by its seed, never by their content" in result.output
    result = CliRunner().invoke(app, ["budget", str(run.path), "--images", "5", "--norm", "0.1", "--replaced", "1"])
    assert "1 further images replaced by anything, labels included" in result.output
    result = CliRunner().invoke(app, ["budget", str(run.path), "--replaced", "-1"])
    assert result.exit_code != 0
