"""A run's votes as they lie on disk: its certificates follow from them alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from certssb_core.certify.certificate import FIXED
from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.certify.input_votes import InputVotes
from certssb_core.certify.share_budget import Share
from certssb_core.config.schema import RunConfig
from certssb_core.results import vote_bounds
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run


@dataclass(frozen=True, eq=False)
class RunVotes:
    """The votes of a run on its test sets.

    Attributes:
        config: the run's config.
        sets: ``{"clean": …, "triggered": …}``, the votes on each test set.
        sigma_train: ``(n_train,)`` float64, σ*_i; None where they are not known (an imported release), and where
            members were left out: a change of the training images might leave out others.
        labels: ``(n,)`` int64, true classes of the test images.
        left_out: members that could not be trained. They have no row in any votes: M is that of the others.
    """

    config: RunConfig
    sets: dict[str, InputVotes]
    sigma_train: np.ndarray | None
    labels: np.ndarray
    left_out: tuple[int, ...] = ()

    @property
    def classes(self) -> int:
        return self._any.classes

    @property
    def members(self) -> int:
        return self._any.members

    @property
    def kind(self) -> CertificateKind:
        """The kind of certificate that the run makes."""
        return CERTIFICATES[self.config.certification.certificate]

    @property
    def budgets(self) -> bool:
        """True where changes of training images are certified as norms, with the test input's where it may move."""
        return self.kind.weighs and self.sigma_train is not None

    @cached_property
    def share(self) -> Share | None:
        """The draw of a member's training images and the noise on them, for joint budgets; None as ``sigma_train``."""
        if self.sigma_train is None:
            return None
        return Share(self.config.training.seen_of(len(self.sigma_train)), self.sigma_train)

    @property
    def modes(self) -> tuple[str, ...]:
        """All modes that the run's votes can be counted in, see :func:`vote_bounds.modes`."""
        return vote_bounds.modes(self._any, self.config)

    @property
    def joint_modes(self) -> tuple[str, ...]:
        """The sound modes whose classifier the joint budget is about: not the fixed ensemble."""
        return tuple(mode for mode in self.sound_modes if mode != FIXED)

    @property
    def sound_modes(self) -> tuple[str, ...]:
        """The modes whose numbers are certificates."""
        return vote_bounds.sound_modes(self._any)

    @property
    def own_map(self) -> str:
        """The noise map of the run's own test inputs, or the uniform one where they choose among candidates."""
        return vote_bounds.own_map(self._any, self.config)

    @property
    def _any(self) -> InputVotes:
        return next(iter(self.sets.values()))


def read_run_votes(run: Run) -> RunVotes:
    """Read the votes of a run.

    Raises:
        RunError: the run has not voted yet, or a file is damaged.
    """
    fixed = run.arrays("fixed") if (run.path / "fixed.safetensors").exists() else {}
    return run_votes(run.config, run.arrays("votes"), run.arrays("sigma"), fixed)


def run_votes(
    config: RunConfig,
    votes: Mapping[str, np.ndarray],
    sigma: Mapping[str, np.ndarray],
    fixed: Mapping[str, np.ndarray] | None = None,
) -> RunVotes:
    """Sort votes by test set and noise map.

    Args:
        votes: ``labels``, ``votes/SET/MAP``, ``softmax/SET/MAP`` and, of some, ``votes/SET/margins``,
            ``votes/SET/ranks``, ``draws/SET`` and ``left_out``, as votes.safetensors holds them.
        sigma: noise levels of ``train`` and the test sets, as sigma.safetensors holds them.
        fixed: ``votes/SET``, ``softmax/SET`` and ``sigma/SET`` of the fixed ensemble's draws, where it has some.
    """
    noise, fixed = config.noise, fixed or {}

    def by_map(kind: str, test_set: str) -> dict[str, np.ndarray]:
        keys = {noise_map: f"{kind}/{test_set}/{noise_map}" for noise_map in ("sample-specific", "uniform")}
        return {noise_map: votes[key] for noise_map, key in keys.items() if key in votes}

    def drawn(kind: str, test_set: str) -> dict[str, np.ndarray]:
        return {FIXED: fixed[f"{kind}/{test_set}"]} if fixed else {}

    chosen = f"votes/{SETS[0]}/candidates" in votes
    labels = votes["labels"]
    return RunVotes(
        config=config,
        sets={
            test_set: InputVotes(
                votes=by_map("votes", test_set) | drawn("votes", test_set),
                softmax=by_map("softmax", test_set) | drawn("softmax", test_set),
                sigma={"sample-specific": sigma[test_set], "uniform": np.full(len(labels), noise.level)}
                | drawn("sigma", test_set),
                margins=votes.get(f"votes/{test_set}/margins"),
                ranks=votes.get(f"votes/{test_set}/ranks"),
                candidates=noise.test_candidates if chosen else (),
                candidate_votes=votes.get(f"votes/{test_set}/candidates"),
                candidate_softmax=votes.get(f"softmax/{test_set}/candidates"),
                draws=votes.get(f"draws/{test_set}"),
            )
            for test_set in SETS
        },
        sigma_train=None if "left_out" in votes else sigma.get("train"),
        labels=labels,
        left_out=tuple(votes["left_out"].tolist()) if "left_out" in votes else (),
    )
