import numpy as np
import pytest

from certssb_core.errors import DataError
from certssb_core.sandbox import plane_data


@pytest.mark.parametrize("name", plane_data.DATASETS)
def test_drawn_data_plants_one_backdoor_amid_the_round(name):
    data = plane_data.DATASETS[name](3, 12)
    assert data.poisoned.sum() == plane_data.POISONED
    assert (data.train_labels[data.poisoned] == 1).all()
    assert data.attacker.tolist() == [False] * 12 + [True]
    assert np.linalg.norm(data.train[data.poisoned] - data.inputs[-1], axis=1).max() < 0.3
    honest = data.train[~data.poisoned]
    nearest = np.linalg.norm(honest - data.inputs[-1], axis=1).argmin()
    assert data.train_labels[nearest] == 0, "the place of the backdoor is a round point's"
    again = plane_data.DATASETS[name](3, 12)
    np.testing.assert_array_equal(data.train, again.train)
    assert not np.array_equal(data.train, plane_data.DATASETS[name](4, 12).train)


def test_points_are_read_as_they_are_written():
    points = plane_data.parse(" 0, 1 round;\n-0.5 2e-1 s ; 3 3 attacker;")
    assert points == [
        plane_data.Point(0, 1, "round"),
        plane_data.Point(-0.5, 0.2, "square"),
        plane_data.Point(3, 3, "attacker"),
    ]
    assert plane_data.parse("; ".join(map(str, points))) == points
    assert plane_data.parse("") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 round", "“1 round” is no point"),
        ("1 2 triangle", "one of round, square, attacker"),
        ("1 2 round; x y square", "“x y square”"),
        ("nan 2 round", "too far out"),
        ("99 2 round", "from -10 to 10"),
        (";".join(["0 0 round"] * 61), "61 points are too many"),
    ],
)
def test_what_is_no_point_is_quoted(text, words):
    with pytest.raises(DataError, match=words):
        plane_data.parse(text)


def test_own_points_need_both_labels():
    with pytest.raises(DataError, match="no round and no square"):
        plane_data.own([], 0)
    with pytest.raises(DataError, match="no square"):
        plane_data.own(plane_data.parse("0 0 round; 1 1 attacker"), 0)
    data = plane_data.own(plane_data.parse("0 0 round; 1 1 attacker; 2 2 square"), 0)
    assert data.inputs.tolist() == [[0, 0], [2, 2], [1, 1]]
    assert data.attacker.tolist() == [False, False, True]
    assert len(data.train) == 2 + plane_data.POISONED
