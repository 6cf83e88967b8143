"""The modes of one run side by side, and what each error of the release is worth."""

import json

import numpy as np
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from certssb_core.audit.release_corrections import attribution
from certssb_core.cli import app
from certssb_core.errors import RunError
from certssb_core.results import certification
from certssb_core.results.votes import RunVotes, read_run_votes


@pytest.fixture(scope="module")
def run_votes(small_run):
    return read_run_votes(small_run)


def release(run_votes, alpha=0.01):
    return certification.certify_votes(run_votes, mode="release", bound="clopper-pearson", alpha=alpha)


def test_release_takes_votes_at_one_sigma_and_radii_at_another_and_counts_a_thousand(run_votes):
    table, factor = release(run_votes), np.sqrt(np.log(1 / 0.01) / 2000)
    for which in ("clean", "triggered"):
        rows = table[table["set"] == which]
        mean = np.sort(run_votes.sets[which].softmax["uniform"], axis=1)
        with np.errstate(divide="ignore"):
            gap = norm.ppf(np.maximum(mean[:, -1] - factor, 0)) - norm.ppf(np.minimum(mean[:, -2] + factor, 1))
        radius = run_votes.sets[which].sigma["sample-specific"] * gap / 2
        assert rows["radius"].to_numpy() == pytest.approx(np.maximum(radius, 0), abs=1e-9)
        assert np.array_equal(rows["sigma"], run_votes.sets[which].sigma["sample-specific"])
        votes = run_votes.sets[which].votes["uniform"]
        assert np.array_equal(rows["votes_1"], (votes == 1).sum(axis=0))
    assert (table["members"] == 12).all()


def test_all_three_modes_are_offered_and_no_other(run_votes):
    assert sorted(run_votes.modes) == ["release", "sample-specific", "uniform"]
    assert set(run_votes.modes) <= set(certification.MODES)
    with pytest.raises(RunError, match="no votes in mode 'published'"):
        certification.certify_votes(run_votes, mode="published", bound="hoeffding", alpha=0.01)


def test_release_promises_nothing_and_is_labelled(small_run):
    promise = certification.promise(small_run.config, "release")
    assert all("NOT A CERTIFICATE" in words for words in (promise.test_radius, promise.joint_budget))
    assert "None under which it holds" in promise.condition
    assert certification.label("release") == "original paper's code (not a certificate)"
    assert certification.label("uniform") == "uniform"


def test_attribution_goes_from_the_release_to_the_run_s_own_certificates(run_votes, small_run):
    table = attribution(run_votes, bound="clopper-pearson", alpha=small_run.config.certification.alpha)
    clean = release(run_votes, small_run.config.certification.alpha)[lambda rows: rows["set"] == "clean"]
    stated = np.where(clean["prediction"] == clean["label"], clean["radius"], 0).mean()
    assert table["mean_radius"].iloc[0] == pytest.approx(stated)
    metrics = small_run.metrics["clean"]
    assert table["mean_radius"].iloc[-1] == pytest.approx(metrics["average_certified_radius"])
    assert table["accuracy"].iloc[-1] == pytest.approx(metrics["certified_accuracy"]["0.25"])
    assert table["change"].sum() == pytest.approx(table["mean_radius"].iloc[-1] - table["mean_radius"].iloc[0])
    assert table["count"].tolist() == [1000, 1000, 12, 12, 12]
    assert table["votes_at"].tolist() == ["uniform"] + 4 * ["sample-specific"]
    # Counting fewer votes, and paying for the choice of the class, can only cost.
    assert table["change"].iloc[2] < 0
    assert table["change"].iloc[3] <= 0


def test_a_uniform_run_s_release_mode_keeps_its_sigma(run_votes):
    noise = run_votes.config.noise.model_copy(update={"test_map": "uniform"})
    config = run_votes.config.model_copy(update={"noise": noise})
    uniform = RunVotes(**(run_votes.__dict__ | {"config": config}))
    assert set(release(uniform)["sigma"]) == {noise.sigma}


def test_the_command_line_labels_it(small_run):
    result = CliRunner().invoke(app, ["certify", str(small_run.path), "--mode", "release"])
    assert result.exit_code == 0
    assert result.output.startswith("mode original paper's code (not a certificate)")
    assert "Promise: NOT A CERTIFICATE" in result.output
    assert "other count" in result.output
    read = json.loads(CliRunner().invoke(app, ["certify", str(small_run.path), "--mode", "release", "--json"]).output)
    assert read["mode"] == "original paper's code (not a certificate)"
    assert (read["count"], read["members"]) == (1000, 12)
    assert len(read["attribution"]) == 5
