"""The kinds of certificate, each with its unit: budgets of different kinds are never compared or drawn on one axis.

In every kind the answer does not become another class while the change is *below* ``radius``. Where changes are
counted, ``radius`` is the largest certified number plus one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from certssb_core.certify import margin_votes, partition_margin
from certssb_core.certify.bounds.registry import Bound
from certssb_core.certify.certificate import (
    INDEPENDENT,
    JOINT_BUDGET,
    LABELS_KEPT,
    PROMISE,
    Certificates,
    certify,
    condition,
)
from certssb_core.certify.input_votes import VoteBounds
from certssb_core.certify.l0 import features_certified
from certssb_core.certify.margin_votes import AT_ANY_MARGIN
from certssb_core.certify.partition import COUNTED, changes_certified
from certssb_core.certify.subset import Drawing, norm_certified, replaced_certified

TRAINING_PROMISE = (
    "The smoothed answer does not become another class by any change of the training images whose L2 norm, over all of "
    f"them together, is below the radius. The test input is taken as given. {LABELS_KEPT}"
)
TRAINING_BUDGET = (
    "The smoothed answer does not become another class although n training images, whichever they are, each change by "
    f"at most the stated norm, the test input as given. {LABELS_KEPT}"
)
TRAINING_CONDITION = f"{INDEPENDENT} One level for every training image, whatever the data: no other condition."
L0_PROMISE = (
    "The smoothed answer does not become another class while fewer features and labels than the radius change, in the "
    "test input and in the training images together, wherever they are. The number of images is taken as given. "
    "This covers poisons that change labels."
)
L0_CONDITION = (
    f"{INDEPENDENT} Every feature and label is kept with the same probability, whatever the data: no other condition."
)
PARTITION_PROMISE = (
    "The answer does not become another class while fewer training images than the radius are inserted or removed, "
    "whatever they show and however they are labelled. The test input is taken as given. An image that is "
    "changed is one removed and one inserted. This covers poisons that change labels."
)
PARTITION_CONDITION = (
    "None, and it is certain: no noise is drawn, which member sees an image follows from that image alone, and "
    "training is deterministic, so nothing is left to chance."
)
PARTITION_JOINT = "The radius itself is about training images; nothing is certified about changes of the test input."

SUBSET_UNIT = "L2 pixel units of the test input, training images replaced"
SUBSET_BUDGET = "L2 norm of the change of the test input, while training images are replaced by anything"
SUBSET_JOINT = "The radius itself is about both: training images replaced by anything, and the test input moved."
SUBSET_PROMISE = (
    "An attacker may replace as many training images as the run says by anything, labels included, and move the test "
    "input by less than the radius (L2). The smoothed answer does not become another class by that. "
    "This covers poisons that change labels."
)
PARTITION_MARGIN_PROMISE = SUBSET_PROMISE.replace("The smoothed answer", "The answer")
PARTITION_MARGIN_CONDITION = f"{PARTITION_CONDITION} A member's distance to its decision boundary is exact."
DRAWN_BY_SEED = "The images that a member sees are drawn by its seed, never by their content."
MARGIN_CONDITION = (
    "The images that a member sees are drawn by its seed, independently of the data and of the input, and never by "
    "their content. Nothing is promised against somebody who knows the seed before choosing either. No noise is "
    "drawn, and a member's distance to its decision boundary is exact."
)


@dataclass(frozen=True)
class CertificateKind:
    """An entry of the registry.

    Attributes:
        title: for people.
        unit: what ``radius`` counts, in words; budget: what may change within it, in words.
        whole: whether it counts things, so that ``radius`` is one more than the certified number.
        law, sees: the noise law, and the rule for which images a member sees, that its theorem is about.
        bound: its own bound on the votes, whatever the config says; None where the config chooses.
        certain: True where the votes estimate nothing, so that no certificate can fail.
        margins: whether votes are kept with their margins; members then need linear logits.
        ranks: whether votes are kept with the rank that the member gives each class.
        weighs: whether training images may move by a norm, so that there is a joint budget.
        balls: whether certificates are L2 balls around test inputs: those go into the store, may move in the
            joint budget too, and can be searched for an adversary.
        certify: from bounds on the votes, the noise map of the training images, and how members draw their images
            where they draw few, to certificates.
        replaced: from bounds, drawing and norm to the most training images ``(n,)`` that may be replaced by anything
            while the test input moves by at most ``norm``: the attack as it was planted. None where the kind cannot
            say.
        promise: of the radius; joint: of the training images, in words.
        condition: from training map and test map to the condition, in words, under which they hold.
        may_leave_out: True where certificates stand although members that diverged are left out. Where changes of
            training images are counted they do not: another training set might leave out others.
    """

    title: str
    unit: str
    budget: str
    whole: bool
    law: str
    sees: str
    bound: Bound | None
    weighs: bool
    balls: bool
    certify: Callable[[VoteBounds, str, Drawing | None], Certificates]
    promise: str
    joint: str
    condition: Callable[[str, str], str]
    may_leave_out: bool = False
    certain: bool = False
    margins: bool = False
    ranks: bool = False
    replaced: Callable[[VoteBounds, Drawing, float], np.ndarray] | None = None

    @property
    def moves_input(self) -> bool:
        """True where the radius is a norm by which the test input may move."""
        return self.balls or self.replaced is not None

    @property
    def attackable(self) -> bool:
        """True where there is an attack that tries to break its certificates."""
        return self.balls or self.sees == "subset"

    def moving(self, sigma_test: np.ndarray) -> np.ndarray:
        """Levels of the test inputs ``(n,)`` as a joint budget counts them: infinite where they do not move."""
        return sigma_test if self.balls else np.full_like(sigma_test, np.inf)


def _weighted_l2(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    return certify(votes.bounds, votes.sigma, training_map=training_map, test_map=votes.test_map)


def _training_l2(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    """The theorem with 1/σ_x = 0: Σ |δ_i|² < (σ margin)²."""
    return replace(_weighted_l2(votes, training_map), promise=TRAINING_PROMISE, condition=TRAINING_CONDITION)


def _l0(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    bounds, (keep,) = votes.bounds, np.unique(votes.sigma)
    certified = features_certified(bounds.p_a_lower, bounds.p_b_upper, keep=float(keep))
    return _counted(votes, np.where(bounds.prediction >= 0, certified, -1), L0_PROMISE, L0_CONDITION)


def _partition(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    certified = changes_certified(votes.counts) if votes.changes is None else votes.changes
    return _counted(votes, certified, PARTITION_PROMISE, PARTITION_CONDITION)


def _subset(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    """The margin is the certified change in units of σ_x; an answer that no margin backs stays, with radius 0."""
    if drawing is None:
        raise ValueError("a subset certificate needs to know how members draw their images")
    bounds, sigma = votes.bounds, np.array(votes.sigma, dtype=np.float64)
    settings = {"images": drawing.images, "seen": drawing.seen, "replaced": drawing.replaced}
    certified = norm_certified(bounds.p_a_lower, bounds.p_b_upper, sigma, **settings)
    radius = np.where(bounds.prediction >= 0, np.maximum(certified, 0.0), 0.0)
    return Certificates(
        prediction=bounds.prediction,
        p_a_lower=bounds.p_a_lower,
        p_b_upper=bounds.p_b_upper,
        margin=radius / sigma,
        radius=radius,
        sigma=sigma,
        promise=SUBSET_PROMISE,
        condition=_subset_condition("uniform", votes.test_map),
    )


def _subset_margin(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    """The margin is how far the leader's probability is ahead of all others; nothing but margins moves the radius."""
    if drawing is None or votes.lead is None:
        raise ValueError("a subset certificate from margins needs the margins and how members draw their images")
    certified = np.maximum(margin_votes.margin_certified(votes.lead, drawing), 0.0)
    return _led(votes, np.where(votes.bounds.prediction >= 0, certified, 0.0), SUBSET_PROMISE, MARGIN_CONDITION)


def _replaced_under_noise(votes: VoteBounds, drawing: Drawing, norm: float) -> np.ndarray:
    bounds, members = (votes.bounds.p_a_lower, votes.bounds.p_b_upper), {"images": drawing.images, "seen": drawing.seen}
    return replaced_certified(*bounds, np.array(votes.sigma, dtype=np.float64), **members, norm=norm)


def _replaced_by_margin(votes: VoteBounds, drawing: Drawing, norm: float) -> np.ndarray:
    if votes.lead is None:
        raise ValueError("a subset certificate from margins needs the votes' margins")
    return margin_votes.replaced_at(votes.lead, drawing, norm)


def _partition_margin(votes: VoteBounds, training_map: str, drawing: Drawing | None = None) -> Certificates:
    """The radius is about the test input, at the run's number of replaced images."""
    if drawing is None or votes.changes is None:
        raise ValueError("a partition certificate from margins needs the margins and the number of images")
    certified = np.maximum(partition_margin.margin_certified(votes.changes, drawing), 0.0)
    return _led(votes, certified, PARTITION_MARGIN_PROMISE, PARTITION_MARGIN_CONDITION)


def _replaced_in_parts(votes: VoteBounds, drawing: Drawing, norm: float) -> np.ndarray:
    if votes.changes is None:
        raise ValueError("a partition certificate from margins needs the votes' margins")
    return partition_margin.replaced_at(votes.changes, drawing, norm)


def _subset_condition(training_map: str, test_map: str) -> str:
    return f"{condition('uniform', test_map)} {DRAWN_BY_SEED}"


def _counted(votes: VoteBounds, certified: np.ndarray, promise: str, condition: str) -> Certificates:
    """Certify ``certified`` ``(n,)`` changes, -1 for none: the radius is one more."""
    return _led(votes, certified + 1.0, promise, condition)


def _led(votes: VoteBounds, radius: np.ndarray, promise: str, condition: str) -> Certificates:
    """Certificates whose margin is how far the leading class is ahead."""
    bounds = votes.bounds
    return Certificates(
        prediction=bounds.prediction,
        p_a_lower=bounds.p_a_lower,
        p_b_upper=bounds.p_b_upper,
        margin=np.where(bounds.prediction >= 0, bounds.p_a_lower - bounds.p_b_upper, 0.0),
        radius=radius,
        sigma=np.array(votes.sigma, dtype=np.float64),
        promise=promise,
        condition=condition,
    )


CERTIFICATES: dict[str, CertificateKind] = {
    "weighted-l2": CertificateKind(
        title="Weighted L2 norm over test input and training images",
        unit="L2 pixel units",
        budget="L2 norm of the change of the test input, training set as given",
        whole=False,
        law="gaussian",
        sees="share",
        bound=None,
        weighs=True,
        balls=True,
        certify=_weighted_l2,
        promise=PROMISE,
        joint=JOINT_BUDGET,
        condition=condition,
        may_leave_out=True,
    ),
    "training-l2": CertificateKind(
        title="L2 norm over all training images",
        unit="L2 pixel units over all training images",
        budget="L2 norm of the change of all training images together, test input as given",
        whole=False,
        law="gaussian-training",
        sees="share",
        bound=None,
        weighs=True,
        balls=False,
        certify=_training_l2,
        promise=TRAINING_PROMISE,
        joint=TRAINING_BUDGET,
        condition=lambda training_map, test_map: TRAINING_CONDITION,
    ),
    "l0": CertificateKind(
        title="Number of changed features and labels (L0)",
        unit="changed features and labels",
        budget="features and labels changed, in training set and test input together",
        whole=True,
        law="flips",
        sees="share",
        bound=None,
        weighs=False,
        balls=False,
        certify=_l0,
        promise=L0_PROMISE,
        joint="The same number: changes of the training images and of the test input are counted together.",
        condition=lambda training_map, test_map: L0_CONDITION,
    ),
    "partition": CertificateKind(
        title="Number of inserted or removed training images (DPA)",
        unit="inserted or removed training images",
        budget="training images inserted or removed, test input as given",
        whole=True,
        law="none",
        sees="partition",
        bound=COUNTED,
        weighs=False,
        balls=False,
        certify=_partition,
        promise=PARTITION_PROMISE,
        joint=PARTITION_JOINT,
        condition=lambda training_map, test_map: PARTITION_CONDITION,
        may_leave_out=True,  # a part that is left out votes for nobody, which is covered
        certain=True,
    ),
    "run-off": CertificateKind(
        title="Number of inserted or removed training images, members voting twice (run-off election)",
        unit="inserted or removed training images",
        budget="training images inserted or removed, test input as given",
        whole=True,
        law="none",
        sees="partition",
        bound=COUNTED,
        weighs=False,
        balls=False,
        certify=_partition,
        promise=PARTITION_PROMISE,
        joint=PARTITION_JOINT,
        condition=lambda training_map, test_map: PARTITION_CONDITION,
        may_leave_out=True,
        certain=True,
        ranks=True,
    ),
    "partition-margin": CertificateKind(
        title="Training images replaced by anything, and an L2 change of the test input, by partitions (PECAN)",
        unit=SUBSET_UNIT,
        budget=SUBSET_BUDGET,
        whole=False,
        law="none",
        sees="partition",
        bound=COUNTED,
        weighs=False,
        balls=False,
        certify=_partition_margin,
        promise=PARTITION_MARGIN_PROMISE,
        joint=SUBSET_JOINT,
        condition=lambda training_map, test_map: PARTITION_MARGIN_CONDITION,
        may_leave_out=True,
        certain=True,
        margins=True,
        replaced=_replaced_in_parts,
    ),
    "subset": CertificateKind(
        title="Training images replaced by anything, and an L2 change of the test input",
        unit=SUBSET_UNIT,
        budget=SUBSET_BUDGET,
        whole=False,
        law="gaussian-test",
        sees="subset",
        bound=None,
        weighs=False,
        balls=False,
        certify=_subset,
        promise=SUBSET_PROMISE,
        joint=SUBSET_JOINT,
        condition=_subset_condition,
        replaced=_replaced_under_noise,
    ),
    "subset-margin": CertificateKind(
        title="Training images replaced by anything, and an L2 change of the test input, without test noise",
        unit=SUBSET_UNIT,
        budget=SUBSET_BUDGET,
        whole=False,
        law="none",
        sees="subset",
        bound=AT_ANY_MARGIN,
        weighs=False,
        balls=False,
        certify=_subset_margin,
        promise=SUBSET_PROMISE,
        joint=SUBSET_JOINT,
        condition=lambda training_map, test_map: MARGIN_CONDITION,
        margins=True,
        replaced=_replaced_by_margin,
    ),
}
