"""The store against a brute-force reading of the rules, its invariant, its file, and bad input."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from math import dist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certssb_core.errors import StoreError
from certssb_core.store.store import CASES, Answer, Store


def insert(store, inputs, *, first=0):
    """Insert ``(point, prediction, radius)`` triples in one call."""
    points, predictions, radii = zip(*inputs, strict=True)
    count = len(points)
    return store.insert(points, predictions, radii, [0.5] * count, ["test"] * count, range(first, first + count))


def brute_force(inputs):
    """The cases of docs/method.md §6 taken literally: (case, answer, radius, partner) per input, and the balls."""
    balls, results = [], []
    for position, (x, prediction, radius) in enumerate(inputs):
        edges = [(dist(x, centre) - r, ball, label) for ball, centre, label, r in balls]
        inside = [edge for edge in edges if edge[0] < 0]
        rivals = [edge for edge in edges if edge[2] != prediction and edge[0] < radius]
        friends = [edge for edge in edges if edge[2] == prediction and edge[0] < radius]
        if prediction == -1:
            gap, partner, label = min(inside, default=(0.0, None, -1))
            results.append(("none", label, -gap, partner))
            continue
        if any(label != prediction for _, _, label in inside):
            assert len({label for _, _, label in inside}) == 1
            gap, partner, label = min(inside)
            result = ("aligned", label, -gap, partner)
        elif rivals:
            result = ("trimmed", prediction, min(rivals)[0], min(rivals)[1])
        elif friends:
            result = ("same_label", prediction, radius, min(friends)[1])
        else:
            result = ("disjoint", prediction, radius, None)
        results.append(result)
        if result[2] > 0:
            balls.append((position, x, result[1], result[2]))
    return results, balls


def assert_is_brute_force(entries, inputs, *, tolerance):
    results, _ = brute_force(inputs)
    assert [(e.case, e.label, e.partner) for e in entries] == [(c, label, p) for c, label, _, p in results]
    np.testing.assert_allclose(
        [e.radius_after for e in entries],
        [radius for _, _, radius, _ in results],
        rtol=tolerance,
        atol=tolerance,
    )


def assert_invariant(store):
    balls = store.balls()
    centres = balls.centres.astype(np.float64)
    for i in range(len(balls.ids)):
        others = np.flatnonzero(balls.labels != balls.labels[i])
        distances = np.sqrt(np.sum((centres[others] - centres[i]) ** 2, axis=1))
        assert np.all(balls.radii[i] + balls.radii[others] <= distances)  # to the last bit


def triple(coordinate, dim, radius):
    points = st.tuples(*[coordinate] * dim)
    decided = st.tuples(points, st.integers(0, 2), radius)
    return st.one_of(decided, decided, decided, st.tuples(points, st.just(-1), st.just(0.0)))


steady = settings(deadline=None, derandomize=True)
quarters = st.integers(-24, 24).map(lambda k: k / 4)
on_a_line = st.lists(triple(quarters, 1, st.integers(0, 16).map(lambda k: k / 4)), min_size=1, max_size=25)
anywhere = st.lists(
    triple(st.floats(-3, 3, width=32), 2, st.floats(0, 4)) | triple(st.integers(-3, 3), 2, st.floats(0, 4)),
    min_size=1,
    max_size=25,
)


def scattered(count, dim, *, spread=1.0, offset=0.0, seed=0):
    """Continuous inputs, so that no two decisions tie, with some points repeated closely."""
    rng = np.random.default_rng(seed)
    points = offset + spread * rng.normal(size=(count, dim))
    points[count // 2 :] = points[: count - count // 2] + 0.3 * spread * rng.normal(size=(count - count // 2, dim))
    predictions = rng.integers(-1, 4, count)
    radii = np.where(predictions == -1, 0.0, rng.uniform(0, 1.2 * spread * np.sqrt(dim), count))
    points = points.astype(np.float32).astype(float)
    return [(tuple(p), int(c), float(r)) for p, c, r in zip(points, predictions, radii, strict=True)]


@given(on_a_line)
@steady
def test_every_case_is_the_rules_taken_literally(inputs):
    """On a line of quarters arithmetic is exact, also for touching, concentric and empty balls."""
    with Store.in_memory(1) as store:
        assert_is_brute_force(insert(store, inputs), inputs, tolerance=0)


@pytest.mark.parametrize(
    ("count", "dim", "spread", "offset"),
    [(700, 3, 1.0, 0.0), (300, 50, 1.0, 0.0), (300, 200, 0.002, 1e4), (300, 2, 100.0, 0.0)],
    ids=["several blocks", "many dimensions", "far from the origin", "wide"],
)
def test_many_scattered_inputs_are_the_rules_taken_literally(count, dim, spread, offset):
    inputs = scattered(count, dim, spread=spread, offset=offset)
    with Store.in_memory(dim) as store:
        entries = insert(store, inputs)
        assert_is_brute_force(entries, inputs, tolerance=1e-12 * (1 + spread))
        assert {entry.case for entry in entries} == set(CASES)
        assert_invariant(store)


@given(anywhere, st.lists(st.integers(1, 6)))
@steady
def test_any_sequence_in_any_batches_keeps_the_invariant_and_gives_the_same(inputs, sizes):
    with Store.in_memory(2) as whole, Store.in_memory(2) as single, Store.in_memory(2) as batched:
        together = insert(whole, inputs)
        one_by_one = [insert(single, [each], first=i)[0] for i, each in enumerate(inputs)]
        cuts = [0, *np.minimum(np.cumsum([0, *sizes]), len(inputs)).tolist(), len(inputs)]
        parts = [insert(batched, inputs[a:b], first=a) for a, b in pairwise(cuts) if a < b]
        assert together == one_by_one == [entry for part in parts for entry in part] == whole.ledger()
        assert_invariant(whole)
        assert len(whole) == sum(entry.stored for entry in together)


@pytest.mark.parametrize("seed", range(30))
def test_balls_that_touch_in_one_point_do_not_intersect_after_rounding(seed):
    """A ball trimmed to touch the first, then one aligned inside the first to touch in the same point."""
    v = np.random.default_rng(seed).integers(1, 100, 2).astype(float)
    reach = 1.7 * np.linalg.norm(v)
    with Store.in_memory(2) as store:
        entries = insert(store, [((0, 0), 0, reach), (3 * v, 1, 9 * reach), (v, 1, reach)])
        assert [entry.case for entry in entries] == ["disjoint", "trimmed", "aligned"]
        assert_invariant(store)


def test_batches_across_blocks_give_the_same():
    inputs = scattered(600, 8, seed=1)
    with Store.in_memory(8) as whole, Store.in_memory(8) as single:
        assert insert(whole, inputs) == [insert(single, [each], first=i)[0] for i, each in enumerate(inputs)]


@given(anywhere, anywhere, st.lists(st.tuples(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32))))
@steady
def test_a_query_is_the_deepest_ball_and_its_label_stays_for_ever(before, after, points):
    with Store.in_memory(2) as store:
        entries = insert(store, before)
        points = points + [x for x, _, _ in before]
        answers = [store.query(x) for x in points]
        balls = store.balls()
        for x, answer in zip(points, answers, strict=True):
            depths = balls.radii - np.array([dist(x, centre) for centre in balls.centres.tolist()])
            depth = depths.max(initial=-1.0)
            if abs(depth) > 1e-12:
                assert (answer is not None) == (depth > 0)
            if answer is not None:
                assert answer.radius == pytest.approx(depth, rel=1e-9, abs=1e-12)
                assert answer.label == balls.labels[balls.ids == answer.ball][0]
        for entry, answer in zip(entries, answers[len(points) - len(before) :], strict=True):
            if entry.stored:
                assert answer.label == entry.label
                assert answer.radius >= entry.radius_after - 1e-12, "but for rounding, which goes against the claim"
        insert(store, after, first=len(before))
        for x, answer in zip(points, answers, strict=True):
            later = store.query(x)
            assert answer is None or (later.label == answer.label and later.radius >= answer.radius - 1e-12)


def test_each_case_by_name():
    inputs = [
        ((0.0, 0.0), 0, 1.0),  # nothing there
        ((3.0, 0.0), 0, 2.0),  # touches the first from outside: open balls do not intersect
        ((3.0, 4.0), 0, 2.5),  # intersects its own kind only
        ((0.0, 4.0), 1, 9.0),  # reaches into all, cut back to the nearest: 3 - 2.5
        ((0.5, 0.0), 1, 0.1),  # inside the first
        ((0.0, 0.25), -1, 0.0),  # abstains inside the first
        ((50.0, 0.0), -1, 0.0),  # abstains outside all
    ]
    with Store.in_memory(2) as store:
        entries = insert(store, inputs)
        assert [(e.case, e.label, e.radius_after, e.partner, e.distance) for e in entries] == [
            ("disjoint", 0, 1.0, None, None),
            ("disjoint", 0, 2.0, None, None),
            ("same_label", 0, 2.5, 1, 4.0),
            ("trimmed", 1, 0.5, 2, 3.0),
            ("aligned", 0, 0.5, 0, 0.5),
            ("none", 0, 0.75, 0, 0.25),
            ("none", -1, 0.0, None, None),
        ]


def test_order_matters():
    a, b = ((0.0,), 0, 1.0), ((0.5,), 1, 1.0)
    labels = {}
    for name, inputs in {"a first": [a, b], "b first": [b, a]}.items():
        with Store.in_memory(1) as store:
            labels[name] = [entry.label for entry in insert(store, inputs)]
    assert labels == {"a first": [0, 0], "b first": [1, 1]}


def test_reopening_gives_the_same_answers(tmp_path):
    inputs, points = scattered(80, 4, seed=2), np.random.default_rng(6).normal(size=(100, 4))
    with Store.open(tmp_path / "store.sqlite") as store:
        entries = insert(store, inputs)
        balls, answers = store.balls(), [store.query(x) for x in points]
    with Store.open(tmp_path / "store.sqlite") as store:
        assert store.ledger() == entries
        assert [store.query(x) for x in points] == answers
        again = store.balls()
        assert again.sets == balls.sets == ("test",) * len(store)
        for name in ("ids", "centres", "radii", "labels", "sigmas", "indices"):
            np.testing.assert_array_equal(getattr(again, name), getattr(balls, name))
        more = scattered(40, 4, seed=3)
        assert_is_brute_force(entries + insert(store, more, first=80), inputs + more, tolerance=1e-12)
    assert balls.centres.dtype == np.float32
    np.testing.assert_array_equal(balls.ids, [entry.position for entry in entries if entry.stored])
    np.testing.assert_array_equal(balls.indices, balls.ids)


def test_two_writers_see_each_other(tmp_path):
    inputs = scattered(60, 3, seed=4)
    with Store.open(tmp_path / "s") as one, Store.open(tmp_path / "s") as two:
        entries = [insert((one, two)[i % 2], [each], first=i)[0] for i, each in enumerate(inputs)]
        assert_is_brute_force(entries, inputs, tolerance=1e-12)
        assert len(one) == len(two)
        assert one.query(inputs[-1][0]) == two.query(inputs[-1][0])


def test_writers_at_once_keep_the_invariant(tmp_path):
    def write(seed):
        inputs = scattered(60, 3, seed=seed)
        with Store.open(tmp_path / "s") as store:
            for start in range(0, 60, 5):
                insert(store, inputs[start : start + 5], first=start)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    with Store.open(tmp_path / "s") as store:
        assert [entry.position for entry in store.ledger()] == list(range(180))
        assert_invariant(store)


def test_two_may_make_one_store_at_the_same_moment(tmp_path, monkeypatch):
    """SQLite does not wait for a writer where a log is begun: a store waits for it by a transaction of its own."""
    first = sqlite3.connect(tmp_path / "s", isolation_level=None)
    first.execute("BEGIN IMMEDIATE")
    waited = []

    class Second(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement == "BEGIN IMMEDIATE" and first.in_transaction:
                waited.append(statement)
                first.execute("ROLLBACK")
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Second))
    with Store.open(tmp_path / "s") as store:
        insert(store, [((0.0,), 0, 1.0)])
        assert len(store) == 1
    assert len(waited) == 1
    first.close()


def test_a_failing_write_leaves_nothing_behind(tmp_path, monkeypatch):
    with Store.open(tmp_path / "s") as store:
        insert(store, [((0.0,), 0, 1.0)])
        write = Store._write

        def full(self, entry, sigma, centre):
            if entry.position == 2:
                raise sqlite3.OperationalError("database or disk is full")
            write(self, entry, sigma, centre)

        with monkeypatch.context() as patch:
            patch.setattr(Store, "_write", full)
            with pytest.raises(StoreError, match=r"s cannot be used.*disk is full"):
                insert(store, [((9.0,), 1, 1.0), ((20.0,), 2, 1.0)])
        assert len(store) == len(store.ledger()) == 1
        assert store.query([9.0]) is None
        assert insert(store, [((9.0,), 3, 1.0)])[0].position == 1
        assert store.query([9.5]) == Answer(label=3, radius=0.5, ball=1)


def test_an_empty_store_answers_nothing(tmp_path):
    with Store.open(tmp_path / "s") as store:
        assert store.query([1.0, 2.0]) is None
        assert len(store) == len(store.ledger()) == len(store.balls().ids) == 0
        insert(store, [((0.0, 0.0, 0.0), 0, 1.0)])  # a query does not fix the dimension
    with Store.in_memory(2) as store:
        assert store.insert(np.empty((0, 2)), [], [], [], [], []) == []
        assert store.query([1.0, 2.0]) is None


GOOD = {
    "centres": [[0.0, 0.0]],
    "predictions": [0],
    "radii": [1.0],
    "sigmas": [0.5],
    "sets": ["test"],
    "indices": [0],
}


@pytest.mark.parametrize(
    ("change", "offending"),
    [
        ({"centres": [[0.0, 0.0, 0.0]]}, "dimension 2, got 3"),
        ({"centres": [0.0, 0.0]}, r"\(2,\)"),
        ({"centres": [[0.0, np.nan]]}, "nan"),
        ({"centres": [[0.0, -np.inf]]}, "-inf"),
        ({"centres": [[1e39, 0.0]]}, "inf"),
        ({"predictions": [-2]}, "predictions.*-2"),
        ({"predictions": [0.5]}, r"predictions.*0\.5"),
        ({"radii": [-0.25]}, r"radii.*-0\.25"),
        ({"radii": [np.nan]}, "radii.*nan"),
        ({"radii": [np.inf]}, "radii.*inf"),
        ({"radii": [1.0, 2.0]}, r"radii.*\(2,\)"),
        ({"sigmas": [0.0]}, r"sigmas.*0\.0"),
        ({"indices": [-1]}, "indices.*-1"),
        ({"sets": []}, "sets.*got 0"),
        ({"predictions": [-1]}, r"abstaining.*1\.0"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(change, offending):
    with Store.in_memory(2) as store:
        store.insert(**GOOD)
        with pytest.raises(ValueError, match=offending):
            store.insert(**(GOOD | change))
        assert len(store.ledger()) == 1


@pytest.mark.parametrize(("x", "offending"), [([1.0], "got 1"), ([0.0, np.nan], "nan"), ([[0.0, 0.0]], r"\(1, 1, 2\)")])
def test_a_bad_query_is_named(x, offending):
    with Store.in_memory(2) as store, pytest.raises(ValueError, match=offending):
        store.query(x)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        insert(store, scattered(60, 784, seed=5))
    return path


def run_sql(path, statement, *values):
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


def test_a_torn_file_is_refused(written):
    written.write_bytes(written.read_bytes()[: written.stat().st_size // 2])
    with pytest.raises(StoreError, match=r"store\.sqlite.*malformed"):
        Store.open(written)


@pytest.mark.parametrize(
    ("statement", "values", "offending"),
    [
        (
            "UPDATE ledger SET centre = ? WHERE centre IS NOT NULL AND position > 10",
            [b"short"],
            "damaged.*5 bytes",
        ),
        ("UPDATE ledger SET centre = ? WHERE centre IS NOT NULL", [b"\xff" * 3136], "damaged.*3136 bytes"),
        ("UPDATE ledger SET radius_after = ? WHERE centre IS NOT NULL", [-2.5], r"damaged.*-2\.5"),
        ("PRAGMA user_version = 7", [], "version 7"),
        ("DROP TABLE ledger", [], "no such table"),
    ],
)
def test_a_tampered_file_is_refused(written, statement, values, offending):
    run_sql(written, statement, *values)
    with pytest.raises(StoreError, match=offending):
        Store.open(written).ledger()


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "noise").write_bytes(b"not a database, by any stretch" * 100)
    with pytest.raises(StoreError, match=r"noise.*not a database"):
        Store.open(tmp_path / "noise")
    run_sql(tmp_path / "other", "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match=r"other is a database, but not a store"):
        Store.open(tmp_path / "other")
    with pytest.raises(StoreError, match="unable to open"):
        Store.open(tmp_path / "missing folder" / "store")
    with Store.open(tmp_path / "closed") as store:
        pass
    with pytest.raises(StoreError, match="closed"):
        store.query([0.0])
