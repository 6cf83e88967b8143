"""The stage that lets the store see every certified input, in the configured order of arrival."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from certssb_core.errors import StoreError
from certssb_core.runs.inputs import SETS, Inputs
from certssb_core.runs.run import Run
from certssb_core.store.storage_update import Entry
from certssb_core.store.store import Store

BATCH = 500
"""Inputs per transaction."""


def fill(
    run: Run, inputs: Inputs, table: pd.DataFrame, *, progress: Callable[[int, int], None]
) -> tuple[pd.DataFrame, list[Entry]]:
    """Insert the inputs that are not there yet.

    Args:
        table: the certificates, clean images first, then triggered ones.
        progress: told how many inputs of how many are in; stops the stage by raising.

    Returns:
        the table with what became of each input, and the ledger.
    """
    images = np.concatenate([inputs.test_images(which) for which in SETS]).reshape(len(table), -1)
    order = _order(run, len(table))
    with _sound(run) as store:
        for start in range(len(store.ledger()), len(order), BATCH):
            rows = order[start : start + BATCH]
            part = table.iloc[rows]
            store.insert(
                images[rows],
                part["prediction"].to_numpy(),
                part["radius"].to_numpy(),
                part["sigma"].to_numpy(),
                part["set"].tolist(),
                part["index"].to_numpy(),
            )
            progress(min(start + BATCH, len(order)), len(order))
        entries = store.ledger()
    answers = pd.DataFrame(
        [(*entry.key, entry.case, entry.label, entry.radius_after) for entry in entries],
        columns=["set", "index", "store_case", "store_prediction", "store_radius"],
    )
    return table.merge(answers, on=["set", "index"], how="left", validate="one_to_one"), entries


def _sound(run: Run) -> Store:
    """The store as far as it was filled; from the beginning where a power cut damaged it, as it answered nobody."""
    try:
        return Store.open(run.store_path)
    except StoreError as error:
        run.log("damaged", message=f"{error}: removed, and filled again")
        for suffix in ("", "-wal", "-shm"):
            run.store_path.with_name(f"{run.store_path.name}{suffix}").unlink(missing_ok=True)
        return Store.open(run.store_path)


def _order(run: Run, count: int) -> np.ndarray:
    order, half = np.arange(count), count // len(SETS)
    match run.config.certification.store_order:
        case "triggered-first":
            return np.concatenate([order[half:], order[:half]])
        case "shuffled":
            return np.random.default_rng(run.config.seed).permutation(order)
        case _:
            return order
