"""The whole pipeline on real digits: what lies in a run's folder, and that it all agrees."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from certssb_core.ensemble import shards
from certssb_core.pipeline import context, tasks
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from certssb_core.store.store import Store
from tests.conftest import finish, make_small_run

COLUMNS = [
    *("set", "index", "label", "sigma", "members", "votes_0", "votes_1", "votes_2", "prediction"),
    *("p_a_lower", "p_b_upper", "margin", "radius", "store_case", "store_prediction", "store_radius"),
]


def test_certificates_have_the_promised_columns_and_rows(small_run):
    table = small_run.certificates()
    assert list(table.columns) == COLUMNS
    assert table.groupby("set").size().to_dict() == {"clean": 108, "triggered": 108}
    assert set(table["store_case"]) <= {"disjoint", "same_label", "trimmed", "aligned", "none"}


def test_certificates_follow_from_the_votes_by_scipys_own_interval(small_run):
    """Clopper–Pearson at α/(2C) a side from scipy.stats.binomtest, margin and radius by hand; 1e-9."""
    table, alpha = small_run.certificates(), small_run.config.certification.alpha
    counts = table[["votes_0", "votes_1", "votes_2"]].to_numpy()
    assert (counts.sum(axis=1) == 12).all()
    for row, count in zip(table.itertuples(), counts, strict=True):
        level = 1 - 2 * alpha / (2 * 3)
        bounds = [stats.binomtest(int(c), 12).proportion_ci(level, method="exact") for c in count]
        top = int(count.argmax())
        p_a = bounds[top].low
        p_b = min(1 - p_a, max(bounds[c].high for c in range(3) if c != top))
        assert row.p_a_lower == pytest.approx(p_a, abs=1e-9)
        assert row.p_b_upper == pytest.approx(p_b, abs=1e-9)
        if p_a > p_b:
            margin = (stats.norm.ppf(p_a) - stats.norm.ppf(p_b)) / 2
            assert (row.prediction, row.margin) == (top, pytest.approx(margin, abs=1e-9))
        else:
            assert (row.prediction, row.margin) == (-1, 0)
        assert row.radius == pytest.approx(row.sigma * row.margin, abs=1e-9)


def test_votes_in_the_table_are_the_votes_of_the_members(small_run):
    votes = small_run.arrays("votes")
    table = small_run.certificates()
    for which in ("clean", "triggered"):
        cast = votes[f"votes/{which}/sample-specific"]
        assert cast.shape == (12, 108)
        rows = table[table["set"] == which]
        for label in range(3):
            assert np.array_equal((cast == label).sum(axis=0), rows[f"votes_{label}"])
        assert votes[f"softmax/{which}/uniform"].sum(axis=1) == pytest.approx(np.ones(108), abs=1e-5)


def test_sigma_lies_in_its_range_and_keeps_paths_and_curves(small_run):
    sigma, noise = small_run.arrays("sigma"), small_run.config.noise
    for which, count in (("train", len(sigma["train_labels"])), ("clean", 108), ("triggered", 108)):
        assert sigma[which].shape == (count,)
        assert noise.sigma_min <= sigma[which].min() <= sigma[which].max() <= noise.sigma_max + 1e-9
        kept = len(sigma[f"path_index/{which}"])
        assert sigma[f"path_sigma/{which}"].shape == (kept, 1 + noise.iterations)
        assert sigma[f"curve_radius/{which}"].shape == (kept, 32)


def test_store_columns_are_the_ledger_and_balls_of_other_labels_do_not_meet(small_run):
    with Store.open(small_run.store_path) as store:
        entries, balls = store.ledger(), store.balls()
    table = small_run.certificates().set_index(["set", "index"])
    for entry in entries:
        row = table.loc[tuple(entry.key)]
        assert (entry.case, entry.label) == (row["store_case"], row["store_prediction"])
        assert entry.radius_after == pytest.approx(row["store_radius"], abs=1e-12)
    centres = balls.centres.astype(np.float64)
    for i in range(len(balls.radii)):
        other = balls.labels != balls.labels[i]
        distance = np.sqrt(((centres[other] - centres[i]) ** 2).sum(axis=1))
        assert (distance >= balls.radii[i] + balls.radii[other]).all()
    inputs = load_inputs(small_run.config)
    assert np.array_equal(balls.centres[0], inputs.dataset.test_images[balls.indices[0]].ravel())


def test_metrics_are_what_pandas_counts(small_run):
    metrics, table = small_run.metrics, small_run.certificates()
    clean = table[table["set"] == "clean"]
    triggered = table[(table["set"] == "triggered") & (table["label"] != 0)]
    right = clean["prediction"] == clean["label"]
    assert metrics["clean"]["n"] == 108
    assert metrics["clean"]["accuracy"] == pytest.approx(right.mean())
    assert metrics["clean"]["average_certified_radius"] == pytest.approx(clean["radius"].where(right, 0).mean())
    assert metrics["triggered"]["n"] == 72
    assert metrics["triggered"]["attack_success_rate"] == pytest.approx((triggered["prediction"] == 0).mean())
    held = (triggered["prediction"] == triggered["label"]) & (triggered["radius"] > 0.25)
    assert metrics["triggered"]["certified_robust_accuracy"]["0.25"] == pytest.approx(held.mean())
    cases = table["store_case"].value_counts()
    assert all(
        metrics["store"][case] == cases.get(case, 0) for case in ("disjoint", "same_label", "trimmed", "aligned")
    )
    assert set(metrics["seconds"]) == {"data", "undefended", "sigma", "members", "votes", "store", "total"}


def test_the_attack_works_undefended_and_the_report_counts_as_the_method_says(small_run):
    undefended, votes = small_run.metrics["undefended"], small_run.arrays("undefended")
    labels = small_run.arrays("votes")["labels"]
    assert undefended["attack_success_rate"] == pytest.approx((votes["triggered"][labels != 0] == 0).mean())
    assert undefended["clean_accuracy"] == pytest.approx((votes["clean"] == labels).mean())
    assert undefended["clean_accuracy"] > 0.95


def test_manifest_hashes_every_file_but_the_living_ones(small_run):
    manifest = small_run.manifest
    there = {path.relative_to(small_run.path).as_posix() for path in small_run.path.rglob("*") if path.is_file()}
    living = {"manifest.json", *Run.UNHASHED}
    assert set(manifest["sha256"]) == there - living
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((small_run.path / name).read_bytes()).hexdigest() == digest, name
    assert manifest["seed"] == 0
    assert manifest["versions"]["torch"]


def test_reading_the_store_changes_no_byte(small_run):
    before = files.sha256(small_run.store_path)
    with Store.open(small_run.store_path) as store:
        store.ledger()
    assert files.sha256(small_run.store_path) == before


def test_config_holds_what_auto_stood_for(small_run):
    training = Run(small_run.path).config.training
    assert (training.device, training.model, training.precision) == ("cpu", "small-cnn", "float32")


def test_votes_are_the_same_whatever_the_number_of_workers(small_run, tmp_path):
    other = finish(make_small_run(tmp_path, "two-workers", **{"training.workers": "2", "training.shard_members": "7"}))
    pd.testing.assert_frame_equal(small_run.certificates(), other.certificates(), check_exact=True)
    for name, array in small_run.arrays("votes").items():
        if name.startswith("votes/"):
            assert np.array_equal(array, other.arrays("votes")[name]), name


@pytest.fixture
def one_thread():
    """As every worker of the engine has it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_member_retrained_alone_is_the_same_member(small_run, tmp_path):
    run = make_small_run(tmp_path, "again")
    run.replace_config(small_run.config)
    context.write_scratch(run, load_inputs(run.config))
    (run.path / "members").mkdir()
    (run.path / "sigma.safetensors").write_bytes((small_run.path / "sigma.safetensors").read_bytes())
    tasks.train_members(run.path, 9)
    again = shards.read(shards.part_path(run.path / "members", 9))
    stored = dict(shards.iterate(small_run.path / "members", shards.WEIGHT))[9]
    assert all((stored[name] == again[shards.WEIGHT + name]).all() for name in stored)
    votes = small_run.arrays("votes")["votes/triggered/sample-specific"][9]
    assert np.array_equal(votes, again["votes/triggered/sample-specific"].numpy())


def test_metrics_are_stated_before_and_after_the_store(small_run):
    """The store may change answers and radii: metrics of both are counted plainly, also where it aligned some."""
    table, run_votes = small_run.certificates(), read_run_votes(small_run)
    aligned = table.copy()
    aligned.loc[:29, "store_prediction"] = (table.loc[:29, "label"] + 1) % 3
    aligned.loc[30:40, "store_radius"] /= 2
    after = certification.assess(run_votes, certification.after_store(aligned), radii=())
    clean = table[table["set"] == "clean"]
    for part, rows, answer, radius in (
        (small_run.metrics["clean"], clean, "prediction", "radius"),
        (small_run.metrics["after_store"]["clean"], clean, "store_prediction", "store_radius"),
        (after["clean"], aligned[aligned["set"] == "clean"], "store_prediction", "store_radius"),
    ):
        right = [given == true for given, true in zip(rows[answer], rows["label"], strict=True)]
        reach = [far for far, hit in zip(rows[radius], right, strict=True) if hit]
        assert part["accuracy"] == pytest.approx(sum(right) / len(right))
        assert part["average_certified_radius"] == pytest.approx(sum(reach) / len(right))
    assert after["clean"]["accuracy"] < small_run.metrics["clean"]["accuracy"]
