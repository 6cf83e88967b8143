"""A run's votes, as they lie on disk: all that its certificates are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from certssb_core.certify import published_release
from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.config.schema import RunConfig
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run


@dataclass(frozen=True, eq=False)
class RunVotes:
    """What a run's certificates are made of.

    Attributes:
        config: the run's config.
        votes: ``{(set, map): (M, n) uint8}``; softmax: ``{(set, map): (n, C) float64}``, its mean over members.
        sigma: ``{set: (n,) float64}``, σ*_x.
        sigma_train: ``(n_train,)`` float64, σ*_i; None where they are not known (an imported release), and where
            members were left out: a change of the training images might leave out others.
        labels: ``(n,)`` int64, true classes of the test images.
        candidate_votes: ``{set: (M, K, n) uint8}``, votes at every candidate σ; empty where the run has none.
        candidate_softmax: ``{set: (K, n, C) float64}``.
        left_out: members that could not be trained. They have no row in any votes: M is that of the others.
    """

    config: RunConfig
    votes: dict[tuple[str, str], np.ndarray]
    softmax: dict[tuple[str, str], np.ndarray]
    sigma: dict[str, np.ndarray]
    sigma_train: np.ndarray | None
    labels: np.ndarray
    candidate_votes: dict[str, np.ndarray] = field(default_factory=dict)
    candidate_softmax: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()

    @property
    def classes(self) -> int:
        return next(iter(self.softmax.values())).shape[1]

    @property
    def members(self) -> int:
        return len(next(iter(self.votes.values())))

    @property
    def budgets(self) -> bool:
        """Whether changes of training images are certified as norms, together with the test input where it may move."""
        return self.kind.weighs and self.sigma_train is not None

    @property
    def modes(self) -> tuple[str, ...]:
        """What the run's votes can be counted in: the noise maps they were cast at, choices among candidates, and,
        of L2 balls, the release's arithmetic."""
        return (*self.sound_modes, published_release.MODE) if self.kind.balls else self.sound_modes

    @property
    def kind(self) -> CertificateKind:
        """What the votes certify."""
        return CERTIFICATES[self.config.certification.certificate]

    @property
    def sound_modes(self) -> tuple[str, ...]:
        """The modes whose numbers are certificates."""
        maps = tuple(dict.fromkeys(noise_map for _, noise_map in self.votes))
        return (*maps, "voted", "set-aside") if self.candidate_votes else maps

    @property
    def own_map(self) -> str:
        """The noise map of the run's own test inputs, or the uniform one where they choose among candidates."""
        own = self.config.noise.test_map
        return own if (SETS[0], own) in self.votes else "uniform"

    def test_sigma(self, which: str, mode: str) -> np.ndarray:
        """The noise ``(n,)`` at which the votes of the noise map ``mode`` were cast."""
        if mode == "uniform":
            return np.full(len(self.labels), self.config.noise.level)
        return self.sigma[which]


def read_run_votes(run: Run) -> RunVotes:
    """Read the votes of a run.

    Raises:
        RunError: the run has not voted yet, or a file is damaged.
    """
    votes, sigma = run.arrays("votes"), run.arrays("sigma")

    def named(kind: str) -> dict[tuple[str, str], np.ndarray]:
        keys = [(which, noise_map) for which in SETS for noise_map in ("sample-specific", "uniform")]
        return {key: votes["/".join((kind, *key))] for key in keys if "/".join((kind, *key)) in votes}

    return RunVotes(
        config=run.config,
        votes=named("votes"),
        softmax=named("softmax"),
        sigma={which: sigma[which] for which in SETS},
        sigma_train=None if "left_out" in votes else sigma.get("train"),
        labels=votes["labels"],
        left_out=tuple(votes["left_out"].tolist()) if "left_out" in votes else (),
        **{
            f"candidate_{kind}": {which: votes[key] for which in SETS if (key := f"{kind}/{which}/candidates") in votes}
            for kind in ("votes", "softmax")
        },
    )
