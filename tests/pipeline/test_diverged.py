"""Members that diverge: trained again, left out, and M that of the others in everything a run says."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from scipy import stats

from certssb_core import capsule
from certssb_core.audit.inspection import inspect
from certssb_core.ensemble import shards
from certssb_core.ensemble.training import Diverged
from certssb_core.ensemble.voting import Ballot
from certssb_core.errors import RunError
from certssb_core.pipeline import context, pipeline, tasks
from certssb_core.pipeline.context import SINGLES, open_context, write_scratch
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.run import Run
from certssb_core.verification import verify
from tests.conftest import make_small_run

QUICK = {
    "training.members": "9",
    "training.epochs": "2",
    "training.single_epochs": "2",
    "training.shard_members": "3",
    "noise.iterations": "1",
    "noise.paths": "0",
    "noise.candidates": "2",
    "data.max_train": "90",
    "data.max_test": "30",
}
TRAIN = context.train
ONCE, ALWAYS = {1}, {3, 4, 5, 7}  # 3, 4 and 5 are a whole shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs in this process in which some members diverge."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda name, once=ONCE, always=ALWAYS, **changes: _make(
            patch, tmp_path_factory.mktemp(name), once, always, changes
        )


def _make(patch, folder, once, always, changes) -> Run:
    real, threads = TRAIN, torch.get_num_threads()

    def train(network, images, labels, *, seed, member, **settings):
        if member in always or (member in once and seed == 0):
            raise Diverged(member, settings["learning_rate"])
        return real(network, images, labels, seed=seed, member=member, **settings)

    patch.setattr(context, "train", train)
    patch.setattr(pipeline, "make_engine", lambda training: InProcessEngine())
    run = make_small_run(folder, "run", **QUICK | changes)
    torch.set_num_threads(1)
    try:
        pipeline.Pipeline(run).execute()
    finally:
        torch.set_num_threads(threads)
    return Run(run.path)


@pytest.fixture(scope="module")
def run(made) -> Run:
    return made("diverged")


@pytest.fixture(scope="module")
def undisturbed(made) -> Run:
    return made("undisturbed", set(), set())


def test_those_left_out_have_no_votes_and_the_others_vote_as_they_would_have(run, undisturbed):
    one, other = run.arrays("votes"), undisturbed.arrays("votes")
    assert one["left_out"].tolist() == sorted(ALWAYS)
    assert "left_out" not in other
    kept = [member for member in range(9) if member not in ALWAYS]
    for name in ("votes/clean/sample-specific", "votes/triggered/uniform"):
        assert len(one[name]) == 5
        same = [(one[name][row] == other[name][member]).all() for row, member in enumerate(kept)]
        assert [member for member, equal in zip(kept, same, strict=True) if not equal] in ([], [1])


def test_the_second_attempt_has_other_weights_and_the_same_noise(run, undisturbed, monkeypatch):
    weights = [dict(shards.iterate(one.path / "members", shards.WEIGHT)) for one in (run, undisturbed)]
    assert not torch.equal(weights[0][1]["conv1.weight"], weights[1][1]["conv1.weight"])
    assert torch.equal(weights[0][2]["conv1.weight"], weights[1][2]["conv1.weight"])
    write_scratch(run, pipeline.Pipeline(run).inputs)
    open_context.cache_clear()
    own, seen = open_context(run.path), []

    def train(network, images, labels, *, seed, member, **settings):
        seen.append((seed, member, images.clone()))
        if len(seen) == 1:
            raise Diverged(member, settings["learning_rate"])
        return network

    monkeypatch.setattr(context, "train", train)
    own.trained(2, torch.full((90,), 0.3))
    (first, _, before), (second, _, after) = seen
    assert first == 0 != second
    assert torch.equal(before, after)


def test_of_a_group_those_that_diverge_are_trained_again_alone(made, undisturbed, monkeypatch):
    real, seen = context.train_together, []

    def train_together(networks, images, labels, *, members, **settings):
        real(networks, images, labels, members=members, **settings)
        seen.append([*members])
        for network, member in zip(networks, members, strict=True):
            if member in (1, 3):
                torch.nn.init.constant_(network.output.weight, float("nan"))

    monkeypatch.setattr(context, "train_together", train_together)
    run = made("group", set(), {3}, **{"training.together": "4"})
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]  # of member 8 there is no group
    assert run.arrays("votes")["left_out"].tolist() == [3]
    told = [event["message"] for event in run.events() if event["kind"] == "diverged"]
    assert [message.split(",")[0].split(" (")[0] for message in told] == [
        "member 1 diverged",
        *["member 3 diverged"] * 2,
    ]
    same = run.arrays("votes")["votes/clean/uniform"] == np.delete(
        undisturbed.arrays("votes")["votes/clean/uniform"], 3, 0
    )
    assert same[[0, 2, 3]].mean() > 0.95
    assert run.status().state == "done"


def test_where_the_memory_does_not_hold_a_group_its_halves_are_trained(made, undisturbed, monkeypatch):
    real, sizes = context.train_together, []

    def train_together(networks, *args, **settings):
        sizes.append(len(networks))
        if len(networks) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(networks, *args, **settings)

    monkeypatch.setattr(context, "train_together", train_together)
    run = made("halved", set(), set(), **{"training.together": "8"})
    assert sizes == [8, 4, 2, 2, 2, 2]
    name = "votes/triggered/sample-specific"
    assert (run.arrays("votes")[name] == undisturbed.arrays("votes")[name]).mean() > 0.95


def test_every_number_is_of_those_who_voted(run):
    table = run.certificates()
    assert (table["members"] == 5).all()
    counts = table[["votes_0", "votes_1", "votes_2"]].to_numpy()
    assert (counts.sum(axis=1) == 5).all()
    alpha = run.config.certification.alpha
    lower = [stats.beta.ppf(alpha / 6, k, 5 - k + 1) for k in counts.max(axis=1)]
    assert table["p_a_lower"].to_numpy() == pytest.approx(np.array(lower), abs=1e-9)
    assert run.metrics["left_out"] == sorted(ALWAYS)


def test_it_is_logged_inspected_and_verified(run, undisturbed):
    kinds = [event["kind"] for event in run.events()]
    assert (kinds.count("diverged"), kinds.count("left_out")) == (9, 4)
    finding = {one.title: one for one in inspect(run)}["Count of votes in the bound"]
    assert finding.colour == "amber"
    assert "4 of 9 members (3, 4, 5, 7) diverged" in finding.reason
    assert {one.title: one for one in inspect(undisturbed)}["Count of votes in the bound"].colour == "green"
    findings = {one.check: one for one in verify(run)}
    assert [name for name, one in findings.items() if one.outcome == "failed"] == []
    assert "5 members, and 4 were left out" in findings["votes of the members"].detail


def test_nobody_can_be_left_out_afterwards(run, tmp_path):
    """A forger who drops a vote and says so is told from the members' own files."""
    forged = Run(shutil.copytree(run.path, tmp_path / "forged"))
    votes = forged.arrays("votes")
    votes |= {name: array[1:] for name, array in votes.items() if name.startswith("votes/")}
    files.write_arrays(forged.path / "votes.safetensors", votes | {"left_out": np.array([0, 3, 4, 5, 7])})
    assert {one.check: one.outcome for one in verify(forged)}["votes of the members"] == "failed"


def test_a_capsule_says_the_same(run, tmp_path):
    again = capsule.import_capsule(capsule.export(run, tmp_path / "run.capsule"), "again", tmp_path)
    assert read_run_votes(again).left_out == tuple(sorted(ALWAYS))
    assert not [one for one in verify(again) if one.outcome == "failed"]


def test_changes_of_training_images_are_not_certified(run):
    assert run.metrics["joint_budget"] is None
    with pytest.raises(RunError, match="4 members diverged"):
        certification.joint_budget(read_run_votes(run), run.certificates(), norm=0.1)


def test_query_asks_those_who_are_there(run):
    loaded = LoadedEnsemble(run)
    image = loaded.shape
    asked = next(iter(loaded._levels))
    reply = loaded.ask(np.frombuffer(asked, np.float32).reshape(image).copy())
    row = run.certificates().iloc[0]
    assert reply.votes == tuple(row[["votes_0", "votes_1", "votes_2"]].astype(int))


def test_if_all_diverge_the_run_says_so(made):
    with pytest.raises(RunError, match="every member diverged"):
        made("all", set(), set(range(9)))


def test_a_base_classifier_that_diverges_is_named(made):
    with pytest.raises(RunError, match="the base model diverged 2 times"):
        made("base", set(), {SINGLES["base"]})


def test_under_flips_nobody_may_be_left_out(made):
    flips = {"noise.law": "flips", "data.binary": "true", "noise.train_map": "uniform", "noise.test_map": "uniform"}
    with pytest.raises(RunError, match="cannot leave members out"):
        made("flips", set(), {3}, **flips | {"certification.certificate": "l0"})


def test_values_that_are_no_numbers_are_never_voted(made, monkeypatch):
    def vote(network, inputs, **_):
        count = len(inputs)
        return Ballot(torch.zeros(count, dtype=torch.uint8), torch.full((count, 3), float("nan")))

    monkeypatch.setattr(tasks, "vote", vote)
    with pytest.raises(RunError, match="not numbers"):
        made("nan", set(), set())


@pytest.mark.parametrize(
    "changes",
    [
        {"training.members": "1", "certification.alpha": "0.5"},
        {"noise.sigma": "0.001", "noise.sigma_min": "0.001", "noise.sigma_max": "1000"},
        {"noise.sigma": "1000", "noise.sigma_min": "0.001", "noise.sigma_max": "1000"},
        {"noise.sigma": "1000", "noise.sigma_max": "1000", "noise.train_map": "uniform", "noise.test_map": "uniform"},
        {"certification.alpha": "1e-12"},
    ],
    ids=["one-member", "least-sigma", "largest-sigma", "largest-uniform", "least-alpha"],
)
def test_extreme_settings_give_finite_numbers_or_nothing(made, changes):
    run = made("extreme", set(), set(), **changes)
    table = run.certificates()
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    assert (table["radius"] <= 0)[table["prediction"] < 0].all()
    assert not [one for one in verify(run) if one.outcome == "failed"]


def test_more_votes_than_memory_are_refused_before_anything_is_trained(made, monkeypatch):
    monkeypatch.setattr(pipeline, "memory", lambda: 1e6)
    monkeypatch.setattr(tasks, "train_single", lambda *_: pytest.fail("something was trained"))
    with pytest.raises(RunError, match="do not fit in the memory"):
        made("absurd", set(), set(), **{"training.members": "1000000"})
