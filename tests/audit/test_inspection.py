"""The inspector sees what is wrong with a run; nothing is wrong with a run of ours."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from certssb_core.audit.inspection import counts, inspect
from certssb_core.certify import published_release
from certssb_core.cli import app
from certssb_core.errors import RunError
from certssb_core.runs import files
from certssb_core.runs.run import Run


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run, to be tampered with."""
    shutil.copytree(small_run.path, tmp_path / "copy")
    return Run(tmp_path / "copy")


def finding(run, title, **how):
    (found,) = [one for one in inspect(run, **how) if one.title.startswith(title)]
    return found


def colours(run, **how):
    return {one.title: one.colour for one in inspect(run, **how)}


def rewrite_json(path, **changes):
    files.write_json(path, json.loads(path.read_text()) | changes)


def test_a_run_of_ours_is_sound_under_its_condition(small_run):
    found = inspect(small_run)
    assert counts(found)["red"] == 0
    assert {one.title for one in found if one.colour == "amber"} - {"Store"} == {
        "Noise map",
        "σ* within its range",
        "Seeds",
    }
    assert "outside the theorem" in finding(small_run, "Noise map").reason
    assert "12 votes" in finding(small_run, "Count").reason
    assert "6 parts" in finding(small_run, "Choice").reason, "three classes, two bounds"


def test_release_mode_is_red_where_the_method_says(small_run):
    found = colours(small_run, mode="release")
    assert {title for title, colour in found.items() if colour == "red"} == {
        "Noise in the votes and in the radius",
        "Count of votes in the bound",
        "Choice of the class",
        "Noise map",
        "Store",
    }
    assert published_release.LABEL in finding(small_run, "Noise in", mode="release").reason
    assert "1,000 votes, but 12 members" in finding(small_run, "Count", mode="release").reason


def test_certificates_that_never_met_the_store_are_amber(small_run):
    assert finding(small_run, "Store", mode="uniform").colour == "amber"
    assert finding(small_run, "Store", bound="hoeffding").colour == "amber"
    assert "not these" in finding(small_run, "Store", alpha=0.05).reason
    assert "not these" not in finding(small_run, "Store", alpha=small_run.config.certification.alpha).reason


@pytest.mark.parametrize(("column", "factor"), [("sigma", 2.0), ("radius", 1.0001), ("votes_0", 2.0), ("margin", 1.01)])
def test_a_changed_row_is_named(run, column, factor):
    table = pd.read_csv(run.path / "certificates.csv")
    row = int(table[column].to_numpy().argmax())
    table[column] = table[column].astype(float)
    table.loc[row, column] *= factor
    table.to_csv(run.path / "certificates.csv", index=False)
    found = finding(run, "Noise in")
    assert found.colour == "red"
    assert found.reason.startswith("1 of 216 rows ")
    assert f"{table.loc[row, 'set']} {table.loc[row, 'index']}." in found.reason


def test_radii_scaled_by_another_sigma_are_found(run):
    """The release's error, planted: σ* replaced after the votes were cast."""
    sigma = run.arrays("sigma")
    files.write_arrays(run.path / "sigma.safetensors", sigma | {"clean": sigma["clean"] * 1.5})
    assert finding(run, "Noise in").colour == "red"


def test_votes_missing_from_the_count_are_found(run):
    votes = run.arrays("votes")
    files.write_arrays(
        run.path / "votes.safetensors",
        {name: array[:-1] if name.startswith("votes/") else array for name, array in votes.items()},
    )
    assert finding(run, "Count").colour == "red"


def test_another_seed_is_found(run):
    rewrite_json(run.path / "manifest.json", seed=1)
    assert finding(run, "Seeds").colour == "red"


def test_a_weak_attack_makes_the_certificate_vacuous(run):
    """The answers on disk decide, whatever metrics.json says: an earlier version recorded no base rate."""
    for answers, words in (
        ({"triggered": run.arrays("votes")["labels"]}, "defends against nothing"),
        (dict.fromkeys(("clean", "triggered"), np.zeros(108, np.int64)), "collapsed"),
    ):
        files.write_arrays(run.path / "undefended.safetensors", run.arrays("undefended") | answers)
        found = finding(run, "Attack")
        assert (found.colour, words in found.reason) == ("red", True)
    rewrite_json(run.path / "metrics.json", undefended=None)
    assert finding(run, "Attack").colour == "amber"


def test_an_ensemble_that_answers_one_class_to_everything_is_red(run):
    assert finding(run, "Answers").colour == "green"
    table = run.certificates().assign(prediction=1)
    table.to_csv(run.path / "certificates.csv", index=False)
    found = finding(run, "Answers")
    assert (found.colour, "collapsed" in found.reason) == ("red", True)


def test_trimmed_certificates_depend_on_the_order(run):
    rewrite_json(run.path / "metrics.json", store={"stored": 9, "trimmed": 0, "aligned": 0})
    assert finding(run, "Store").colour == "green"
    rewrite_json(run.path / "metrics.json", store={"stored": 9, "trimmed": 2, "aligned": 1})
    assert finding(run, "Store").colour == "amber"
    assert "3 certificates" in finding(run, "Store").reason


def test_batch_normalisation_is_seen(run):
    first = sorted((run.path / "members").glob("*"))[0]
    files.write_arrays(first, {"weight/norm.running_mean": np.zeros((5, 8), np.float32)})
    assert finding(run, "Batch").colour == "amber"
    shutil.rmtree(run.path / "members")
    assert "not here" in finding(run, "Batch").reason


def test_an_unfinished_run_is_told_in_a_sentence(run):
    (run.path / "votes.safetensors").unlink()
    with pytest.raises(RunError, match=r"votes\.safetensors is missing"):
        inspect(run)


def test_the_command_line_prints_every_finding(small_run):
    found = inspect(small_run)
    lines = CliRunner().invoke(app, ["inspect", str(small_run.path)]).output.splitlines()
    assert [line.split()[0].lower() for line in lines] == [one.colour for one in found]
    read = json.loads(CliRunner().invoke(app, ["inspect", str(small_run.path), "--json"]).output)
    assert read == [one.__dict__ for one in found]


def test_members_too_few_for_any_certificate_are_red_with_the_number_that_would_do(small_run):
    """Three classes at alpha 1e-6: log2(6e6) = 22.5, and 12 members voted."""
    told = [one for one in inspect(small_run, alpha=1e-6) if one.title == "Number of members"]
    assert [one.colour for one in told] == ["red"]
    assert "at least 23 members" in told[0].reason
    assert not [one for one in inspect(small_run) if one.title == "Number of members"]
