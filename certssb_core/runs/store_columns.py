"""A store's ledger as plain arrays, exact to the bit, and back: how a capsule carries it, how verification reads it.

One entry per insertion, in order of arrival: ``position, index, prediction, label, partner`` int64 (partner -1
for none), ``set, case, stored`` uint8 (places in :data:`SETS` and :data:`CASES`; 1 for a ball),
``radius_before, radius_after, distance, sigma`` float64 (distance NaN for none), and ``centres`` ``(balls, d)``
float32 of the stored ones.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from certssb_core.runs.inputs import SETS
from certssb_core.store.centre_bytes import pack, unpack
from certssb_core.store.store import CASES, PLAIN_FLOATS, Store

_WHOLE = ("position", "index", "prediction", "label", "partner")
_REAL = ("radius_before", "radius_after", "distance", "sigma")
_SMALL = ("set", "case", "stored")
COLUMNS = (*_WHOLE, *_REAL, *_SMALL, "centres")


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of a store's file, read without changing a byte of it.

    Raises:
        ValueError: the file is missing, damaged or no store; the message says so.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            [[version]] = connection.execute("PRAGMA user_version")
            rows = connection.execute(
                "SELECT position, set_index, prediction, label, COALESCE(partner, -1), radius_before, radius_after, "
                "distance, sigma, set_name, case_name, centre FROM ledger ORDER BY position"
            ).fetchall()
        fields = list(zip(*rows, strict=True)) or [()] * 12
        columns = {name: np.array(fields[at], np.int64) for at, name in enumerate(_WHOLE)}
        columns |= {name: np.array(fields[5 + at], np.float64) for at, name in enumerate(_REAL)}
        columns["set"] = np.array([SETS.index(name) for name in fields[9]], np.uint8)
        columns["case"] = np.array([CASES.index(name) for name in fields[10]], np.uint8)
        columns["stored"] = np.array([centre is not None for centre in fields[11]], np.uint8)
        floats = partial(np.frombuffer, dtype=np.float32) if version == PLAIN_FLOATS else unpack
        centres = [floats(centre) for centre in fields[11] if centre is not None]
        columns["centres"] = np.stack(centres) if centres else np.empty((0, 1), np.float32)
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} is missing or damaged ({error})") from None
    return columns


def check(columns: dict[str, np.ndarray]) -> None:
    """Refuse columns that no store could have written.

    Raises:
        ValueError: what is wrong, in words.
    """
    if set(columns) != set(COLUMNS):
        raise ValueError(f"the ledger's columns must be {', '.join(COLUMNS)}")
    count = len(columns["position"])
    for name in COLUMNS[:-1]:
        wanted = np.int64 if name in _WHOLE else np.float64 if name in _REAL else np.uint8
        if columns[name].dtype != wanted or columns[name].shape != (count,):
            raise ValueError(f"the ledger's column {name} must be {count} values of {np.dtype(wanted)}")
    centres, stored = columns["centres"], columns["stored"]
    if centres.dtype != np.float32 or centres.ndim != 2 or len(centres) != np.count_nonzero(stored):
        raise ValueError("the ledger's centres must be one float32 vector per stored ball")
    if not (columns["set"] < len(SETS)).all() or not (columns["case"] < len(CASES)).all() or not (stored <= 1).all():
        raise ValueError("the ledger names a set or a case that does not exist")
    finite = (centres, columns["radius_before"], columns["radius_after"], columns["sigma"])
    if not all(np.isfinite(values).all() for values in finite) or (np.diff(columns["position"]) <= 0).any():
        raise ValueError("the ledger holds numbers that are not finite, or is out of order")


def restore(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write a new store that holds exactly these columns; nothing is decided anew.

    Raises:
        ValueError: the columns are not those of a store.
    """
    check(columns)
    Store.open(path).close()
    centres = iter(columns["centres"])
    values = zip(*(columns[name].tolist() for name in COLUMNS[:-1]), strict=True)
    rows = [dict(zip(COLUMNS[:-1], row, strict=True)) for row in values]
    for row in rows:
        row |= {
            "set": SETS[row["set"]],
            "case": CASES[row["case"]],
            "partner": None if row["partner"] < 0 else row["partner"],
            "distance": None if np.isnan(row["distance"]) else row["distance"],
            "centre": pack(next(centres)) if row["stored"] else None,
        }
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO ledger VALUES (:position, :set, :index, :case, :prediction, :label, :radius_before, "
            ":radius_after, :partner, :distance, :sigma, :centre)",
            rows,
        )


def digest(columns: dict[str, np.ndarray]) -> str:
    """sha256 over all columns, whatever file they came from."""
    whole = hashlib.sha256()
    for name in COLUMNS:
        whole.update(f"{name}{columns[name].shape}".encode())
        whole.update(np.ascontiguousarray(columns[name]).tobytes())
    return whole.hexdigest()
