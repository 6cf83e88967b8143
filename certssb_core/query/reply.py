"""What a finished run says about one image."""

from __future__ import annotations

from dataclasses import dataclass

from certssb_core.errors import RunError
from certssb_core.runs.run import Run


@dataclass(frozen=True)
class Reply:
    """The store's answer where a stored ball holds the image, else the members'.

    Attributes:
        answered_by: ``store`` where a stored ball holds the image, else ``members``.
        answer: the class's name, or ABSTAIN; label: its number, -1 for ABSTAIN.
        radius: changes below it are certified, by whoever answered; unit: of what.
        ball: id of the stored ball that answered; None where the members did.
        votes: members' votes per class; prediction, p_a_lower, p_b_upper, margin, sigma: their certificate.
        members_radius: its radius, whoever answered.
        promise: what a radius promises; condition: under which the members' certificate holds.
    """

    answered_by: str
    answer: str
    label: int
    radius: float
    unit: str
    ball: int | None
    votes: tuple[int, ...]
    prediction: int
    p_a_lower: float
    p_b_upper: float
    margin: float
    sigma: float
    members_radius: float
    promise: str
    condition: str


def check_can_answer(run: Run) -> None:
    """See that the members of a run can vote on a new image.

    Raises:
        RunError: the run is not finished, or what that takes is not there.
    """
    members = run.path / "members"
    if run.status().state != "done":
        raise RunError(f"{run.name} is not finished; resume it first")
    if not members.is_dir():
        raise RunError(f"{run.name} came as a capsule, without its members, so nobody can vote on a new image")
    if run.config.noise.test_map == "sample-specific" and run.config.origin != "trained":
        raise RunError(f"{run.name} was imported without its base classifier: σ* of a new image cannot be found")
    if not any(members.glob("shard-*.safetensors")):
        raise RunError(f"{members} holds no members: this run cannot vote again")
