"""The reply of a finished run to one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from certssb_core.errors import RunError
from certssb_core.runs.run import Run


@dataclass(frozen=True)
class Reply:
    """The answer of the stored ball that holds the image, else the members'.

    Attributes:
        answered_by: ``store`` where a stored ball holds the image, else ``members``.
        answer: the class's name, or ABSTAIN; label: its number, -1 for ABSTAIN.
        radius: changes below it are certified, by whoever answered, and reach into no stored ball of another label;
            unit: of what.
        ball: id of the stored ball that holds the image, counted in order of arrival from 0; None where none does.
        inserted: whether that ball is this very certificate, stored just now.
        votes: members' votes per class; prediction, p_a_lower, p_b_upper, margin, sigma: their certificate.
        members_radius: its radius, whoever answered and whatever the store leaves of it.
        promise: what ``radius`` promises; condition: under which the members' certificate holds.
        fixed: the answer of the fixed ensemble, drawn afresh for this question, where the run has one: ``draws, jury,
            seed, votes, prediction, answer, p_a_lower, p_b_upper, margin, sigma, radius, promise, condition``.
        undefended: class number that the run's undefended model answers; None where the run has no such model.
    """

    answered_by: str
    answer: str
    label: int
    radius: float
    unit: str
    ball: int | None
    inserted: bool
    votes: tuple[int, ...]
    prediction: int
    p_a_lower: float
    p_b_upper: float
    margin: float
    sigma: float
    members_radius: float
    promise: str
    condition: str
    fixed: dict[str, Any] | None = None
    undefended: int | None = None


STORED = (
    "A stored ball holds this image: every image less than the radius away gets the same answer, as long as this store "
    "is kept and asked first."
)
NOT_STORED = (
    "Nothing is stored: another image, even inside the radius, is asked at a noise level of its own and may be "
    "answered otherwise."
)


def promise(certificate: str, *, in_a_ball: bool, own_level: bool) -> str:
    """The promise of an answer's radius, in words.

    Args:
        certificate: the promise of the members' certificate.
        in_a_ball: whether a stored ball holds the image.
        own_level: whether every image is asked at a noise level of its own.
    """
    if in_a_ball:
        return STORED
    return f"{certificate} {NOT_STORED}" if own_level else certificate


def check_can_answer(run: Run) -> None:
    """Check that the members of a run can vote on a new image.

    Raises:
        RunError: the run is not finished, or what that takes is not there.
    """
    members = run.path / "members"
    if run.status().state != "done":
        raise RunError(f"{run.name} is not finished; resume it first")
    if not members.is_dir():
        raise RunError(f"{run.name} came as a capsule, without its members, so nobody can vote on a new image")
    if run.config.noise.searches_test and run.config.origin != "trained":
        raise RunError(f"{run.name} was imported without its base classifier: σ* of a new image cannot be found")
    if not any(members.glob("shard-*.safetensors")):
        raise RunError(f"{members} holds no members: this run cannot vote again")
