import pandas as pd

from certssb_core.figures.orders import spread


def test_shuffles_with_one_outcome_are_one_larger_point():
    table = pd.DataFrame(
        {
            "order": ["as they came", "shuffled", "shuffled", "shuffled"],
            "shuffle": [0, 0, 1, 2],
            "answered": [2.0, 1.5, 1.5000001, 1.9],
            "wrong": [0, 2, 2, 1],
        }
    )
    shuffled, given = spread(table).data
    assert (given.name, list(given.x), list(given.y)) == ("as they came", [2.0], [0])
    assert shuffled.name == "shuffled, 3 times"
    assert dict(zip(shuffled.x, shuffled.customdata, strict=True)) == {1.5: 2, 1.9: 1}
    assert shuffled.marker.size[0] > shuffled.marker.size[1]
