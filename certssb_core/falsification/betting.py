"""Establish a flip by betting: does another class lead, on average over members and fresh noise?

Each judging member votes under several fresh draws of noise. Its *lead* is the share of these votes for another class
less the share for the claimed one, a number in [-1, 1]. Members are independent and alike, so their leads are, too. Bet
on them one after the other, with stakes that know only the members before: if the mean lead is not above 0, the wealth
is a supermartingale, and by Ville's inequality it reaches 1/α with probability at most α (2010.09686). A member's many
draws make its lead precise, so small leads are found, which one vote per member would drown in its own chance.
"""

from __future__ import annotations

import numpy as np

_MOST = 0.9
"""Largest stake: more would risk all on one member."""
_START = (0.1, 0.25)
"""Sums of leads and of their squares before the first member, so that the first stake is not 0."""


def established(leads: np.ndarray, alpha: float) -> np.ndarray:
    """Decide whether the mean lead is above 0; wrong with probability at most ``alpha`` for each column.

    Args:
        leads: ``(M, n)`` in [-1, 1], rows independent and alike.
        alpha: failure probability in (0, 1).

    Returns:
        ``(n,)`` bool.
    """
    total, squares = (np.full(leads.shape[1], start) for start in _START)
    wealth, most = np.zeros(leads.shape[1]), np.zeros(leads.shape[1])
    for lead in np.asarray(leads, dtype=np.float64):
        stake = np.clip(total / squares, 0.0, _MOST)
        wealth += np.log1p(stake * lead)
        most = np.maximum(most, wealth)
        total, squares = total + lead, squares + lead**2
    return most >= -np.log(alpha)


def broken(shares: np.ndarray, prediction: np.ndarray, alpha: float) -> np.ndarray:
    """Decide whether some other class leads over the claimed one, each at ``alpha`` / (C - 1).

    Args:
        shares: ``(M, n, C)`` shares of every member's votes per class.
        prediction: ``(n,)`` claimed classes.

    Returns:
        ``(n,)`` bool.
    """
    rows, classes = np.arange(shares.shape[1]), shares.shape[2]
    own = shares[:, rows, prediction]
    found = np.zeros(len(rows), bool)
    for label in range(classes):
        found |= (prediction != label) & established(shares[:, :, label] - own, alpha / (classes - 1))
    return found


def members_needed(members: int, classes: int, alpha: float) -> int | None:
    """The fewest of ``members``, spread evenly, that establish a flip if they all vote for the other class and the
    rest for the claimed one; None where not even all of them do."""
    if not members:
        return None
    places = np.arange(1, members + 1)
    for count in range(members // 2 + 1, members + 1):
        against = places * count // members > (places - 1) * count // members
        if established(np.where(against, 1.0, -1.0)[:, None], alpha / (classes - 1))[0]:
            return count
    return None
