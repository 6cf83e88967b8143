"""Choosing σ_x among candidates: brute force on stored votes, α by simulation, and a real run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binom

from certssb_core.certify.bounds.intervals import ClassBounds
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.input_votes import InputVotes, VoteBounds
from certssb_core.certify.sigma_candidates import forecast, largest_radius, take
from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig
from certssb_core.errors import ConfigError, RunError
from certssb_core.query.ensemble import ask
from certssb_core.results import certification
from certssb_core.results.vote_bounds import bound_votes
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.inputs import load_inputs
from tests.conftest import finish, make_small_run

SIGMAS = (0.25, 0.4, 0.8)


@pytest.fixture(scope="module")
def voted_run(tmp_path_factory):
    changes = {
        "noise.test_map": "voted",
        "noise.test_candidates": str(list(SIGMAS)),
        "noise.train_map": "uniform",
        "noise.sigma": str(SIGMAS[0]),
        "training.members": "20",
        "training.epochs": "4",
        "training.single_epochs": "5",
    }
    return finish(make_small_run(tmp_path_factory.mktemp("runs"), "voted", **changes))


def imagined(probability: list[list[float]], members: int, seed: int, **settings: str) -> RunVotes:
    """Votes of two classes; ``probability`` ``(K, n)`` is that of class 1 at each candidate, all by one uniform draw
    per member and input, so that the candidates depend on each other as much as they can."""
    config = override(RunConfig(), {"noise.test_candidates": str(list(SIGMAS)), "noise.test_map": "voted"} | settings)
    draws = np.random.default_rng(seed).random((members, 1, len(probability[0])))
    votes = (draws < np.asarray(probability)).astype(np.uint8)  # (M, K, n)
    shares = np.stack([1 - votes.mean(axis=0), votes.mean(axis=0)], axis=2)
    return RunVotes(
        config=config,
        sets={
            "clean": InputVotes(
                votes={"uniform": votes[:, 1]},
                softmax={"uniform": shares[1]},
                sigma={},
                candidates=SIGMAS,
                candidate_votes=votes,
                candidate_softmax=shares,
            )
        },
        sigma_train=np.ones(1),
        labels=np.ones(votes.shape[2], np.int64),
    )


def bound_clean(run_votes: RunVotes, **rule) -> VoteBounds:
    return bound_votes(run_votes.sets["clean"], run_votes.config, **rule)


def set_aside(run_votes: RunVotes, **settings) -> RunVotes:
    """The same votes, read with other settings of the noise."""
    noise = run_votes.config.noise.model_copy(update=settings)
    return replace(run_votes, config=run_votes.config.model_copy(update={"noise": noise}))


def test_every_member_votes_at_every_candidate_in_one_byte(voted_run):
    votes = voted_run.arrays("votes")
    for which in ("clean", "triggered"):
        assert votes[f"votes/{which}/candidates"].shape == (20, 3, 108)
        assert votes[f"votes/{which}/candidates"].dtype == np.uint8
        assert votes[f"softmax/{which}/candidates"].shape == (3, 108, 3)
        np.testing.assert_allclose(votes[f"softmax/{which}/candidates"].sum(axis=2), 1, atol=1e-5)
    assert read_run_votes(voted_run).sound_modes == ("uniform", "voted", "set-aside")
    assert voted_run.config.noise.sigma == SIGMAS[0]
    np.testing.assert_array_equal(votes["votes/clean/candidates"][:, 0], votes["votes/clean/uniform"])


def test_certificates_are_the_best_anchored_candidate_at_a_share_of_alpha(voted_run):
    """By hand, input by input: scipy's Clopper–Pearson at α/3, split over three classes and two sides."""
    votes, table = voted_run.arrays("votes"), voted_run.certificates()
    level = 1 - 2 * voted_run.config.certification.alpha / 3 / 6
    for which in ("clean", "triggered"):
        rows = table[table["set"] == which].reset_index(drop=True)
        assert set(rows["sigma"]) <= set(SIGMAS)
        for i in range(0, 108, 9):
            anchor = np.bincount(votes[f"votes/{which}/uniform"][:, i], minlength=3).argmax()
            best = (0.0, SIGMAS[0])
            for k, sigma in enumerate(SIGMAS):
                counts = np.bincount(votes[f"votes/{which}/candidates"][:, k, i], minlength=3)
                ends = [stats.binomtest(int(c), 20).proportion_ci(level, method="exact") for c in counts]
                low = ends[anchor].low
                high = min(1 - low, max(ends[c].high for c in range(3) if c != anchor))
                radius = sigma / 2 * (stats.norm.ppf(low) - stats.norm.ppf(high))
                if counts.argmax() == anchor and low > high and radius > best[0]:
                    best = (radius, sigma)
            if best[0] > 0:
                assert (rows["radius"][i], rows["sigma"][i]) == (pytest.approx(best[0], abs=1e-9), best[1])
                assert rows["prediction"][i] == anchor
            chosen = SIGMAS.index(rows["sigma"][i])
            counts = np.bincount(votes[f"votes/{which}/candidates"][:, chosen, i], minlength=3)
            assert counts.tolist() == rows.loc[i, ["votes_0", "votes_1", "votes_2"]].tolist()
    assert (table["radius"] > 0).mean() > 0.5


def test_members_set_aside_choose_and_only_the_others_certify(voted_run):
    run_votes = set_aside(read_run_votes(voted_run), aside=0.2, kept=1)
    table = certification.certify_votes(run_votes, mode="set-aside", bound="clopper-pearson", alpha=0.01)
    assert (table["members"] == 16).all()
    changed = run_votes.sets["clean"].candidate_votes.copy()
    changed[4:] = (changed[4:] + 1) % 3
    run_votes.sets["clean"] = replace(run_votes.sets["clean"], candidate_votes=changed)
    again = certification.certify_votes(run_votes, mode="set-aside", bound="clopper-pearson", alpha=0.01)
    np.testing.assert_array_equal(table["sigma"], again["sigma"])  # the certifying votes have no say in σ
    assert (table["prediction"] != again["prediction"]).any()


def test_the_others_choose_among_the_candidates_that_were_kept(voted_run):
    """J = 1, 2 and 3 of three candidates at α/J each: J = 3 is the best of all, and every further one can only help."""
    at_once = {}
    for kept in (1, 2, 3):
        run_votes = set_aside(read_run_votes(voted_run), aside=0.2, kept=kept)
        at_once[kept] = certification.certify_votes(
            run_votes, mode="set-aside", bound="clopper-pearson", alpha=0.01 * kept
        )
    first = run_votes.sets["clean"].votes["uniform"][:4]
    votes = run_votes.sets["clean"].candidate_votes[4:]
    for i in range(108):
        anchor = np.bincount(first[:, i], minlength=3).argmax()
        radii = []
        for k, sigma in enumerate(SIGMAS):
            counts = np.bincount(votes[:, k, i], minlength=3)
            low = stats.binomtest(int(counts[anchor]), 16).proportion_ci(1 - 2 * 0.01 / 6, method="exact").low
            rival = max(
                stats.binomtest(int(counts[c]), 16).proportion_ci(1 - 2 * 0.01 / 6, method="exact").high
                for c in range(3)
                if c != anchor
            )
            high = min(rival, 1 - low)
            radii.append(sigma / 2 * (stats.norm.ppf(low) - stats.norm.ppf(high)) if low > high else 0.0)
        if max(radii) == 0:
            continue  # nobody certifies the anchored class
        found = [at_once[kept]["radius"][i] for kept in (1, 2, 3)]
        assert found[2] == pytest.approx(max(radii), abs=1e-9)
        assert any(found[1] == pytest.approx(radius, abs=1e-9) for radius in radii)
        assert found[0] <= found[1] + 1e-9 <= found[2] + 2e-9


def test_query_certifies_a_stored_image_as_the_run_did(voted_run):
    inputs = load_inputs(voted_run.config)
    table = voted_run.certificates().set_index(["set", "index"])
    for i in (0, 40, 100):
        reply, row = ask(voted_run, inputs.dataset.test_images[i]), table.loc[("clean", i)]
        assert (reply.prediction, reply.sigma) == (row["prediction"], row["sigma"])
        assert reply.votes == tuple(row[["votes_0", "votes_1", "votes_2"]])
        assert reply.margin == pytest.approx(row["margin"], abs=1e-9)
    assert "votes chose" in reply.condition


@pytest.mark.parametrize("mode", ["voted", "set-aside"])
@pytest.mark.parametrize("bound", [name for name in BOUNDS if name != "hoeffding"])
@pytest.mark.parametrize("truth", [(0.9, 0.88, 0.86), (0.75, 0.72, 0.66), (0.55, 0.52, 0.5), (0.98, 0.9, 0.5)])
def test_the_choice_stays_within_alpha(mode, bound, truth):
    """20,000 imagined inputs with known p at every candidate: how often the claimed margin exceeds the true one."""
    n, alpha = 20_000, 0.1
    run_votes = imagined([[p] * n for p in truth], members=60, seed=9)
    reading = bound_clean(run_votes, mode=mode, bound=bound, alpha=alpha)
    p_one = np.array(truth)[np.searchsorted(SIGMAS, reading.sigma)]
    p_top = np.where(reading.bounds.top == 1, p_one, 1 - p_one)
    wrong = (reading.bounds.prediction >= 0) & (reading.bounds.p_a_lower > p_top)
    assert wrong.sum() <= binom.isf(1e-4, n, alpha)


def test_without_a_share_per_candidate_the_choice_would_cheat():
    """The simulation can see a missing correction: bounds at the whole α, the best of three near-equals."""
    rng, n, truth = np.random.default_rng(10), 20_000, 0.9
    ones = rng.binomial(60, truth, size=(3, n))
    sigmas = (0.4, 0.4001, 0.4002)

    def best(alpha: float) -> ClassBounds:
        at = []
        for k, sigma in zip(ones, sigmas, strict=True):
            counts = np.stack([60 - k, k], axis=1)
            bounds = BOUNDS["joint"].class_bounds(counts, 60, alpha)
            at.append(VoteBounds(bounds, counts, np.full(n, sigma), 60, "voted"))
        return take(at, largest_radius(at, np.ones(n, np.int64))[0]).bounds

    whole, shared = best(0.1), best(0.1 / 3)
    assert (whole.p_a_lower > truth).sum() > binom.isf(1e-9, n, 0.1)
    assert (shared.p_a_lower > truth).sum() <= binom.isf(1e-4, n, 0.1)


def test_large_noise_that_answers_the_same_for_everything_is_not_chosen():
    run_votes = imagined([[0.95], [0.9], [0.0]], members=200, seed=3)
    reading = bound_clean(run_votes, mode="voted", bound="joint", alpha=0.01)
    assert reading.sigma[0] in SIGMAS[:2]
    assert reading.bounds.prediction[0] == 1


def test_forecasts_are_whole_votes_near_the_shares():
    counts = np.array([[60, 0, 0], [30, 20, 10], [0, 0, 60]])
    expected = forecast(counts, 240)
    assert (expected.sum(axis=1) == 240).all()
    np.testing.assert_allclose(expected, 240 * (counts + 0.5) / 61.5, atol=3)
    np.testing.assert_array_equal(expected.argmax(axis=1), counts.argmax(axis=1))


def test_hoeffding_reads_the_candidates_softmax():
    run_votes = imagined([[0.99], [0.99], [0.6]], members=400, seed=4)
    reading = bound_clean(run_votes, mode="voted", bound="hoeffding", alpha=0.01)
    share = run_votes.sets["clean"].candidate_softmax[1, 0, 1]
    assert reading.sigma[0] == SIGMAS[1]
    assert reading.bounds.p_a_lower[0] == pytest.approx(share - np.sqrt(np.log(2 * 3 / 0.01) / 800))


def test_what_cannot_be_read_is_said():
    run_votes = imagined([[0.9], [0.9], [0.9]], members=20, seed=1)
    with pytest.raises(RunError, match="hard votes"):
        bound_clean(run_votes, mode="set-aside", bound="hoeffding", alpha=0.1)
    with pytest.raises(ConfigError, match="rising"):
        override(RunConfig(), {"noise.test_candidates": "[0.5, 0.25]"})
