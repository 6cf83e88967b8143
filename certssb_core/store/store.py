"""The store of certified balls, on disk (Cert-SSBD, arXiv 2504.21730; memory of arXiv 2012.04351).

An ordered set of open balls ``(centre, radius, label, sigma)`` with one invariant: no two balls of different
label intersect. A point inside a ball gets that ball's label, for ever. This is what makes sample-specific
noise levels consistent, and it holds because the store is durable and consulted first.

Notes:
    The published memory script copies the whole memory at every insertion, and its conflict branch fails.
    Here a ball costs one row, and what is decided does not depend on how inputs are batched.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.errors import StoreError
from certssb_core.store.answer import Answer, answer
from certssb_core.store.ball_index import BallIndex
from certssb_core.store.centre_bytes import pack, unpack
from certssb_core.store.storage_update import CASES, Entry, Key, update

__all__ = ["CASES", "Answer", "Balls", "Entry", "Key", "Store", "StoreError"]

_APPLICATION, PLAIN_FLOATS, _VERSION = 0x42414C4C, 1, 2
"""Mark of a store, the version whose centres are plain float32, and today's."""
_MAKERS = 100
"""The most that may make one store at the same moment."""
_LEDGER = """CREATE TABLE ledger (
    position INTEGER PRIMARY KEY, set_name TEXT NOT NULL, set_index INTEGER NOT NULL,
    case_name TEXT NOT NULL, prediction INTEGER NOT NULL, label INTEGER NOT NULL,
    radius_before REAL NOT NULL, radius_after REAL NOT NULL, partner INTEGER, distance REAL,
    sigma REAL NOT NULL, centre BLOB
)"""  # a row with a centre is a ball, and its position the ball's id


@dataclass(frozen=True)
class Balls:
    """All ``n`` stored balls in order of arrival: ``centres`` ``(n, d)`` float32, the rest ``n`` entries."""

    ids: np.ndarray
    centres: np.ndarray
    radii: np.ndarray
    labels: np.ndarray
    sigmas: np.ndarray
    sets: tuple[str, ...]
    indices: np.ndarray

    def before(self, position: int) -> "Balls":
        """The balls of the inputs that came before ``position`` in the order of arrival."""
        kept = self.ids < position
        columns = {name: column[kept] for name, column in vars(self).items() if name != "sets"}
        return Balls(**columns, sets=tuple(name for name, keep in zip(self.sets, kept, strict=True) if keep))

    def nearest(self, point: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the ``count`` balls whose edges are nearest to ``point`` ``(d,)``, those that hold it first.

        Returns:
            Their rows ``(k,)`` in order, and the distances of their centres ``(k,)`` float64, L2 pixel units.
        """
        point = np.asarray(point, np.float32).astype(np.float64).ravel()
        centres = self.centres.astype(np.float64).reshape(-1, point.size)  # an empty store knows no dimension
        distances = np.linalg.norm(centres - point, axis=1)
        rows = np.argsort(distances - self.radii, kind="stable")[:count]
        return rows, distances[rows]


class Store:
    """A store on disk or in memory, for use from one thread; any number of stores may share one file.

    Points are flat float32 vectors; anything finer is rounded on entry, stored or queried alike.
    """

    def __init__(self, path: str, *, dim: int | None = None, read_only: bool = False) -> None:
        self.path = path
        self._index = None if dim is None else BallIndex(dim)
        address = _read_only_address(Path(path)) if read_only else path
        with self._plainly():
            self._connection = sqlite3.connect(address, timeout=60, isolation_level=None, uri=read_only)
        try:
            if not read_only:
                self._prepare()
            self._check()
            self._catch_up()
        except StoreError:
            self.close()
            raise

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the store at ``path``, made if missing; its dimension is that of what is first inserted.

        Raises:
            StoreError: the file is damaged, is no store, or cannot be written.
        """
        return cls(str(path))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Open the store at ``path`` to look at: nothing is written, not even beside it, and none is made.

        Raises:
            StoreError: the file is missing, damaged or no store.
        """
        return cls(str(path), read_only=True)

    @classmethod
    def in_memory(cls, dim: int) -> Self:
        """An empty store of ``dim``-dimensional balls that lives as long as the object."""
        return cls(":memory:", dim=dim)

    def insert(
        self,
        centres: ArrayLike,
        predictions: ArrayLike,
        radii: ArrayLike,
        sigmas: ArrayLike,
        sets: Sequence[str],
        indices: ArrayLike,
    ) -> list[Entry]:
        """Certify ``n`` inputs in the order given; all of them enter the ledger, or none.

        Args:
            centres: ``(n, d)`` flat inputs, pixels.
            predictions: ``(n,)`` predicted classes, -1 for ABSTAIN.
            radii: ``(n,)`` test radii in L2 pixel units, 0 where it abstains.
            sigmas: ``(n,)`` noise levels in pixel units, > 0.
            sets: ``n`` names of the set each input comes from.
            indices: ``(n,)`` index of each input in its set.

        Returns:
            The ``n`` new entries of the ledger.

        Raises:
            ValueError: an argument is out of range or of the wrong shape.
            StoreError: the file cannot be written.
        """
        centres = _points(centres)
        predictions = _column("predictions", predictions, len(centres), np.int64, lowest=-1)
        radii = _column("radii", radii, len(centres), np.float64, lowest=0)
        sigmas = _column("sigmas", sigmas, len(centres), np.float64, lowest=np.finfo(np.float64).tiny)
        indices = _column("indices", indices, len(centres), np.int64, lowest=0)
        if len(sets) != len(centres):
            raise ValueError(f"sets must have {len(centres)} entries, got {len(sets)}")
        if (promised := radii[predictions == -1].max(initial=0)) > 0:
            raise ValueError(f"an abstaining input has radius 0, got {promised}")
        with self._transaction():
            self._catch_up()
            index = self._index_for(centres)
            [[position]] = self._rows("SELECT COALESCE(MAX(position) + 1, 0) FROM ledger")
            keys = (Key(str(name), int(number)) for name, number in zip(sets, indices, strict=True))
            entries = list(update(index, position, keys, predictions, radii, centres))
            for entry, sigma, centre in zip(entries, sigmas.tolist(), centres, strict=True):
                self._write(entry, sigma, centre)
        return entries

    def query(self, x: ArrayLike) -> Answer | None:
        """Answer at ``x``, ``(d,)``, by the ball it lies deepest in; None outside all balls."""
        found = self.answer(x)
        return None if found.ball is None else found

    def answer(self, x: ArrayLike, *, prediction: int = -1, radius: float = 0.0) -> Answer:
        """Answer at ``x``, ``(d,)``, by the ball it lies deepest in, else by ``prediction``; its ``radius`` ends where
        a ball of another label begins (:mod:`certssb_core.store.answer`)."""
        point = _points(np.asarray(x)[None])
        self._catch_up()
        index = BallIndex(point.shape[1]) if self._index is None else self._index_for(point)
        return answer(index, point[0], prediction=prediction, radius=radius)

    def balls(self) -> Balls:
        """All stored balls, in order of arrival."""
        index = self._index if len(self) and self._index is not None else BallIndex(0)
        rows = self._rows(
            "SELECT sigma, set_name, set_index FROM ledger WHERE centre IS NOT NULL "
            f"ORDER BY position LIMIT {len(index)}"  # another writer may have added balls just now
        )
        return Balls(
            ids=index.ids.copy(),
            centres=index.centres,
            radii=index.radii.copy(),
            labels=index.labels.copy(),
            sigmas=np.array([sigma for sigma, _, _ in rows], np.float64),
            sets=tuple(name for _, name, _ in rows),
            indices=np.array([number for _, _, number in rows], np.int64),
        )

    def ledger(self) -> list[Entry]:
        """One entry per input, in order of arrival."""
        rows = self._rows(
            "SELECT position, set_name, set_index, case_name, prediction, label, "
            "radius_before, radius_after, partner, distance FROM ledger ORDER BY position"
        )
        return [Entry(position, Key(name, number), *rest) for position, name, number, *rest in rows]

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._connection.close()

    def __len__(self) -> int:
        """Number of stored balls."""
        self._catch_up()
        return len(self._index) if self._index else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _prepare(self) -> None:
        """Make an empty file a store."""
        self._write_ahead()
        with self._transaction():
            unmarked = self._rows("PRAGMA application_id") == [(0,)]
            if unmarked and not self._rows("SELECT 1 FROM sqlite_master"):
                self._rows(_LEDGER)
                self._rows(f"PRAGMA application_id = {_APPLICATION}")
                self._rows(f"PRAGMA user_version = {_VERSION}")

    def _write_ahead(self) -> None:
        """Write to a log first, so that readers need not wait for writers.

        SQLite waits for other writers at the beginning of a transaction, but not here.
        """
        with self._plainly():
            for left in reversed(range(_MAKERS)):
                try:
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                        raise
                with self._transaction():
                    pass  # it has waited for the one that makes this store just now

    def _check(self) -> None:
        """Check that the file is a whole store."""
        [[application]] = self._rows("PRAGMA application_id")
        [[version]] = self._rows("PRAGMA user_version")
        if application != _APPLICATION:
            raise StoreError(f"{self.path} is a database, but not a store of certified balls")
        if version not in (PLAIN_FLOATS, _VERSION):
            raise StoreError(f"{self.path} has version {version}, this program reads up to {_VERSION}")
        self._packed = version == _VERSION
        [[state]] = self._rows("PRAGMA quick_check(1)")
        if state != "ok":
            raise StoreError(f"{self.path} is damaged: {state}")

    def _catch_up(self) -> None:
        """Read the balls that other stores appended to the file since the last look."""
        last = int(self._index.ids[-1]) if self._index else -1  # an empty index counts as none
        for ball, label, radius, blob in self._stream(
            "SELECT position, label, radius_after, centre FROM ledger "
            f"WHERE position > {last} AND centre IS NOT NULL ORDER BY position"
        ):
            centre = self._read_centre(blob, ball)
            self._index = self._index or BallIndex(len(centre))
            whole = len(centre) == self._index.dim and np.isfinite(centre).all()
            if not whole or not 0 < radius < np.inf:
                raise StoreError(f"{self.path} is damaged: ball {ball}, {len(blob)} bytes, radius {radius}")
            self._index.append(ball, centre, label, radius)

    def _read_centre(self, blob: bytes, ball: int) -> np.ndarray:
        try:
            return unpack(blob) if self._packed else np.frombuffer(blob, np.float32)
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: ball {ball}, {error}") from None

    def _index_for(self, points: np.ndarray) -> BallIndex:
        if self._index is None:
            self._index = BallIndex(points.shape[1])
        if points.shape[1] != self._index.dim:
            raise ValueError(f"this store holds points of dimension {self._index.dim}, got {points.shape[1]}")
        return self._index

    def _write(self, entry: Entry, sigma: float, centre: np.ndarray) -> None:
        self._connection.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.position,
                *entry.key,
                entry.case,
                entry.prediction,
                entry.label,
                entry.radius_before,
                entry.radius_after,
                entry.partner,
                entry.distance,
                sigma,
                (pack(centre) if self._packed else centre.tobytes()) if entry.stored else None,
            ),
        )

    def _rows(self, statement: str) -> list[tuple]:
        return list(self._stream(statement))

    def _stream(self, statement: str) -> Iterator[tuple]:
        """Read row by row: all centres at once would lie in memory twice."""
        with self._plainly():
            yield from self._connection.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One all-or-nothing write that shuts other writers out from its first read on."""
        with self._plainly():
            self._connection.execute("BEGIN IMMEDIATE")
            count = len(self._index) if self._index else 0
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._index:
                    self._index.truncate(count)
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be used as a store: {error}") from error


def _read_only_address(path: Path) -> str:
    """A database that nobody has open is read as a file that does not change: SQLite then makes no file beside it."""
    log = path.with_name(f"{path.name}-wal")
    still = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return f"{path.resolve().as_uri()}?mode=ro{still}"


def _points(values: ArrayLike) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows is refused below
        points = np.ascontiguousarray(values, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"points must be flat vectors, (n, d) together, got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"points must be finite in float32, got {points[~np.isfinite(points)][0]}")
    return points


def _column(name: str, values: ArrayLike, count: int, dtype: type, *, lowest: float) -> np.ndarray:
    """``(count,)`` finite numbers of ``dtype``, each at least ``lowest``."""
    values = np.asarray(values)
    if values.shape != (count,):
        raise ValueError(f"{name} must have shape {(count,)}, got {values.shape}")
    with np.errstate(invalid="ignore"):  # NaN as an integer is refused below
        column: np.ndarray = values.astype(dtype)
    wrong = ~(np.isfinite(values) & (values >= lowest) & (column == values))
    if wrong.any():
        raise ValueError(f"{name} must be {dtype.__name__} of at least {lowest}, got {values[wrong][0]}")
    return column
