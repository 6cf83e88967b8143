"""The second implementation against numbers worked out by hand, so that it is no mere copy of the first."""

import numpy as np
import pandas as pd
import pytest

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.input_votes import InputVotes, VoteBounds, bound_at
from certssb_core.certify.run_off import in_ranks
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.results.vote_bounds import bound_votes
from certssb_core.verification import recompute
from certssb_core.verification.bounds import OWN_BOUNDS, Ballots, at_any_margin


def test_margin_of_a_thousand_unanimous_votes():
    found = recompute.margins(np.array([0, -1]), np.array([0.993116, 0.5]), np.array([1 - 0.993116, 0.6]))
    assert found.tolist() == pytest.approx([2.4633, 0.0], abs=5e-5)


BALLS = (np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([0, 1]), np.array([2.0, 3.0]))
"""Label 0 around the origin with radius 2, label 1 around (10, 0) with radius 3."""


@pytest.mark.parametrize(
    ("x", "prediction", "radius", "expected"),
    [
        (5.0, 0, 1.0, recompute.Update("disjoint", 0, 1.0, None)),
        (3.0, 0, 1.5, recompute.Update("same_label", 0, 1.5, 1.0)),
        (3.0, 1, 1.5, recompute.Update("trimmed", 1, 1.0, 1.0)),
        (1.5, 1, 1.5, recompute.Update("aligned", 0, 0.5, -0.5)),
        (1.5, -1, 0.0, recompute.Update("none", 0, 0.5, -0.5)),
        (5.0, -1, 0.0, recompute.Update("none", -1, 0.0, None)),
    ],
)
def test_each_case_of_the_storage_update(x, prediction, radius, expected):
    assert recompute.storage_updates(np.array([x, 0.0]), prediction, radius, *BALLS)[0] == expected


def test_the_first_input_is_disjoint_and_a_tie_may_go_either_way():
    nothing = (np.empty((0, 2)), np.empty(0, int), np.empty(0))
    assert recompute.storage_updates(np.zeros(2), 1, 0.5, *nothing)[0].case == "disjoint"
    touching = recompute.storage_updates(np.array([3.0, 0.0]), 1, 1.0, *BALLS)
    assert {update.case for update in touching} == {"disjoint", "trimmed"}


def test_budget_counts_the_worst_images_first():
    """σ_i of 0.5, 1 and 2 cost 4, 1 and 1/4 at τ = 1, the test input 1: margins² of 0.9, 4.9, 5.1, 6.2, 6.3."""
    margin = np.sqrt([0.9, 4.9, 5.1, 6.2, 6.3])
    found = recompute.images_certified(margin, np.ones(5), np.array([2.0, 0.5, 1.0]), 1.0)
    assert found.tolist() == [-1, 0, 1, 2, 3]


def test_metrics_of_a_table_small_enough_to_count():
    table = pd.DataFrame(
        {
            "set": ["clean"] * 3 + ["triggered"] * 3,
            "label": [0, 1, 1] * 2,
            "prediction": [0, 1, -1, 0, 0, 1],
            "radius": [1.0, 0.5, 0.0, 1.0, 1.0, 0.3],
            "votes_0": 0,
            "votes_1": 0,
        }
    )
    found = recompute.metrics(table, label_mode="all-to-one", target=0, radii=(0.0, 0.5))
    assert found["clean"] == {
        "n": 3,
        "accuracy": pytest.approx(2 / 3),
        "abstained": pytest.approx(1 / 3),
        "average_certified_radius": 0.5,
        "certified_accuracy": {"0.0": pytest.approx(2 / 3), "0.5": pytest.approx(1 / 3)},
    }
    assert found["triggered"] == {
        "n": 2,
        "attack_success_rate": 0.5,
        "empirical_robust_accuracy": 0.5,
        "certified_robust_accuracy": {"0.0": 0.5, "0.5": 0.0},
    }
    assert recompute.metrics(table, label_mode="all-to-all", target=0, radii=(0.0,))["triggered"]["n"] == 3


CONFIG = override(
    PRESETS["subset-digits-01"], {"training.drawn_from": "291", "certification.attacked": "14", "training.subset": "9"}
)


def rows(kind: str, counts: np.ndarray, alpha: float, level: float) -> pd.DataFrame:
    """Rows of certificates.csv as the first implementation makes them."""
    chosen = CERTIFICATES[kind]
    bounds = (chosen.bound or BOUNDS["clopper-pearson"]).class_bounds(counts, int(counts[0].sum()), alpha)
    votes = VoteBounds(bounds, counts, np.full(len(counts), level), int(counts[0].sum()), "uniform")
    found = chosen.certify(votes, "uniform", CONFIG.drawing)
    table = pd.DataFrame({f"votes_{label}": counts[:, label] for label in range(counts.shape[1])})
    names = ("prediction", "p_a_lower", "p_b_upper", "margin", "radius", "sigma")
    return table.assign(**{name: getattr(found, name) for name in names})


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    ("kind", "level"),
    [("weighted-l2", 0.5), ("training-l2", 0.5), ("l0", 0.6), ("l0", 0.8), ("partition", 0.0), ("subset", 0.7)],
)
def test_both_implementations_agree_on_every_kind_of_certificate(kind, level, classes):
    """Random votes of every concentration, unanimous ones, ties; margins and radii to 1e-9."""
    chance = np.random.default_rng(classes)
    counts = np.stack([chance.multinomial(200, chance.dirichlet(np.full(classes, 0.15))) for _ in range(60)])
    counts[0], counts[1] = np.eye(classes, dtype=int)[-1] * 200, 200 // classes
    table = rows(kind, counts, 0.01, level)
    margin, radius = recompute.RADII[kind](table, CONFIG)
    np.testing.assert_allclose(margin, table["margin"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(radius, table["radius"], rtol=1e-9, atol=1e-9)
    assert table["radius"].nunique() > 2


def test_every_kind_of_certificate_has_a_second_implementation():
    assert set(recompute.RADII) == set(CERTIFICATES)


@pytest.mark.parametrize(
    ("classes", "spread", "members"), [(2, 1, 40), (3, 1, 40), (5, 1, 40), (4, 3, 40), (4, 1, 43), (3, 2, 43)]
)
def test_both_implementations_agree_on_the_run_off(classes, spread, members):
    """40 random rankings for 60 inputs, near and far from a tie; of 43 members three are left out."""
    chance = np.random.default_rng(classes * spread + members)
    liking = 2 * chance.normal(size=(1, 60, classes)) * chance.random((1, 60, 1))
    ranks = in_ranks(np.argsort(-(liking + chance.gumbel(size=(40, 60, classes))), axis=-1))
    votes = ranks.argmin(-1).astype(np.uint8)
    settings = {"certification.certificate": "run-off", "noise.law": "none", "training.sees": "partition"}
    config = override(CONFIG, settings | {"training.spread": spread, "training.members": members})
    softmax = np.full((60, classes), 1 / classes)
    cast = InputVotes({"uniform": votes}, {"uniform": softmax}, {"uniform": np.zeros(60)}, ranks=ranks)
    read = bound_votes(cast, config, mode="uniform", bound="joint", alpha=0.01)
    found = CERTIFICATES["run-off"].certify(read, "uniform", None)
    names = ("prediction", "p_a_lower", "p_b_upper", "margin", "radius")
    table = pd.DataFrame({name: getattr(found, name) for name in names})
    bounds = OWN_BOUNDS["run-off"](Ballots(votes, None, classes, ranks=ranks), 0.01)
    for name in ("prediction", "p_a_lower", "p_b_upper"):
        np.testing.assert_allclose(bounds[name], table[name])
    margin, radius = recompute.RADII["run-off"](table.assign(ranks=[*np.moveaxis(ranks, 1, 0)]), config)
    np.testing.assert_allclose(margin, table["margin"])
    np.testing.assert_array_equal(radius, table["radius"])
    assert table["radius"].nunique() > 3 or (spread, members) == (2, 43)


@pytest.mark.parametrize("classes", [2, 4])
def test_both_implementations_agree_on_votes_with_margins(classes):
    """Random votes of every concentration with random margins, for several numbers of replaced images."""
    chance = np.random.default_rng(classes)
    votes = np.stack([chance.choice(classes, 200, p=chance.dirichlet(np.full(classes, 0.15))) for _ in range(60)], 1)
    margins = np.minimum(chance.exponential(160, votes.shape), 255).astype(np.uint8)
    kind = CERTIFICATES["subset-margin"]
    votes = votes.astype(np.uint8)
    read = bound_at(
        votes, np.zeros(60), bound=kind.bound, classes=classes, alpha=0.01, test_map="uniform", margins=margins
    )
    config = override(CONFIG, {"certification.certificate": "subset-margin", "certification.alpha": 0.01})
    found = kind.certify(read, "uniform", config.drawing)
    names = ("prediction", "p_a_lower", "p_b_upper", "margin", "radius", "sigma")
    table = pd.DataFrame({name: getattr(found, name) for name in names}).assign(
        label=found.prediction,
        members=200,
        cast=[*votes.T],
        margins=[*margins.T],
        **{f"votes_{label}": read.counts[:, label] for label in range(classes)},
    )
    bounds = at_any_margin(Ballots(votes, None, classes), 0.01)
    for name in ("prediction", "p_a_lower", "p_b_upper"):
        np.testing.assert_allclose(bounds[name], table[name], rtol=1e-9, atol=1e-9)
    margin, radius = recompute.RADII["subset-margin"](table, config)
    np.testing.assert_allclose(margin, table["margin"], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(radius, table["radius"])
    assert table["radius"].nunique() > 5
    for images, norm in [(0, 0.0), (0, 0.5), (3, 0.2), (6, 0.01)]:
        stands = recompute.planted(table, config, images, norm)
        np.testing.assert_array_equal(stands, kind.replaced(read, config.drawing, norm) >= images)
        assert 0 < stands.sum() < 60
