"""The storage-update on balls one can see: discs in a plane, so crowded that conflicts are frequent.

The rules are those of the store itself (:mod:`certssb_core.certify.store`); only the inputs are made up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from certssb_core.certify.store import CASES, Entry, Store

ORDERS: dict[str, str] = {"given": "as they came", "attacker-first": "attacker first", "shuffled": "shuffled"}
LABELS = ("round", "square")
_CENTRES = np.array([[-1.3, 0.0], [1.3, 0.0]])


@dataclass(frozen=True)
class Scene:
    """Inputs in order of arrival, and what the store made of each.

    Attributes:
        points: ``(n, 2)`` centres.
        predictions: ``(n,)`` int64, 0 or 1.
        attacker: ``(n,)`` bool: an input the attacker sent, labelled 1 amid the inputs of class 0.
        entries: the store's ledger.
    """

    points: np.ndarray
    predictions: np.ndarray
    attacker: np.ndarray
    entries: list[Entry]

    @property
    def changed(self) -> int:
        """Inputs whose radius or answer the store changed."""
        return sum(entry.case in ("trimmed", "aligned") for entry in self.entries)


def scene(*, seed: int, count: int = 16, order: str = "given", shuffle: int = 0) -> Scene:
    """Draw ``count`` discs around two centres and one of an attacker, and store them in the wanted order.

    Args:
        seed: of places and radii.
        count: number of honest inputs; the attacker's comes last unless ``order`` says otherwise.
        order: one of ``ORDERS``.
        shuffle: which of the shuffles.
    """
    generator = np.random.default_rng(seed)
    predictions = np.append(np.arange(count) % 2, 1)
    points = _CENTRES[predictions] + generator.normal(scale=0.9, size=(count + 1, 2))
    radii = generator.uniform(0.35, 1.1, count + 1)
    points[-1], radii[-1] = _CENTRES[0] + generator.normal(scale=0.2, size=2), 1.3
    arrival = {
        "given": np.arange(count + 1),
        "attacker-first": np.roll(np.arange(count + 1), 1),
        "shuffled": np.random.default_rng((seed, shuffle)).permutation(count + 1),
    }[order]
    names = np.array(["honest"] * count + ["attacker"])
    with Store.in_memory(2) as store:
        entries = store.insert(
            points[arrival],
            predictions[arrival],
            radii[arrival],
            np.ones(count + 1),
            list(names[arrival]),
            arrival,
        )
    return Scene(points[arrival], predictions[arrival], arrival == count, entries)


def over_orders(*, seed: int, count: int = 16, shuffles: int = 30) -> list[dict[str, str | float]]:
    """How often each case occurs with the same discs in each order; of shuffles the mean.

    Returns:
        One row per order: ``order``, and the number of inputs in each case.
    """
    rows = []
    for order, words in ORDERS.items():
        times = shuffles if order == "shuffled" else 1
        cases = Counter(
            entry.case
            for shuffle in range(times)
            for entry in scene(seed=seed, count=count, order=order, shuffle=shuffle).entries
        )
        name = f"{words} (mean of {times})" if times > 1 else words
        rows.append({"order": name} | {case: cases[case] / times for case in CASES if case != "none"})
    return rows
