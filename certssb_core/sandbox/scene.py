"""The storage-update on balls one can see: discs in a plane, certified for a real classifier.

The rules are those of the store itself (:mod:`certssb_core.store.storage_update`), the radii those of a smoothed
nearest-neighbour classifier. With one σ for all inputs, two certified discs of different label cannot intersect
(within them the one smoothed classifier is constant), except with the probability of the bounds; only σ that differs
from input to input brings conflicts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from certssb_core.sandbox import plane_classifier
from certssb_core.sandbox.disc_area import union_area
from certssb_core.sandbox.plane_classifier import PlaneClassifier
from certssb_core.sandbox.plane_data import PlaneData
from certssb_core.store.answer import answer
from certssb_core.store.ball_index import BallIndex
from certssb_core.store.storage_update import Entry, Key, update
from certssb_core.store.store import Balls

ORDERS: dict[str, str] = {"given": "as they came", "attacker-first": "attacker first", "shuffled": "shuffled"}
MEMBERS, ALPHA = 1000, 0.001
SHUFFLES = 20


@dataclass(frozen=True, eq=False)
class Certified:
    """Inputs with their certificates, before any store saw them; honest inputs first, the attacker's last.

    Attributes:
        data: where they come from.
        classifier: trained on the poisoned training set.
        predictions: ``(m,)`` int64, -1 for ABSTAIN; radii, sigma: ``(m,)``, in units of the plane.
        seed: of the votes.
    """

    data: PlaneData
    classifier: PlaneClassifier
    predictions: np.ndarray
    radii: np.ndarray
    sigma: np.ndarray
    seed: int


@dataclass(frozen=True, eq=False)
class Scene:
    """Inputs in order of arrival, with the store's entry for each.

    Attributes:
        points: ``(m, 2)``; labels: ``(m,)`` true ones; attacker: ``(m,)`` bool; sigma: ``(m,)``.
        entries: the store's ledger.
        balls: what is stored.
    """

    points: np.ndarray
    labels: np.ndarray
    attacker: np.ndarray
    sigma: np.ndarray
    entries: list[Entry]
    balls: Balls

    @property
    def changed(self) -> int:
        """Number of inputs whose radius or answer the store changed."""
        return sum(entry.case in ("trimmed", "aligned") for entry in self.entries)

    @property
    def wrong(self) -> int:
        """Number of honest inputs that the store answers wrongly."""
        answers = np.array([entry.label for entry in self.entries])
        return int(((answers >= 0) & (answers != self.labels) & ~self.attacker).sum())

    def first(self, count: int) -> Scene:
        """The scene after its first ``count`` insertions."""
        return Scene(
            self.points[:count],
            self.labels[:count],
            self.attacker[:count],
            self.sigma[:count],
            self.entries[:count],
            self.balls.before(count),
        )

    @cached_property
    def answered(self) -> float:
        """Area covered by the stored balls; exact, in squared units of the plane."""
        return union_area(self.balls.centres, self.balls.radii)

    @cached_property
    def areas(self) -> Areas:
        before = np.array([entry.radius_before for entry in self.entries])
        predictions = np.array([entry.prediction for entry in self.entries])
        claimed = union_area(self.points, before)
        by_label = sum(union_area(self.points[predictions == label], before[predictions == label]) for label in (0, 1))
        return Areas(
            claimed=claimed,
            contested=max(by_label - claimed, 0.0),
            answered=self.answered,
            trimmed=max(claimed - self.answered, 0.0),
        )


@dataclass(frozen=True)
class Areas:
    """Exact areas, in squared units of the plane.

    Attributes:
        claimed: covered by at least one certificate as it came.
        contested: claimed for both labels at once.
        answered: covered by the stored balls; always a part of what was claimed.
        trimmed: claimed and no longer answered.
    """

    claimed: float
    contested: float
    answered: float
    trimmed: float


def certified(data: PlaneData, *, sigma: float, spread: float, stretch: float = 1.0, seed: int) -> Certified:
    """Train the classifier, choose each input's σ* in [σ / spread, σ · spread], and certify by votes.

    The attacker is granted the worst: its inputs get the σ of that range which carries its label (square) farthest.

    Args:
        data: with or without a backdoor.
        sigma: middle of the range of σ.
        spread: ≥ 1; at 1 there is one σ for all.
        stretch: every radius is overstated by this factor; above 1 the discs are claims and no certificates.
        seed: of the votes.
    """
    classifier = plane_classifier.fit(data.train, data.train_labels, neighbours=data.neighbours)
    wanted = np.where(data.attacker, 1, -1)
    chosen = _chosen_sigma(classifier, data.inputs, sigma=sigma, spread=spread, wanted=wanted)
    result = plane_classifier.certificates(classifier, data.inputs, chosen, members=MEMBERS, alpha=ALPHA, seed=seed)
    return Certified(data, classifier, result.prediction, stretch * result.radius, result.sigma, seed)


def arrival(inputs: Certified, *, order: str, shuffle: int) -> np.ndarray:
    """``(m,)`` the order of arrival; ``shuffle`` numbers the shuffles."""
    honest, hostile = np.flatnonzero(~inputs.data.attacker), np.flatnonzero(inputs.data.attacker)
    if order == "attacker-first":
        return np.concatenate([hostile, honest])
    if order == "shuffled":
        return np.random.default_rng((3, shuffle)).permutation(len(inputs.radii))
    return np.concatenate([honest, hostile])


def scene(inputs: Certified, *, order: str = "given", shuffle: int = 0) -> Scene:
    """Send the inputs to an empty store, in one of ``ORDERS``."""
    places = arrival(inputs, order=order, shuffle=shuffle)
    points, attacker, sigma = inputs.data.inputs[places], inputs.data.attacker[places], inputs.sigma[places]
    keys = [Key("attacker" if inputs.data.attacker[place] else "honest", place) for place in places.tolist()]
    index = BallIndex(2)  # the store's own, without its file
    centres = points.astype(np.float32)
    entries = list(update(index, 0, keys, inputs.predictions[places], inputs.radii[places], centres))
    balls = Balls(
        ids=index.ids,
        centres=index.centres,
        radii=index.radii,
        labels=index.labels,
        sigmas=sigma[index.ids],
        sets=tuple(keys[ball].set for ball in index.ids),
        indices=places[index.ids],
    )
    return Scene(points, inputs.data.labels[places], attacker, sigma, entries, balls)


def over_orders(inputs: Certified, *, shuffles: int = SHUFFLES) -> list[dict[str, str | float]]:
    """Send the same inputs in every order; one row per order and shuffle.

    Returns:
        ``order`` (in words), ``shuffle``, the number of inputs in each case, ``wrong`` and ``answered``, the area.
    """
    rows: list[dict[str, str | float]] = []
    for order, words in ORDERS.items():
        for shuffle in range(shuffles if order == "shuffled" else 1):
            found = scene(inputs, order=order, shuffle=shuffle)
            cases = Counter(entry.case for entry in found.entries)
            row: dict[str, str | float] = {"order": words, "shuffle": shuffle}
            row |= {case: cases[case] for case in ("disjoint", "same_label", "trimmed", "aligned", "none")}
            rows.append(row | {"wrong": found.wrong, "answered": found.answered})
    return rows


@dataclass(frozen=True)
class PlaneAnswer:
    """The answer at a point, and the ball or vote behind it; lengths in units of the plane.

    Attributes:
        label: the answer, -1 for ABSTAIN.
        radius: nothing less than that far away is certified to another answer.
        ball: the stored ball that answers; None where the members do.
        distance: to that ball's centre.
        gap: to the edge of the nearest ball, negative inside; infinite where nothing is stored.
        sigma: chosen for the members' vote; probability: of label 1 at that σ, exactly.
    """

    label: int
    radius: float
    ball: int | None
    distance: float | None
    gap: float
    sigma: float
    probability: float


def ask(inputs: Certified, found: Scene, point: tuple[float, float], *, sigma: float, spread: float) -> PlaneAnswer:
    """Answer at ``point`` by the ball that holds it, else by the members, who certify it like any other input."""
    here = np.array([point], np.float64)
    chosen = _chosen_sigma(inputs.classifier, here, sigma=sigma, spread=spread)
    voted = plane_classifier.certificates(
        inputs.classifier, here, chosen, members=MEMBERS, alpha=ALPHA, seed=inputs.seed
    )
    balls, index = found.balls, BallIndex(2)
    for ball, centre, label, radius in zip(balls.ids, balls.centres, balls.labels, balls.radii, strict=True):
        index.append(int(ball), centre, int(label), float(radius))
    given = answer(
        index, here[0].astype(np.float32), prediction=int(voted.prediction[0]), radius=float(voted.radius[0])
    )
    distances = np.linalg.norm(balls.centres.astype(np.float64) - here, axis=1)
    holds = None if given.ball is None else int(np.searchsorted(balls.ids, given.ball))
    return PlaneAnswer(
        label=given.label,
        radius=given.radius,
        ball=given.ball,
        distance=None if holds is None else float(distances[holds]),
        gap=float((distances - balls.radii).min(initial=np.inf)),
        sigma=float(chosen[0]),
        probability=float(inputs.classifier.probability(here, chosen)[0]),
    )


def _chosen_sigma(
    classifier: PlaneClassifier, points: np.ndarray, *, sigma: float, spread: float, wanted: np.ndarray | None = None
) -> np.ndarray:
    return plane_classifier.best_sigma(
        classifier,
        points,
        low=sigma / spread,
        high=sigma * spread,
        largest_margin=float(ndtri((ALPHA / 2) ** (1 / MEMBERS))),
        wanted=wanted,
        steps=25 if spread > 1 else 1,
    )
