"""Find files that changed since they were written, before a number is read from them, and remove them to be remade.

While a run is at work its log notes the sha256 of every result as it is written; when it has finished, its manifest
holds them. Nothing here trains or votes.
"""

from __future__ import annotations

from certssb_core.errors import RunError
from certssb_core.runs import files
from certssb_core.runs.files import CAPSULE
from certssb_core.runs.run import Run

NUMBERS = ("config.json", "votes.safetensors", "sigma.safetensors", "certificates.csv", "metrics.json")
"""The files that every number shown of a run comes from."""

REMADE = "store.sqlite"
"""Made anew where a run came as a capsule; its entries have a hash of their own, which verification checks."""

WROTE = "wrote"
"""Kind of the events that note what was written."""


def note(run: Run, *names: str) -> None:
    """Put the sha256 of files that were just written into the run's log."""
    for name in names:
        run.log(WROTE, file=name, sha256=files.sha256(run.path / name))


def mend(run: Run) -> None:
    """Before a run goes on: remove what a kill left half written, and every result that is not what was written.

    What is removed is made again from the config and the seed, and comes out the same. Only the run's worker does this.
    """
    for half in run.path.rglob(".*.part"):
        half.unlink()
    noted = {event["file"]: event["sha256"] for event in run.events() if event["kind"] == WROTE}
    for name, digest in noted.items():
        path = run.path / name
        if path.is_file() and files.sha256(path) != digest:
            path.unlink()
            run.log("damaged", message=f"{name} is not what was written: removed, and made again")


def check(run: Run, *names: str) -> None:
    """Check files of a finished run against its manifest: those named, or all of them.

    Raises:
        RunError: one is missing or another; no number in it can be trusted.
    """
    if not (run.path / "manifest.json").exists():
        return
    recorded = run.manifest.get("sha256", {})
    for name in names or recorded:
        if name not in recorded or (name == REMADE and (run.path / CAPSULE).exists()):
            continue
        path = run.path / name
        try:
            found = files.sha256(path)
        except OSError as error:
            raise RunError(f"{path} cannot be read ({error.strerror}). {_ADVICE}") from None
        if found != recorded[name]:
            raise RunError(f"{path} is damaged: it is not the file that the run wrote. {_ADVICE}")


_ADVICE = "Put the run back from a copy, or make it again: its configuration and seed give the same votes."
