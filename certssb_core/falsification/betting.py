"""Establish a flip by betting: does another class lead, on average over members and fresh noise?

Each judging member votes under several fresh draws of noise. Its *lead* is the share of these votes for another class
less the share for the claimed one, a number in [-1, 1]. Members are independent and alike, so their leads are, too. Bet
on them one after the other, with stakes that know only the members before: if the mean lead is not above 0, the wealth
is a supermartingale, and by Ville's inequality it reaches 1/α with probability at most α (2010.09686). A member's many
draws make its lead precise, so small leads are found, which one vote per member would drown in its own chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    """Decide whether some other class leads over the claimed one; wrong with probability at most ``alpha`` each.

    Every bet is on the class that led among the members before: that choice knows no more than the stakes, so that
    classes need not share α.

    Args:
        shares: ``(M, n, C)`` shares of every member's votes per class.
        prediction: ``(n,)`` claimed classes.

    Returns:
        ``(n,)`` bool.
    """
    rows = np.arange(shares.shape[1])
    before = np.zeros(shares.shape)
    before[1:] = np.cumsum(shares[:-1], axis=0, dtype=np.float64)
    before[:, rows, prediction] = -np.inf
    rival = before.argmax(axis=2)
    leads = np.take_along_axis(shares, rival[:, :, None], axis=2)[:, :, 0] - shares[:, rows, prediction]
    return established(leads, alpha)


NONE = "none: too few members to establish any flip"
"""The power of judges who cannot tell."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Verdict on each of n points: ``flipped``, another class leads; ``broken``, the votes establish that one does.

    Attributes:
        shares: ``(n, C)``, means over the judges; leading: ``(n,)``, the class of the largest.
    """

    flipped: np.ndarray
    broken: np.ndarray
    leading: np.ndarray
    shares: np.ndarray


def judge(shares: np.ndarray, prediction: np.ndarray, alpha: float) -> Verdict:
    """Judge by the members' shares ``(M, n, C)`` the claim that ``prediction`` ``(n,)`` is the answer."""
    mean = shares.mean(axis=0, dtype=np.float64)
    leading = mean.argmax(axis=1)
    return Verdict(leading != prediction, broken(shares, prediction, alpha), leading, mean)


def in_words(shares: np.ndarray, prediction: np.ndarray, alpha: float, draws: int) -> str:
    """Say how strong a flip must be for these judges: the wealth grows by about μ²/2s² per member, for leads of mean μ
    and spread s, so it reaches 1/α from μ = s √(2 ln(1/α) / M) on."""
    rows = np.arange(shares.shape[1])
    mean = shares.mean(axis=0, dtype=np.float64)
    mean[rows, prediction] = -np.inf
    leads = shares[:, rows, mean.argmax(axis=1)].astype(np.float64) - shares[:, rows, prediction]
    least = float(np.median(leads.std(axis=0))) * math.sqrt(2 * math.log(1 / alpha) / len(shares))
    return (
        f"{len(shares):,} members judge, with {draws} fresh draws each. On the median input they establish about half "
        f"of the flips by {least:.2f} of the votes, and most of the larger ones"
    )


def members_needed(members: int, classes: int, alpha: float) -> int | None:
    """The fewest of ``members``, spread evenly, that establish a flip if they all vote for the other class and the
    rest for the claimed one; None where not even all of them do."""
    places = np.arange(1, members + 1)
    for count in range(members // 2 + 1, members + 1):
        against = places * count // members > (places - 1) * count // members
        shares = np.zeros((members, 1, classes))
        shares[places - 1, 0, np.where(against, classes - 1, 0)] = 1.0
        if broken(shares, np.zeros(1, int), alpha)[0]:
            return count
    return None
