"""Commands that doubt a finished run: inspection, verification, falsification, and capsules to verify elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certssb_core.cli.common import (
    FAILED,
    Address,
    AsJson,
    BoundName,
    EngineName,
    Mode,
    RunName,
    RunsDir,
    app,
    fail,
    placed,
    print_json,
    say,
)
from certssb_core.runs.run import Run


@app.command()
def inspect(
    run: RunName,
    mode: Mode = None,
    bound: BoundName = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Check what a run's certificates rest on: green, amber or red, with the reason."""
    from certssb_core.audit import inspection

    findings = inspection.inspect(Run.open(run, runs_dir), mode=mode, bound=bound)
    if as_json:
        print_json([finding.__dict__ for finding in findings])
        return
    for finding in findings:
        say(f"{finding.colour.upper():6} {finding.title}: {finding.reason}")


@app.command()
def falsify(
    run: RunName,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for all of it.")] = 10.0,
    worlds: Annotated[int, typer.Option(min=0, help="Worlds to retrain.")] = 20,
    searches: Annotated[int, typer.Option(min=0, help="Gradient searches inside certified balls.")] = 2000,
    members: Annotated[int | None, typer.Option(min=1, help="At most so many per world; default: the run's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the attack.")] = 0,
    mode: Mode = None,
    engine: EngineName = None,
    address: Address = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Try to break what a finished run certified; exits with 1 where more breaks than the certificates admit to."""
    from certssb_core.falsification import falsify as falsification

    found = Run.open(run, runs_dir)
    place = placed(found.config, engine or "local", address).training
    report = falsification.falsify(
        found,
        minutes=minutes,
        worlds=worlds,
        searches=searches,
        members=members,
        seed=seed,
        mode=mode,
        engine=place.engine,
        address=place.address,
        announce=lambda part: say(f"{part.title}: {part.seconds:.0f} s", file=sys.stderr),
    )
    print_json(report) if as_json else say(falsification.table(report))
    if any(part["violations"] and not part["within"] for part in report["parts"]):
        raise typer.Exit(FAILED)


@app.command()
def export(
    run: RunName,
    output: Annotated[Path | None, typer.Option(help="File to write; default: RUN.capsule here.")] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Write a run's capsule: all that its certificates can be verified from, in one file, without weights."""
    from certssb_core import capsule

    found = Run.open(run, runs_dir)
    say(capsule.export(found, output or Path(f"{found.name}.capsule")))


@app.command("publish-seed")
def publish_seed(run: RunName, runs_dir: RunsDir = None) -> None:
    """Print the secret seed of a finished run's noise, and count it as published from now on.

    Whoever has it can make the members again. Certificates hold for inputs and data chosen before that.
    """
    from certssb_core.runs import files

    found = Run.open(run, runs_dir)
    if found.config.noise_seed == "public":
        say(f"{found.config.seed}, which is public: the noise follows from the run's seed")
        return
    if found.status().state != "done":
        fail(f"{found.name} is not finished: its seed is needed secret until then", FAILED)
    seed = found.noise_seed
    if not (found.path / files.PUBLISHED_SEED).exists():
        files.write_bytes(found.path / files.PUBLISHED_SEED, (found.path / files.SECRET).read_bytes())
    say(seed)


@app.command("import")
def import_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capsule.")],
    name: Annotated[str | None, typer.Option(help="Name of the run; default: its own.")] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Make a run of a capsule, to look at and to verify; prints its folder."""
    from certssb_core import capsule

    say(capsule.import_capsule(file, name, runs_dir).path)


@app.command()
def verify(
    source: Annotated[str, typer.Argument(metavar="CAPSULE_OR_RUN", help="A capsule's file, or a run.")],
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Recompute votes, bounds, radii, store and metrics, and hash every file; fails naming the first difference."""
    from certssb_core import capsule, verification

    if Path(source).is_file():
        with capsule.opened(Path(source)) as found:
            findings = verification.verify(found)
    else:
        findings = verification.verify(Run.open(source, runs_dir))
    if as_json:
        print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            say(f"{finding.outcome:14}{finding.check:24}{finding.detail}")
    if failed := [finding for finding in findings if finding.outcome == "failed"]:
        fail(f"{source} does not verify: {failed[0].detail}", FAILED)
