"""The command line: ``python -m certssb_core``. Everything the dashboard does, without a browser.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 data missing or damaged; 130 stopped, resumable.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from certssb_core.certify import release
from certssb_core.data.sources import DataError
from certssb_core.data.triggers import PoisonError
from certssb_core.experiment import config as configuration
from certssb_core.experiment.config import ConfigError
from certssb_core.experiment.presets import DEFAULT_PRESET, PRESETS
from certssb_core.experiment.run import Run, RunError, free_name

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

RunsDir = Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs; default: checkpoints/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Mode = Annotated[str | None, typer.Option(help="sample-specific, uniform, or release, which is NOT A CERTIFICATE.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")]

FAILED, MISUSED, DATA, STOPPED = 1, 2, 3, 130


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="PRESET_OR_FILE", help="A preset's name, or a JSON file.")] = (
        DEFAULT_PRESET
    ),
    name: Annotated[str | None, typer.Option(help="Name of the run; default: preset and time.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="e.g. training.members=50; repeatable."),
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Start a run and follow it to its end; prints its folder as the last line."""
    config = PRESETS[source] if source in PRESETS else _read(source)
    config = configuration.override(config, dict(map(_assignment, settings or [])))
    stem = source if source in PRESETS else Path(source).stem
    _follow(Run.create(config, name or free_name(stem, runs_dir), runs_dir))


@app.command()
def resume(run: RunName, runs_dir: RunsDir = None) -> None:
    """Continue a stopped or failed run where it was; the votes come out the same."""
    _follow(Run.open(run, runs_dir))


@app.command("list")
def list_runs(as_json: AsJson = False, runs_dir: RunsDir = None) -> None:
    """All runs, newest first."""
    runs = [(found, found.status()) for found in Run.all(runs_dir)]
    if as_json:
        _print_json([{"name": found.name, "path": str(found.path)} | status.__dict__ for found, status in runs])
        return
    for found, status in runs:
        progress = f"{status.stage} {status.done}/{status.total}" if status.state != "done" else ""
        print(f"{found.name:40} {status.state:8} {progress:24} {_title(found)}")


@app.command()
def show(run: RunName, as_json: AsJson = False, runs_dir: RunsDir = None) -> None:
    """A run's config, state and figures."""
    found = Run.open(run, runs_dir)
    status = found.status()
    if as_json:
        metrics = found.metrics if status.state == "done" else None
        _print_json(
            {"name": found.name, "path": str(found.path), "status": status.__dict__}
            | {"config": found.config.model_dump(mode="json"), "metrics": metrics}
        )
        return
    print(f"{found.name}: {status.state}  {status.message}")
    for key, value in configuration.flatten(found.config).items():
        print(f"  {key:32} {value}")
    if status.state == "done":
        _print_metrics(found.metrics)


@app.command()
def certify(
    run: RunName,
    bound: Annotated[
        str | None, typer.Option(help="clopper-pearson, joint, selection-split, time-uniform or hoeffding.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(min=1e-12, max=0.5, help="Failure probability.")] = None,
    mode: Mode = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Certify again from the stored votes, under another bound, α or mode; nothing is trained."""
    from certssb_core.audit.attribution import attribution
    from certssb_core.experiment import certification

    found = Run.open(run, runs_dir)
    wanted = {"certification.bound": bound, "certification.alpha": alpha}
    config = configuration.override(
        found.config, {key: json.dumps(value) for key, value in wanted.items() if value is not None}
    )
    settings, mode = config.certification, mode or config.noise.test_map
    voted = certification.voted(found)
    table = certification.certify(voted, mode=mode, bound=settings.bound, alpha=settings.alpha)
    metrics = certification.assess(voted, table, radii=settings.radii)
    promise = certification.promise(config, mode)
    steps = attribution(voted, bound=settings.bound, alpha=settings.alpha) if mode == release.MODE else None
    chosen = {"mode": certification.label(mode)}
    used = {"bound": settings.bound, "count": int(table["members"].iloc[0])}
    if mode == release.MODE:
        used = {"bound": release.BOUND.title, "count": release.COUNT}
    chosen |= used | {"alpha": settings.alpha, "members": voted.members}
    if as_json:
        attributed = {} if steps is None else {"attribution": steps.to_dict("records")}
        _print_json(chosen | metrics | {"promise": promise.__dict__} | attributed)
        return
    print("  ".join(f"{key} {value}" for key, value in chosen.items()))
    _print_metrics(metrics)
    print(f"Promise: {promise.test_radius}\nCondition: {promise.condition}")
    if steps is not None:
        print("From the release's arithmetic to a certificate, which only the last two rows are:")
        print(steps.round(4).to_string(index=False))


@app.command()
def inspect(
    run: RunName,
    mode: Mode = None,
    bound: Annotated[str | None, typer.Option(help="clopper-pearson or hoeffding.")] = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """What a run's certificates rest on, point by point: green, amber or red, with the reason."""
    from certssb_core.audit import inspection

    findings = inspection.inspect(Run.open(run, runs_dir), mode=mode, bound=bound)
    if as_json:
        _print_json([finding.__dict__ for finding in findings])
        return
    for finding in findings:
        print(f"{finding.colour.upper():6} {finding.title}: {finding.reason}")


@app.command("import-release")
def import_release(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The release's folder, with model/ and sigma/.")],
    dataset: Annotated[str, typer.Option(help="mnist.")] = "mnist",
    classes: Annotated[str, typer.Option(help="0,1.")] = "0,1",
    trigger: Annotated[str, typer.Option(help="onepixel, fourpixel or blending.")] = "onepixel",
    sigma: Annotated[float, typer.Option(help="The global σ that names the files.")] = 0.12,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: setting and time.")] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Turn the public Cert-SSBD release's members and σ* into a run; prints its folder as the last line."""
    from certssb_core.experiment import release_import

    name = name or free_name(f"release-{dataset}-{trigger}", runs_dir)
    _follow(
        release_import.create(
            folder, dataset=dataset, classes=classes, trigger=trigger, sigma=sigma, name=name, runs_dir=runs_dir
        )
    )


@app.command()
def query(
    run: RunName,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Ask a finished run about an image: the store answers first, else the members vote and are certified."""
    from certssb_core.experiment.query import ask, read_image

    found = Run.open(run, runs_dir)
    reply = ask(found, read_image(image, found))
    if as_json:
        _print_json(reply.__dict__)
        return
    print(f"answered by {reply.answered_by}: {reply.answer}, certified to L2 distance {reply.radius:.4g}")
    print(f"votes {reply.votes} at σ {reply.sigma:.4g}; prediction {reply.prediction}; margin {reply.margin:.4g}")
    print(f"Condition: {reply.condition}")


@app.command()
def falsify(
    run: RunName,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for all of it.")] = 10.0,
    worlds: Annotated[int, typer.Option(min=0, help="Worlds to retrain.")] = 20,
    searches: Annotated[int, typer.Option(min=0, help="Gradient searches inside certified balls.")] = 2000,
    members: Annotated[int | None, typer.Option(min=1, help="At most so many per world; default: the run's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the attack.")] = 0,
    mode: Mode = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Try to break what a finished run certified; exits with 1 where more breaks than the certificates admit to."""
    from certssb_core.audit import falsification

    report = falsification.falsify(
        Run.open(run, runs_dir),
        minutes=minutes,
        worlds=worlds,
        searches=searches,
        members=members,
        seed=seed,
        mode=mode,
        announce=lambda part: print(f"{part.title}: {part.seconds:.0f} s", file=sys.stderr),
    )
    print(json.dumps(report, indent=2, ensure_ascii=False) if as_json else falsification.table(report))
    if any(part["violations"] and not part["within"] for part in report["parts"]):
        raise typer.Exit(FAILED)


@app.command()
def budget(
    run: RunName,
    images: Annotated[int | None, typer.Option(help="n poisoned training images; default: 253, as published.")] = None,
    norm: Annotated[float | None, typer.Option(help="Their norm τ and the test input's; default: the run's.")] = None,
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Translate "n poisoned images at norm τ" into certified inputs, and back, in every mode of a run."""
    from certssb_core.audit.budget import run_norm, translate
    from certssb_core.experiment import certification

    found = Run.open(run, runs_dir)
    voted = certification.voted(found)
    budgets = translate(voted, images=images, norm=run_norm(found) if norm is None else norm)
    if as_json:
        _print_json([one.__dict__ | {"promise": one.promise.__dict__} for one in budgets])
        return
    for one in budgets:
        print(f"test noise {one.mode}, training noise {one.train_map}; {one.right} of {one.inputs} clean inputs right")
        print(f"  {one.images} images at norm {one.norm:g}: {one.certified} inputs certified")
        print(f"  at norm {one.norm:g}: up to {one.images_max} images (median {one.images_median}; -1: no move at all)")
        print(f"  {one.images} images: below norm {one.norm_max:.4g} (median {one.norm_median:.4g})")
        print(f"  Promise: {one.promise.joint_budget}\n  Condition: {one.promise.condition}")


@app.command()
def export(
    run: RunName,
    output: Annotated[Path | None, typer.Option(help="File to write; default: RUN.capsule here.")] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Write a run's capsule: all that its certificates can be verified from, in one file, without weights."""
    from certssb_core.audit import capsule

    found = Run.open(run, runs_dir)
    print(capsule.export(found, output or Path(f"{found.name}.capsule")))


@app.command("import")
def import_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capsule.")],
    name: Annotated[str | None, typer.Option(help="Name of the run; default: its own.")] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Make a run of a capsule, to look at and to verify; prints its folder."""
    from certssb_core.audit import capsule

    print(capsule.import_capsule(file, name, runs_dir).path)


@app.command()
def verify(
    source: Annotated[str, typer.Argument(metavar="CAPSULE_OR_RUN", help="A capsule's file, or a run.")],
    as_json: AsJson = False,
    runs_dir: RunsDir = None,
) -> None:
    """Recompute votes, bounds, radii, store and metrics, and hash every file; fails naming the first difference."""
    from certssb_core.audit import capsule, verification

    if Path(source).is_file():
        with capsule.opened(Path(source)) as found:
            findings = verification.verify(found)
    else:
        findings = verification.verify(Run.open(source, runs_dir))
    if as_json:
        _print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.outcome:14}{finding.check:24}{finding.detail}")
    if failed := [finding for finding in findings if finding.outcome == "failed"]:
        _fail(f"{source} does not verify: {failed[0].detail}", FAILED)


@app.command()
def presets(as_json: AsJson = False) -> None:
    """The presets."""
    if as_json:
        _print_json({name: preset.model_dump(mode="json") for name, preset in PRESETS.items()})
        return
    for name, preset in PRESETS.items():
        print(f"{name:32} {preset.title}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What works here: device, data, optional packages."""
    from certssb_core.experiment.doctor import examine

    findings = examine()
    if as_json:
        _print_json([finding.__dict__ for finding in findings])
        return
    for finding in findings:
        print(f"{'ok' if finding.present else '--'}  {finding.name:28} {finding.message}")


@app.command(hidden=True)
def worker(path: Path) -> None:
    """Take one run through the pipeline, in this process."""
    from certssb_core.experiment.worker import work

    raise typer.Exit(0 if work(Run(path)) else FAILED)


def main() -> None:
    """Run the command line; expected errors become one plain line and an exit code."""
    try:
        app()
    except (ConfigError, RunError) as error:
        _fail(str(error), MISUSED if isinstance(error, ConfigError) else FAILED)
    except PoisonError as error:
        _fail(str(error), MISUSED)
    except DataError as error:
        _fail(str(error), DATA)


def _follow(run: Run) -> None:
    from certssb_core.experiment.follow import follow

    status = follow(run)
    if status.state == "failed":
        _fail(status.message, DATA if status.cause == "data" else FAILED)
    if status.state == "stopped":
        print(f"stopped; `python -m certssb_core resume {run.path}` continues it", file=sys.stderr)
        raise typer.Exit(STOPPED)
    _print_metrics(run.metrics)
    print(run.path)


def _read(source: str) -> configuration.RunConfig:
    if not Path(source).is_file():
        raise ConfigError(f"{source!r} is neither a preset ({', '.join(PRESETS)}) nor a file")
    return configuration.read(Path(source))


def _assignment(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"--set {text}: expected KEY=VALUE")
    return key.strip(), value


def _title(run: Run) -> str:
    try:
        return run.config.title
    except ConfigError as error:
        return f"(unreadable: {str(error).splitlines()[0]})"


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _print_metrics(metrics: dict[str, Any]) -> None:
    clean, triggered = metrics["clean"], metrics["triggered"]
    print(
        f"clean      n {clean['n']}  accuracy {clean['accuracy']:.4f}  abstained {clean['abstained']:.4f}  ",
        end="",
    )
    print(f"average certified radius {clean['average_certified_radius']:.3f}")
    print(f"triggered  n {triggered['n']}  attack success {triggered['attack_success_rate']:.4f}  ", end="")
    print(f"empirical robust accuracy {triggered['empirical_robust_accuracy']:.4f}")
    if "undefended" in metrics and metrics["undefended"] is None:
        print("undefended not known: this run has no undefended model, so whether the attack works is not known")
    elif undefended := metrics.get("undefended"):
        success = undefended["attack_success_rate"]
        vacuous = "" if undefended["attack_works"] else "  the attack fails: this certificate defends against nothing"
        print(f"undefended accuracy {undefended['clean_accuracy']:.4f}  attack success {success:.4f}{vacuous}")
    print(f"radius     {'  '.join(f'{float(radius):>6.2f}' for radius in clean['certified_accuracy'])}")
    for title, curve in (
        ("clean", clean["certified_accuracy"]),
        ("triggered", triggered["certified_robust_accuracy"]),
    ):
        print(f"{title:10} {'  '.join(f'{share:>6.4f}' for share in curve.values())}")
    if store := metrics.get("store"):
        print("store      " + "  ".join(f"{name} {count}" for name, count in store.items()))
    if seconds := metrics.get("seconds"):
        print("seconds    " + "  ".join(f"{stage} {value:.1f}" for stage, value in seconds.items()))


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
