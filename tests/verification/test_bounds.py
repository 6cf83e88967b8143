"""The second implementation of the bounds: against numbers worked out by hand, and the first against it."""

import numpy as np
import pytest

from certssb_core.certify.bounds.registry import BOUNDS as OFFERED
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.partition import COUNTED
from certssb_core.verification.bounds import BOUNDS, OWN_BOUNDS, Ballots, counted

FIRST = OFFERED | {"counted": COUNTED}
SECOND = BOUNDS | {"counted": counted}


def ballots(*counts: list[int]) -> Ballots:
    """Votes in a shuffled order, one input for each list of votes per class."""
    order = np.random.default_rng(5).permutation(sum(counts[0]))
    columns = [np.repeat(np.arange(len(row)), row)[order] for row in counts]
    return Ballots(np.column_stack(columns), np.array(counts) / sum(counts[0]), len(counts[0]))


def test_clopper_pearson_has_the_methods_check_values():
    """docs/method.md §4: 1000 of 1000 at one-sided 0.001 gives 0.993116, 990 of 1000 gives 0.976036."""
    found = BOUNDS["clopper-pearson"](ballots([1000, 0], [10, 990], [500, 500]), 0.002)
    assert found["prediction"].tolist() == [0, 1, -1]
    assert found["p_a_lower"].tolist()[:2] == pytest.approx([0.993116, 0.976036], abs=1e-6)
    assert found["p_b_upper"].tolist()[:2] == pytest.approx([1 - 0.993116, 1 - 0.976036], abs=1e-6)


def test_three_classes_share_alpha_over_both_sides():
    """Unanimous: lower bound (α/6)^(1/M); a class without votes: upper bound 1 - (α/6)^(1/M)."""
    edge = (0.01 / 6) ** (1 / 50)
    found = BOUNDS["clopper-pearson"](ballots([0, 50, 0]), 0.01).iloc[0]
    assert found.tolist() == [1, pytest.approx(edge), pytest.approx(1 - edge)]


def test_hoeffding_is_the_mean_less_its_width():
    found = BOUNDS["hoeffding"](ballots([1000, 0], [500, 500]), 0.002)
    assert found["p_a_lower"].tolist() == pytest.approx([0.941230, 0.5 - (1 - 0.941230)], abs=1e-6)
    assert found["prediction"].tolist() == [0, -1]


def test_unanimous_votes_by_hand():
    """Joint, two classes: p^M + p̄ small = α, so α^(1/M). Split: 45 of 50 bound, at α. Three classes, joint: 0.6 α."""
    assert BOUNDS["joint"](ballots([50, 0]), 0.01)["p_a_lower"][0] == pytest.approx(0.01 ** (1 / 50), abs=1e-9)
    assert BOUNDS["selection-split"](ballots([64, 0]), 0.01)["p_a_lower"][0] == pytest.approx(0.01 ** (1 / 56))
    found = BOUNDS["joint"](ballots([50, 0, 0]), 0.01).iloc[0]
    assert found["p_a_lower"] == pytest.approx(0.006 ** (1 / 50))
    assert found["p_b_upper"] == pytest.approx(min(1 - 0.003 ** (1 / 50), 1 - 0.006 ** (1 / 50)))


def test_a_mixture_of_one_unanimous_vote_by_hand():
    """t = x = 1: 1/(1 - p₀) ∫ q/p₀ dq = (1 + p₀) / (2 p₀), and it reaches 1/α at p₀ = α / (2 - α)."""
    found = BOUNDS["time-uniform"](ballots([400, 0]), 0.05)["p_a_lower"][0]
    evidence = (1 - found**401) / (401 * found**400 * (1 - found))  # the same integral at t = x = 400
    assert evidence == pytest.approx(1 / 0.045, rel=1e-6)


@pytest.mark.parametrize("members", [1, 7, 60, 1000])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("name", SECOND)
def test_both_implementations_agree_on_every_kind_of_vote(name, classes, members):
    """Unanimous, split evenly, and random votes of every concentration; to 1e-9."""
    if name == "selection-split" and members == 1:
        pytest.skip("a split needs two votes")
    chance = np.random.default_rng(classes * members)
    shares = chance.dirichlet(np.full(classes, 0.3), size=10)
    votes = np.stack([chance.choice(classes, members, p=row) for row in shares], axis=1)
    votes[:, 0], votes[:, 1] = classes - 1, np.arange(members) % classes
    softmax = chance.dirichlet(np.ones(classes), size=10)
    for alpha in (0.2, 0.001):
        draws = chance.random(10)
        second = SECOND[name](Ballots(votes, softmax, classes, draws), alpha)
        first = FIRST[name].from_votes(votes, classes=classes, alpha=alpha, softmax=softmax, draws=draws)
        for column in second:
            np.testing.assert_allclose(second[column], getattr(first, column), rtol=1e-9, atol=1e-9, err_msg=column)


def test_every_bound_has_a_second_implementation():
    assert set(BOUNDS) == set(OFFERED)
    assert set(OWN_BOUNDS) == {name for name, kind in CERTIFICATES.items() if kind.bound}
