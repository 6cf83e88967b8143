"""Re-verification: votes → bounds → margins → radii → store → metrics, recomputed from a run's files.

Every step is computed again by :mod:`.recompute` from the recorded step before it, so that the first row that
differs names the step that is wrong. Beside that, all files are hashed against the manifest.

Notes:
    A model's weights, and in a capsule the votes of the mode that was not certified, are held by their hash alone:
    nothing else in a run follows from them. No check can find a forgery that is consistent from the votes up; to find
    one, train members again from the config and the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from certssb_core.errors import Differs, NotPossible, RunError
from certssb_core.runs.files import PUBLISHED_SEED
from certssb_core.runs.run import Run
from certssb_core.verification import certificates, fixed_votes, metrics, recorded_files, store
from certssb_core.verification.evidence import Evidence

CHECKS: dict[str, Callable[[Evidence], str]] = {
    "files": recorded_files.hashes,
    "manifest": recorded_files.manifest,
    "votes of the members": recorded_files.member_votes,
    "dataset and poison": recorded_files.dataset,
    "noise levels": recorded_files.noise_levels,
    "vote counts": certificates.vote_counts,
    "bounds": certificates.bounds,
    "margins and radii": certificates.radii,
    "ledger": store.ledger,
    "centres": store.centres,
    "store, balls": store.balls,
    "store, other inputs": store.other_inputs,
    "metrics": metrics.counted,
    "measurements": metrics.measured,
}
"""All checks in the order of the data's way, by the name they are reported under."""

FIXED_CHECKS: dict[str, Callable[[Evidence], str]] = {"fixed ensemble": fixed_votes.draws}
"""Further checks of a run whose fixed ensemble has voted."""

SEED_CHECKS: dict[str, Callable[[Evidence], str]] = {"published seed": recorded_files.published_seed}
"""Further checks of a run whose secret seed was published."""

CAPSULE_CHECKS: dict[str, Callable[[Evidence], str]] = {
    "files not carried": recorded_files.not_carried,
    "ledger as exported": store.as_exported,
    "checklist as exported": recorded_files.checklist,
}
"""Further checks of a run that came as a capsule."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; ``detail`` says what was checked, what differs first, or why it is not possible."""

    check: str
    outcome: Literal["passed", "failed", "not possible"]
    detail: str


def verify(run: Run) -> list[Finding]:
    """Run every check that a finished run's files allow. It only reads, and loads no model.

    Raises:
        RunError: the run is not finished.
    """
    if run.status().state != "done":
        raise RunError(f"{run.name} is not finished: there is nothing to verify yet")
    evidence = Evidence(run)
    checks = CHECKS | (FIXED_CHECKS if (run.path / "fixed.json").exists() else {})
    checks |= SEED_CHECKS if (run.path / PUBLISHED_SEED).exists() else {}
    checks |= CAPSULE_CHECKS if evidence.imported else {}
    return [_outcome(name, check, evidence) for name, check in checks.items()]


def _outcome(name: str, check: Callable[[Evidence], str], evidence: Evidence) -> Finding:
    try:
        return Finding(name, "passed", check(evidence))
    except NotPossible as reason:
        return Finding(name, "not possible", str(reason))
    except (Differs, RunError) as difference:
        return Finding(name, "failed", str(difference))
    except Exception as error:  # a damaged file can break any check, in any way: that is a finding too
        return Finding(name, "failed", f"the files cannot be read as a run's ({type(error).__name__}: {error})")
