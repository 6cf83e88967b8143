import numpy as np
import pytest

from certssb_core.results import store_ledger
from certssb_core.store.overlaps import survey
from certssb_core.store.store import Store


@pytest.fixture
def filled():
    """On a line: 0 plain; 1 overlaps it with another label (trim); 2 inside 0 (align); 3 far; 4 abstains."""
    with Store.in_memory(1) as store:
        entries = store.insert(
            np.array([[0.0], [1.5], [0.4], [9.0], [20.0]]),
            predictions=[0, 1, 1, 0, -1],
            radii=[1.0, 1.0, 0.9, 0.5, 0.0],
            sigmas=[0.25] * 5,
            sets=["clean"] * 4 + ["triggered"],
            indices=[7, 8, 9, 10, 3],
        )
        return store.balls(), store_ledger.table(entries, ("zero", "one"))


def test_one_row_per_insertion(filled):
    _, table = filled
    assert table["case"].tolist() == ["disjoint", "trimmed", "aligned", "disjoint", "none"]
    assert table["input"].tolist() == ["clean 7", "clean 8", "clean 9", "clean 10", "triggered 3"]
    assert table["answered"].tolist() == ["zero", "one", "zero", "zero", "–"]
    assert table["radius_after"].tolist() == pytest.approx([1.0, 0.5, 0.6, 0.5, 0.0])
    assert store_ledger.table([], ("zero",)).empty


def test_conflicts_before_and_none_after(filled):
    before = store_ledger.survey_store(*filled, after=False)
    # 0 and 1: d 1.5 < 2; 0 and 2: d 0.4 < 1.9; 1 and 2 have one label before.
    assert (before.pairs, before.conflicts) == (6, 2)
    assert store_ledger.survey_store(*filled, after=True).conflicts == 0
    listed = store_ledger.closest(before, filled[1])
    assert listed["gap"].tolist() == pytest.approx([-1.5, -0.5, 6.0, 7.2], abs=1e-6)
    assert listed.iloc[0][["first", "second"]].tolist() == ["clean 7", "clean 9"]


def test_a_pair_is_the_one_asked_for_the_deciding_one_or_the_nearest(filled):
    assert store_ledger.pair(*filled, 1).second["position"] == 0  # decided its trim
    assert store_ledger.pair(*filled, 1, 3).distance == pytest.approx(7.5)
    assert store_ledger.pair(*filled, 3).second["position"] == 1  # the only ball of another label
    assert store_ledger.pair(*filled, 4) is None  # abstained
    assert store_ledger.pair(*filled, 1, 1) is None
    assert store_ledger.pair(*filled, 1, 99) is None


def test_verdict_says_what_changed(filled):
    trimmed = store_ledger.pair(*filled, 1)
    assert trimmed.conflict_before
    assert "intersect by 0.500 (a conflict)" in store_ledger.verdict(trimmed)
    assert "after it they are 0.000 apart." in store_ledger.verdict(trimmed)
    aligned = store_ledger.pair(*filled, 2)
    assert store_ledger.verdict(aligned).endswith("with one label.")
    assert store_ledger.verdict(store_ledger.pair(*filled, 3, 0)).endswith("changed neither.")
    assert store_ledger.pair_table(aligned)["input"].tolist() == ["clean 9", "clean 7"]


def test_the_first_pair_shown_is_a_telling_one(filled):
    _, table = filled
    before = store_ledger.survey_store(*filled, after=False)
    assert store_ledger.most_telling(table, before) == 2
    quiet = table.assign(case="disjoint")
    assert store_ledger.most_telling(quiet, before) in (0, 2)  # the closest pair
    nothing = survey(np.zeros((0, 1)), np.zeros(0, int), np.zeros(0))
    assert store_ledger.most_telling(table[table["case"] == "none"], nothing) == 0


def test_the_nearest_ball_is_the_one_that_the_store_answers_with(filled):
    balls, table = filled
    with Store.in_memory(1) as store:
        columns = table["prediction"], table["radius_before"], np.full(5, 0.25)
        store.insert(np.array([[0.0], [1.5], [0.4], [9.0], [20.0]]), *columns, ["x"] * 5, range(5))
        for point in (-0.5, 0.3, 1.2, 9.4):
            first, answer = store_ledger.nearest_balls(balls, table, np.array([point])).iloc[0], store.query([point])
            assert (first["position"], -first["gap"]) == (answer.ball, pytest.approx(answer.radius))
        assert store.query([5.0]) is None
    outside = store_ledger.nearest_balls(balls, table, np.array([5.0]), count=3)
    assert outside["input"].tolist() == ["clean 8", "clean 10", "clean 7"]
    assert outside["gap"].tolist() == pytest.approx([3.0, 3.5, 4.0])  # 5 − 1.5 − 0.5, 9 − 5 − 0.5, 5 − 0 − 1


def test_of_many_balls_the_first_are_surveyed(filled, monkeypatch):
    monkeypatch.setattr(store_ledger, "SURVEYED", 2)
    before, after = (store_ledger.survey_store(*filled, after=after) for after in (False, True))
    assert (before.pairs, before.conflicts, after.conflicts) == (1, 1, 0)  # clean 7 and 8
