"""The attack on a real small run: sound certificates hold, inflated ones are found out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from certssb_core.attacks.gradient import INSIDE
from certssb_core.cli import app
from certssb_core.errors import RunError
from certssb_core.falsification import falsify as falsification
from certssb_core.falsification import known_noise, moved_levels, overstatement
from certssb_core.falsification.betting import members_needed
from certssb_core.falsification.falsify import attack, falsify, table
from certssb_core.falsification.moved_levels import attack_levels, levels_anew
from certssb_core.falsification.test_input import judged, searchers
from certssb_core.falsification.training_set import STRATEGIES, enough, plant, rota, with_levels_anew, world_votes
from certssb_core.falsification.violations import claims
from certssb_core.pipeline import context
from certssb_core.pipeline.engines.local import InProcessEngine
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS, load_inputs
from certssb_core.runs.run import Run
from tests.conftest import make_small_run

pytestmark = pytest.mark.slow  # attacks on a run, and ensembles trained again

BUDGET = {"minutes": 5.0, "worlds": 4, "searches": 100, "members": 14, "factors": False}


@pytest.fixture(autouse=True)
def small_attacks(monkeypatch):
    """Fewer replays of the store, inputs and steps, and few members trained to judge."""
    monkeypatch.setattr(falsification, "REPLAYS", 4)
    monkeypatch.setattr(known_noise, "INPUTS", 1)
    monkeypatch.setattr(known_noise, "STEPS", 5)
    monkeypatch.setattr(moved_levels, "MOST", 24)
    monkeypatch.setattr(overstatement, "FRESH", 10)


@pytest.fixture
def one_world(run, claimed):
    def make(number, claimed=claimed):
        steering = searchers(run.config.training.members, seed=0)
        return plant(run.path, number, 0, steering, claimed, np.full_like(claimed.images, 0.01))

    return make


def by_name(parts):
    return {part.name: part for part in parts}


def test_sound_certificates_hold(run):
    report = falsify(run, **BUDGET)
    parts = {part["name"]: part for part in report["parts"]}
    assert parts["test"]["trials"] == 100
    assert parts["joint"]["trials"] > 200
    assert parts["levels"]["trials"] == 24
    assert [world["levels"] for world in parts["joint"]["facts"]["worlds"]] == ["certified"] * 4 + ["anew"] * 2
    assert parts["store-invariant"]["trials"] > 1000
    assert parts["store-promises"]["trials"] > 100
    for part in parts.values():
        assert part["violations"] <= part["allowed"] * part["trials"], part
        assert part["within"]
    assert json.loads((run.path / "falsification.json").read_text()) == json.loads(json.dumps(report))
    assert not context.scratch_path(run).exists()
    assert all(files.sha256(run.path / name) == digest for name, digest in run.manifest["sha256"].items())


@pytest.mark.slow
def test_inflated_certificates_break_on_both_sides(run, claimed):
    """Every radius and margin five times what the votes allow."""
    inflated = replace(claimed, margin=5 * claimed.margin, radius=5 * claimed.radius)
    parts = by_name(attack(run, inflated, **BUDGET)[0])
    for name in ("test", "joint"):
        report = parts[name].report(claimed.alpha)
        assert report["units_lower"] > claimed.alpha, report
        assert not report["within"]
    found = parts["test"].examples[0]
    assert found["found"] != found["claimed"]
    assert found["distance"] < found["radius"]
    assert found["share_found"] > found["share_claimed"]


def test_radii_scaled_by_another_sigma_break(run):
    """The public code's way at its worst: votes at σ₀, radius multiplied with a larger σ*."""
    run_votes, inputs = read_run_votes(run), load_inputs(run.config)
    uniform = claims(run_votes, inputs, mode="uniform")
    grown = replace(uniform, radius=uniform.margin * 4 * run.config.noise.sigma)
    part = by_name(attack(run, grown, **BUDGET | {"worlds": 0})[0])["test"]
    assert part.violations > 0


def test_release_mode_attacks_what_the_release_claims(run):
    """Votes at σ₀, whatever σ the radius was scaled with; the claim's own σ_x is margin's share of the radius."""
    run_votes, inputs = read_run_votes(run), load_inputs(run.config)
    released = claims(run_votes, inputs, mode="release")
    assert set(released.sigma) == {run.config.noise.sigma}
    scaled = {(which, i): s for which in SETS for i, s in enumerate(run_votes.sets[which].sigma["sample-specific"])}
    expected = [scaled[key] for key in zip(released.sets, released.indices.tolist(), strict=True)]
    assert released.radius / released.margin == pytest.approx(np.array(expected), rel=1e-9)


def test_too_few_votes_are_said_to_establish_nothing(small_run, monkeypatch):
    """Nine of twelve members judge, and nine unanimous votes do not establish a flip at α 0.001."""
    monkeypatch.setattr(falsification, "claims", lambda *given, **mode: replace(claims(*given, **mode), alpha=0.001))
    report = falsify(small_run, minutes=1, worlds=0, searches=20, factors=False)
    part = next(part for part in report["parts"] if part["name"] == "test")
    assert (part["trials"], part["facts"]["votes_needed"], part["facts"]["judging_members"]) == (0, None, 9)
    assert "more members are needed" in table(report)
    assert "nothing tried" in table(report)


@pytest.mark.parametrize("number", range(len(STRATEGIES)))
def test_a_world_stays_within_the_budget_of_those_it_is_held_against(run, claimed, one_world, number):
    """Weighted norms recomputed from the planted images, with the points' own changes; docs/method.md §5."""
    world, sigma = one_world(number), run.arrays("sigma")["train"]
    train = load_inputs(run.config).poisoned.images[world.images].astype(np.float64)
    planted = (train.astype(np.float32) + world.changes).astype(np.float64)
    spent = (((planted - train).reshape(len(train), -1) / sigma[world.images, None]) ** 2).sum()
    assert spent == pytest.approx(world.weight**2, rel=1e-5)
    moved = (world.points.astype(np.float64) - claimed.images[world.rows]).reshape(len(world.rows), -1)
    cost = (np.linalg.norm(moved, axis=1) / (claimed.radius / claimed.margin)[world.rows]) ** 2
    assert (spent + cost < claimed.margin[world.rows] ** 2).all()
    assert (np.linalg.norm(moved, axis=1).max() > 0) == world.moves_inputs
    assert spent > 0.9 * np.quantile(claimed.margin, world.quantile) ** 2 * (1 - INSIDE) ** 2
    assert len(set(world.images)) == len(world.images)


def test_worlds_are_worst_images_and_differ(run, one_world):
    sigma = run.arrays("sigma")["train"]
    world = one_world(1)
    assert STRATEGIES[world.strategy].noisiest is False
    assert sigma[world.images].max() <= np.sort(sigma)[len(world.images) - 1]
    assert len({one_world(number).seed for number in range(4)} | {run.config.seed}) == 5


def test_a_world_without_changes_is_the_same_classifier_under_fresh_noise(run, claimed, one_world):
    world = one_world(0)
    still = replace(world, changes=np.zeros_like(world.changes))
    cast, again = world_votes(run.path, still, 3), world_votes(run.path, still, 3)
    assert np.array_equal(cast, again)
    assert cast.astype(float).sum(axis=2) == pytest.approx(np.ones((1, len(still.points))))
    other = world_votes(run.path, replace(still, seed=world.seed + 1), 3)
    assert not np.array_equal(cast, other)
    assert (cast[0].argmax(axis=1) == claimed.prediction[world.rows]).mean() > 0.5
    home = replace(still, seed=run.noise_seed)
    stored = judged(run, InProcessEngine(), tuple(m for m in range(40) if m != 3), still.points, still.sigma, seed=0)
    same = world_votes(run.path, replace(home, number=0), 3)
    assert np.array_equal(same[0], stored[0].astype(np.float16))


def test_images_that_move_take_their_levels_along(run, claimed, one_world):
    """The second world of a pair differs from the first in its σ_i only, and all of them are within the run's range."""
    world = one_world(3)
    anew = with_levels_anew(run.path, world)
    certified, noise = run.arrays("sigma")["train"], run.config.noise
    assert anew.levels.shape == certified.shape
    assert noise.sigma_min <= float(anew.levels.min()) <= float(anew.levels.max()) <= noise.sigma_max
    assert not np.allclose(anew.levels.numpy(), certified)
    assert np.array_equal(anew.changes, world.changes)
    assert anew.seed == world.seed
    assert world.key != anew.key
    assert not np.array_equal(world_votes(run.path, anew, 3), world_votes(run.path, world, 3))


def test_an_unmoved_input_has_the_level_of_its_certificate(run, claimed):
    assert levels_anew(run.path, claimed.images[:9], 0) == pytest.approx(claimed.sigma[:9], rel=1e-4)


def test_claims_at_certified_levels_hold_and_inflated_ones_break(run, claimed):
    part = attack_levels(run, InProcessEngine(), claimed, deadline=np.inf, seed=0)
    assert (part.units, part.trials, part.violations) == (24, 24, 0)
    assert part.facts["anew"]["inputs"] == 24
    assert part.facts["anew"]["largest_change"] > 1.01
    assert part.facts["anew"]["broken"] <= part.facts["anew"]["flips"]
    inflated = replace(claimed, radius=5 * claimed.radius, margin=5 * claimed.margin)
    assert attack_levels(run, InProcessEngine(), inflated, deadline=np.inf, seed=0).violations > 0
    late = attack_levels(run, InProcessEngine(), claimed, deadline=0.0, seed=0)
    assert (late.trials, late.units) == (0, 0)
    assert "the time was up" in late.facts["reason"]


def test_searchers_are_a_quarter_at_most_and_judges_the_rest():
    assert len(searchers(12, seed=0)) == 3
    assert len(searchers(1000, seed=0)) == 40
    assert searchers(200, seed=0) != searchers(200, seed=1)
    assert len(searchers(1, seed=0)) == 1


def test_the_time_is_kept(run, claimed):
    parts, seconds = attack(run, claimed, minutes=0.001, worlds=4, searches=1000, factors=False)
    assert seconds < 30
    assert by_name(parts)["test"].facts["done"] < 1000


def test_only_finished_runs_with_members_are_attacked(tmp_path, small_run):
    with pytest.raises(RunError, match="not finished"):
        falsify(make_small_run(tmp_path, "fresh"))
    copy = tmp_path / "bare"
    copy.mkdir()
    for path in small_run.path.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RunError, match="holds no members"):
        falsify(Run(copy))


def test_the_command_prints_a_table(run):
    result = CliRunner().invoke(app, ["falsify", str(run.path), "--worlds", "0", "--searches", "40", "--minutes", "2"])
    assert result.exit_code == 0, result.output
    assert "test radius: gradient searches" in result.output


def test_worlds_are_heard_one_by_one_until_their_votes_can_tell(claimed):
    first, classes = enough(claimed, 200), claimed.classes
    assert members_needed(first, classes, claimed.alpha) <= 0.9 * first
    before = members_needed(first - 1, classes, claimed.alpha)
    assert before is None or before > 0.9 * (first - 1)
    assert enough(claimed, 5) == 5
    turns = list(rota(["a", "b"], 4, first=2))
    assert turns == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3)]
