"""Storage-update certification: store, trim or align a new certificate (docs/method.md §6).

Open balls of different label may not intersect (Cert-SSBD, arXiv 2504.21730; memory of arXiv 2012.04351).
With the gap ``d_j - r_j`` from a new input of radius ``r`` to the edge of ball ``j``, the cases are

* ``disjoint``: every gap is at least ``r``;
* ``same_label``: only balls of the predicted label have a gap below ``r``;
* ``trimmed``: the smallest gap to a ball of another label is in [0, r), and becomes the radius;
* ``aligned``: that gap is negative: the ball's label becomes the answer, minus the gap its radius;
* ``none``: the input abstains and is never stored; the ball it lies in, if any, answers for it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from certssb_core.store.ball_index import BallIndex, Near

CASES = ("disjoint", "same_label", "trimmed", "aligned", "none")


class Key(NamedTuple):
    """Origin of an input: the name of its set and its index there."""

    set: str
    index: int  # type: ignore[assignment]  # hides tuple.index


@dataclass(frozen=True)
class Entry:
    """One line of the ledger, which lists all inputs in order of arrival.

    Attributes:
        position: place in the order of arrival, from 0; also the id of its ball.
        key: the input's set and index.
        case: one of ``CASES``.
        prediction: the class that came in, -1 for ABSTAIN.
        label: the class the store answers, -1 for none.
        radius_before: the radius that came in, L2 pixel units.
        radius_after: the radius the store answers with; at 0 no ball is stored.
        partner: id of the ball that decided (the nearest one concerned), if any.
        distance: L2 distance to the partner's centre.
    """

    position: int
    key: Key
    case: str
    prediction: int
    label: int
    radius_before: float
    radius_after: float
    partner: int | None
    distance: float | None

    @property
    def stored(self) -> bool:
        """True if this input became a ball."""
        return self.case != "none" and self.radius_after > 0


def update(
    index: BallIndex,
    start: int,
    keys: Iterable[Key],
    predictions: np.ndarray,
    radii: np.ndarray,
    centres: np.ndarray,
) -> Iterator[Entry]:
    """Certify inputs in the order given; each that is stored has become a ball of ``index`` when its entry comes.

    Args:
        index: the balls before them.
        start: place of the first input in the order of arrival.
        keys: n of them, where the inputs come from.
        predictions: ``(n,)`` predicted classes, -1 for ABSTAIN.
        radii: ``(n,)`` test radii, L2 pixel units.
        centres: ``(n, d)`` float32.
    """
    columns = zip(keys, predictions.tolist(), radii.tolist(), centres, index.scan(centres, radii), strict=True)
    for position, (key, prediction, radius, centre, near) in enumerate(columns, start):
        entry = decide(position, key, prediction, radius, near)
        if entry.stored:
            index.append(position, centre, entry.label, entry.radius_after)
        yield entry


def decide(position: int, key: Key, prediction: int, radius: float, near: Near) -> Entry:
    """Decide the case of one input by the gap to the nearest ball of another label.

    Args:
        position: the input's place in the order of arrival.
        key: where it comes from.
        prediction: its predicted class, -1 for ABSTAIN.
        radius: its test radius, L2 pixel units.
        near: the balls before it that come within its radius.
    """
    rival = near.nearest(near.labels != prediction)  # to an abstaining input (-1) every ball is one
    partner, label, after = rival, prediction, radius
    if inside := rival is not None and rival.gap < 0:
        label, after = rival.label, -rival.gap
    if prediction == -1:
        case, partner = "none", rival if inside else None
    elif inside:
        wide = near.within(after)
        case, others = "aligned", wide.nearest(wide.labels != label)
        # Disjoint from the rival's ball and so from ours inside it, except for rounding.
        after = others.room(after) if others else after
    elif rival and (after := rival.room(radius)) < radius:
        case = "trimmed"
    else:
        partner = near.nearest(near.labels == prediction)
        case, partner = ("same_label", partner) if partner and partner.gap < radius else ("disjoint", None)
    return Entry(
        position=position,
        key=key,
        case=case,
        prediction=prediction,
        label=label,
        radius_before=radius,
        radius_after=after,
        partner=partner.ball if partner else None,
        distance=partner.distance if partner else None,
    )
