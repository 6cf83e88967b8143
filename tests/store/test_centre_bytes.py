"""Centres as bytes: exact to the bit, short for images, and bytes of another kind are refused."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certssb_core.data.image_file import unit_pixels
from certssb_core.data.triggers import TRIGGERS, apply_trigger
from certssb_core.errors import StoreError
from certssb_core.store.centre_bytes import pack, unpack
from certssb_core.store.store import Store

VALUES = st.one_of(
    st.integers(0, 255).map(lambda level: float(np.float32(level) / np.float32(255))),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_every_value_comes_back_to_the_bit(values):
    centre = np.array(values, np.float32)
    assert unpack(pack(centre)).tobytes() == centre.tobytes(), "minus zero too"


def test_a_photograph_takes_a_byte_a_pixel_and_a_trigger_little_more():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), np.uint8)
    clean = unit_pixels(pixels)
    assert len(pack(clean.ravel())) == 4 + 3072
    for trigger in TRIGGERS:
        packed = pack(apply_trigger(clean, trigger=trigger, norm=1.0).ravel())
        assert len(packed) <= (4 + 4 * 3072 if trigger == "blended" else 4 + 3072 + 12 * 8)


@pytest.mark.parametrize("blob", [b"", b"\1\0\0", b"\1\0\0\0" + bytes(8), b"\1\0\0\0" + bytes(3) + b"\3" + bytes(7)])
def test_bytes_that_are_no_centre_are_refused(blob):
    with pytest.raises(ValueError, match=r"bytes are too few|a float stands at"):
        unpack(blob)


def test_a_store_of_an_earlier_version_goes_on_in_plain_floats(tmp_path):
    path, centres = tmp_path / "old.sqlite", np.eye(3, dtype=np.float32)
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 1")
        row = (0, "clean", 0, "disjoint", 1, 1, 0.25, 0.25, None, None, 0.5, centres[0].tobytes())
        connection.execute(f"INSERT INTO ledger VALUES ({', '.join('?' * len(row))})", row)
    with Store.open(path) as store:
        store.insert(centres[1:], [1, 1], [0.25, 0.25], [0.5, 0.5], ["clean", "clean"], [1, 2])
    with Store.read(path) as store:
        np.testing.assert_array_equal(store.balls().centres, centres)
    with closing(sqlite3.connect(path)) as connection, connection:
        assert [len(blob) for (blob,) in connection.execute("SELECT centre FROM ledger")] == [12, 12, 12]
        connection.execute("UPDATE ledger SET centre = 'text' WHERE position = 1")
    with pytest.raises(StoreError, match="ball 1"):
        Store.read(path)
