import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from certssb_core.results import conflicts, store_ledger
from certssb_core.store.overlaps import survey
from certssb_core.store.store import Store

CLASSES = ("zero", "one", "two")


def filled(count, seed):
    generator = np.random.default_rng(seed)
    centres = generator.uniform(0, 4, (count, 3)).astype(np.float32)
    labels, radii = generator.integers(-1, 3, count), generator.uniform(0.1, 0.6, count)
    with Store.in_memory(3) as store:
        entries = store.insert(
            centres, labels, np.where(labels < 0, 0, radii), np.ones(count), ["x"] * count, np.arange(count)
        )
        return store.balls(), entries


@pytest.mark.parametrize("seed", range(4))
def test_at_factor_one_the_store_comes_again(seed):
    balls, entries = filled(60, seed)
    again, ledger = conflicts.stretched(balls, entries, 1.0)
    np.testing.assert_array_equal(again.ids, balls.ids)
    np.testing.assert_allclose(again.radii, balls.radii, rtol=1e-12)
    np.testing.assert_array_equal(again.labels, balls.labels)
    stored = {entry.position: entry for entry in entries if entry.stored}
    assert {entry.position for entry in ledger} == set(stored)
    for entry in ledger:
        assert (entry.case, entry.partner) == (stored[entry.position].case, stored[entry.position].partner)


@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_stretched_claims_never_end_in_a_contradiction(factor):
    """Every pair of balls, by brute force: those of different label are apart."""
    balls, entries = filled(60, 0)
    after, ledger = conflicts.stretched(balls, entries, factor)
    apart = np.linalg.norm(after.centres[:, None].astype(float) - after.centres[None], axis=2)
    rivals = after.labels[:, None] != after.labels[None]
    assert (apart >= after.radii[:, None] + after.radii[None] - 1e-9)[rivals].all()
    claimed = {entry.position: entry.radius_before for entry in entries}
    assert all(entry.radius_before == pytest.approx(factor * claimed[entry.position]) for entry in ledger)
    table = store_ledger.table(ledger, CLASSES)
    found = conflicts.conflicts(table)
    assert found
    for position in found:
        two = store_ledger.pair(after, table, position)
        assert two.first["position"] == position > two.second["position"]


def test_more_members_claim_more_as_unanimous_votes_do_by_hand():
    """Of M unanimous votes the margin is Φ⁻¹(a^(1/M)); a follows from the margin of the first M, here 200."""
    balls, entries = filled(60, 0)
    stored = [entry for entry in entries if entry.stored]
    votes = np.zeros((len(entries), 3), np.int64)
    votes[np.arange(len(entries)), [max(entry.prediction, 0) for entry in entries]] = 200
    table = pd.DataFrame({"set": "x", "index": np.arange(len(entries)), "sigma": 1.0})
    table = table.assign(**{f"votes_{label}": votes[:, label] for label in range(3)})

    def claimed(times: int, shift: int = 0) -> np.ndarray:
        shown = table.assign(index=table["index"] + shift)
        _, ledger = conflicts.extrapolated(balls, entries, shown, times=times, bound="clopper-pearson", alpha=0.001)
        return np.array([entry.radius_before for entry in ledger])

    own = np.array([entry.radius_before for entry in stored])
    np.testing.assert_array_equal(claimed(1), own)
    margins = [claimed(times) for times in (10, 100)]
    assert (np.ptp(margins, axis=1) < 1e-12).all(), "all votes are alike, and beyond every claim made up here"
    first, second = (one[0] for one in margins)
    assert second == pytest.approx(norm.ppf(norm.cdf(first) ** (2_000 / 20_000)), rel=1e-9)
    np.testing.assert_array_equal(claimed(10, shift=1000), own)  # of inputs that are not there


def test_the_factor_at_which_the_first_two_balls_meet():
    claims = survey(np.array([[0.0], [4.0], [10.0]]), np.array([0, 1, 0]), np.array([1.0, 1.0, 1.0]))
    assert conflicts.meeting_factor(claims) == pytest.approx(2.0)
    assert conflicts.meeting_factor(survey(np.zeros((2, 1)), np.array([1, 1]), np.ones(2))) is None
    assert conflicts.meeting_factor(survey(np.empty((0, 1)), np.empty(0), np.empty(0))) is None


def test_each_case_is_told_by_its_numbers():
    with Store.in_memory(1) as store:
        columns = [[0.0], [1.5], [0.4], [0.1], [9.0], [0.2]], [0, 1, 1, 0, 2, -1], [1.0, 1.0, 0.9, 0.5, 0.5, 0.0]
        entries = store.insert(np.array(columns[0]), columns[1], columns[2], [1.0] * 6, ["x"] * 6, range(6))
    table = store_ledger.table(entries, CLASSES)

    def told(position):
        partner = table["partner"].iloc[position]
        return conflicts.in_words(table.iloc[position], None if partner is store_ledger.pd.NA else table.iloc[partner])

    assert "stored as it is" in told(0)
    assert "Ball 0 (zero) begins at 0.500" in told(1)
    assert "inside ball 0 (zero)" in told(2)
    assert "answered zero, within 0.600" in told(2)
    assert "only balls of that answer" in told(3)
    assert "No stored ball comes so near" in told(4)
    assert told(5) == "The members abstain, so nothing is stored. A stored ball holds the image and answers zero."
