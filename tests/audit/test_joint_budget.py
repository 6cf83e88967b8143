"""The budget translator, against sums written out and against itself run backwards."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from certssb_core.audit.joint_budget import PUBLISHED_IMAGES, both_ways, run_norm, translate
from certssb_core.certify.share_budget import Share
from certssb_core.cli import app
from certssb_core.errors import RunError
from certssb_core.results import certification
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.run import Run


def lenient(run: Run, alpha: float) -> RunVotes:
    """The run's votes with a config of another α: of 12 members, few inputs are certified at α 0.01."""
    run_votes = read_run_votes(run)
    settings = run_votes.config.certification.model_copy(update={"alpha": alpha})
    return dataclasses.replace(run_votes, config=run_votes.config.model_copy(update={"certification": settings}))


def certificates(margin: list[float], sigma: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"set": "clean", "index": range(len(margin)), "margin": margin, "sigma": sigma})


def everyone_sees(sigma: np.ndarray) -> Share:
    return Share(len(sigma), sigma)


def test_the_published_setting_by_hand():
    """Uniform σ 1: the budget of 253 images and the test input at norm 1 is 254 < margin², margin > 15.94."""
    assert int(0.02 * 12_665) == PUBLISHED_IMAGES
    found = both_ways(certificates([15.93, 15.94]), everyone_sees(np.ones(12_665)), images=PUBLISHED_IMAGES, norm=1.0)
    assert found["images"].tolist() == [252, 253]
    best = 2.4633  # a thousand unanimous votes at one-sided α 0.001
    norm = both_ways(certificates([best]), everyone_sees(np.ones(12_665)), images=253, norm=1.0)["norm"][0]
    assert norm == pytest.approx(best / np.sqrt(254))


def test_per_sample_noise_pays_for_its_smallest_levels():
    """Margin 3, σ_x 1: one image of σ 0.5 costs 4, the next, of σ 1, costs 1; 1 + 4 + 1 + 1 + 1 = 8 < 9."""
    sigma = np.array([1.0, 1.0, 1.0, 1.0, 0.5])
    found = both_ways(certificates([3.0]), everyone_sees(sigma), images=2, norm=1.0)
    assert found["images"].tolist() == [4 - 1 + 1]
    assert found["norm"][0] == pytest.approx(3 / np.sqrt(1 + 4 + 1))


def test_both_directions_agree_on_a_run(small_run):
    """n images at norm τ are certified exactly where n images allow a norm above τ."""
    run_votes = read_run_votes(small_run)
    table = certification.certify_votes(run_votes, mode="sample-specific", bound="clopper-pearson", alpha=0.4)
    rows = table[table["prediction"] >= 0]
    for images, norm in ((0, 0.1), (1, 0.05), (5, 0.03), (253, 0.01)):
        found = both_ways(rows, run_votes.share, images=images, norm=norm)
        assert ((found["images"] >= images) == (found["norm"] > norm)).all()
        worst = np.sort(run_votes.sigma_train)[:images]
        cost = norm**2 * (1 / rows["sigma"] ** 2 + (1 / worst**2).sum())
        assert ((found["images"] >= images) == (cost < rows["margin"] ** 2)).all()


def test_every_mode_of_a_run_is_translated_and_says_its_condition(small_run):
    found = translate(lenient(small_run, 0.4), images=1, norm=0.02)
    assert [one.mode for one in found] == ["sample-specific", "uniform"]
    for one in found:
        assert 0 < one.certified <= one.right <= one.inputs == 108
        assert -1 <= one.images_median <= one.images_max
        assert 0 < one.norm_median <= one.norm_max
        assert "attacker" in one.promise.condition


def test_the_budget_is_the_one_in_the_metrics(small_run):
    run_votes = read_run_votes(small_run)
    metrics = small_run.metrics["joint_budget"]
    [same] = [one for one in translate(run_votes, images=0, norm=run_norm(small_run)) if one.mode == "sample-specific"]
    assert (same.norm, same.images_median, same.images_max) == (
        metrics["norm"],
        metrics["images_median"],
        metrics["images_max"],
    )
    assert same.certified / same.inputs == pytest.approx(metrics["certified_without_training_change"])


def test_no_certified_input_leaves_nothing_to_translate(small_run):
    for one in translate(lenient(small_run, 1e-12), images=3, norm=0.1):
        assert (one.right, one.certified, one.images_max, one.norm_max) == (0, 0, -1, 0.0)


@pytest.mark.parametrize(
    ("images", "norm", "message"),
    [(-1, 1.0, "not -1"), (10_000, 1.0, "not 10000"), (1, -0.5, "not -0.5"), (1, float("nan"), "not nan")],
)
def test_numbers_out_of_range_are_named(small_run, images, norm, message):
    with pytest.raises(RunError, match=message):
        translate(read_run_votes(small_run), images=images, norm=norm)


def test_the_command_line_starts_with_the_published_example(small_run):
    result = CliRunner().invoke(app, ["budget", str(small_run.path)])
    assert result.exit_code == 0, result.output
    assert "253 images at norm" in result.output
    assert "Condition:" in result.output
    result = CliRunner().invoke(app, ["budget", str(small_run.path), "--images", "1", "--norm", "0.05", "--json"])
    found = json.loads(result.stdout)
    assert [(one["mode"], one["images"], one["norm"]) for one in found] == [
        ("sample-specific", 1, 0.05),
        ("uniform", 1, 0.05),
    ]
