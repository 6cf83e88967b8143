"""Shared by every command: the application, its options, exit codes, and printing."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from pathlib import Path
from typing import Annotated, Any

import typer

from certssb_core.certify import published_release
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import TEST_MAPS
from certssb_core.config import schema as configuration
from certssb_core.config.parse import override, read_config
from certssb_core.config.presets import PRESETS
from certssb_core.errors import ConfigError
from certssb_core.plain_text import terminal_json, terminal_text
from certssb_core.results.attack_verdict import caveats
from certssb_core.results.enough_members import too_few_members
from certssb_core.runs import integrity
from certssb_core.runs.job import Job
from certssb_core.runs.run import Run, Status

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _path(text: str | Path) -> Path:
    """A path as it was typed; ``--option=~/x`` reaches us with its ``~``, which no shell expands there."""
    return Path(text).expanduser()


RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", parser=_path, help="Folder of the runs; default: checkpoints/.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Mode = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(TEST_MAPS)}, or {published_release.MODE}, which is NOT A CERTIFICATE; default: the run's."
    ),
]
BoundName = Annotated[
    str | None, typer.Option("--bound", help=f"Bound on the votes: {', '.join(BOUNDS)}; default: the run's.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")]
Source = Annotated[str, typer.Argument(metavar="PRESET_OR_FILE", help="A preset's name, or a JSON file.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="e.g. training.members=50; repeatable.")
]
Queue = Annotated[
    bool, typer.Option("--queue", help="Wait for runs at work, in the background; start if there are none.")
]

EngineName = Annotated[str | None, typer.Option("--engine", help="Where members are made: local, or ray (a cluster).")]
Address = Annotated[
    str | None, typer.Option("--address", help="Of the Ray cluster; default: RAY_ADDRESS, else one started here.")
]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ForEver = Annotated[bool, typer.Option("--for-ever", help="Delete it now instead; nothing brings it back.")]

FAILED, MISUSED, DATA, STOPPED = 1, 2, 3, 130


def chosen_config(source: str, settings: list[str] | None) -> configuration.RunConfig:
    """The config of a preset or file, with ``--set`` applied.

    Raises:
        ConfigError: there is none, or a setting does not fit.
    """
    if source in PRESETS:
        config = PRESETS[source]
    elif Path(source).is_file():
        config = read_config(Path(source))
    else:
        raise ConfigError(f"{source!r} is neither a preset ({', '.join(PRESETS)}) nor a file")
    return override(config, dict(map(_assignment, settings or [])))


def placed(config: configuration.RunConfig, engine: str | None, address: str | None) -> configuration.RunConfig:
    """The config with ``--engine`` and ``--address``, where they are given.

    Raises:
        ConfigError: there is no such engine, or an address goes with none.
        RunError: Ray is not installed.
    """
    given = {"training.engine": engine, "training.address": address}
    config = override(config, {key: value for key, value in given.items() if value is not None})
    if config.training.engine == "ray":
        from certssb_core.pipeline.engines.ray_cluster import imported

        imported()
    elif address is not None:
        raise ConfigError("--address belongs to --engine ray")
    return config


def warn_of_too_few(config: configuration.RunConfig) -> None:
    """Say that nothing can be certified with so few members, before any is trained."""
    if warning := too_few_members(config):
        say(f"warning: {warning}", file=sys.stderr)


def _assignment(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"--set {text}: expected KEY=VALUE")
    return key.strip(), value


def intact(name: str, runs_dir: Path | None) -> Run:
    """A run whose numbers are those that it wrote.

    Raises:
        RunError: there is none, or a file of it is damaged.
    """
    found = Run.open(name, runs_dir)
    integrity.check(found, *integrity.NUMBERS)
    return found


def say(*parts: object, **options: Any) -> None:
    """Print text, some of which may come from others: :func:`print` without control characters."""
    print(*(terminal_text(part) for part in parts), **options)


def put_away(job: Job, *, for_ever: bool, yes: bool, note: str = "") -> None:
    """Move a job to the trash, or delete it for ever; asks first unless ``yes``, and says ``note`` with it."""
    size = f"{job.size() / 1e6:.1f} MB"
    if not yes:
        question = f"Delete {job.path} ({size}) for ever?" if for_ever else f"Move {job.path} ({size}) to the trash?"
        typer.confirm(f"{question}{note}", abort=True)
    if for_ever:
        job.delete()
        say(f"{size} freed")
    else:
        say(f"{job.discard()}: `trash --put-back {job.name}` brings it back, `trash --empty` frees {size}")


def print_json(value: Any) -> None:
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")  # else an escape that JSON does not know
    print(terminal_json(value, plain=plain))


def speak_every_encoding() -> None:
    """Let what a terminal or file of another encoding cannot hold be spelt out: ``sigma`` for σ, ``>=`` for ≥."""
    codecs.register_error("spelt-out", _spell_out)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spelt-out")


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_spelt, error.object[error.start : error.end])), error.end


def _spelt(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith("GREEK SMALL LETTER "):
        return name.rpartition(" ")[2].lower()
    return _SPELT.get(character, "?")


_SPELT = {"≥": ">=", "≤": "<=", "≈": "~", "→": "->", "–": "-", "—": "-", "…": "...", "₀": "0", "×": "x", "Σ": "sum"}


def print_metrics(metrics: dict[str, Any]) -> None:
    clean, triggered = metrics["clean"], metrics["triggered"]
    say(
        f"clean      n {clean['n']}  accuracy {clean['accuracy']:.4f}  abstained {clean['abstained']:.4f}  ",
        end="",
    )
    unit = metrics.get("unit", "L2 pixel units")
    say(f"average certified radius {clean['average_certified_radius']:.3f} ({unit})")
    say(f"triggered  n {triggered['n']}  attack success {triggered['attack_success_rate']:.4f}  ", end="")
    say(f"empirical robust accuracy {triggered['empirical_robust_accuracy']:.4f}")
    if left_out := metrics.get("left_out"):
        say(f"left out   {len(left_out)} members that diverged: {', '.join(map(str, left_out))}")
    if after := metrics.get("after_store"):
        say(
            f"by store   accuracy {after['clean']['accuracy']:.4f}  average certified radius "
            f"{after['clean']['average_certified_radius']:.3f}  attack success "
            f"{after['triggered']['attack_success_rate']:.4f}"
        )
    if undefended := metrics.get("undefended"):
        base = f"  without trigger {undefended['base_rate']:.4f}" if "base_rate" in undefended else ""
        success = f"attack success {undefended['attack_success_rate']:.4f}{base}"
        say(f"undefended accuracy {undefended['clean_accuracy']:.4f}  {success}")
    if planted := metrics.get("planted_attack"):
        counts = "  ".join(
            f"{name} {planted[name]['certified']} of {planted[name]['n']}" for name in ("clean", "triggered")
        )
        say(f"planted    certified against {planted['images']} images and norm {planted['norm']:g}: {counts}")
    if "undefended" in metrics:
        for caveat in caveats(metrics):
            say(f"caution    {caveat}")
    for name, ends in metrics.get("sigma_at_ends", {}).items():
        say(f"σ* at ends {name}: {ends['low']:.1%} at the least, {ends['high']:.1%} at the largest level")
    if asked := metrics.get("permuted_levels"):
        say(f"σ* permuted {asked['same_answer']:.1%} keep their answer, accuracy {asked['accuracy_permuted']:.4f}")
    say(f"radius     {'  '.join(f'{float(radius):>6.2f}' for radius in clean['certified_accuracy'])}")
    for title, curve in (
        ("clean", clean["certified_accuracy"]),
        ("triggered", triggered["certified_robust_accuracy"]),
    ):
        say(f"{title:10} {'  '.join(f'{share:>6.4f}' for share in curve.values())}")
    if store := metrics.get("store"):
        say("store      " + "  ".join(f"{name} {count}" for name, count in store.items()))
    if seconds := metrics.get("seconds"):
        say("seconds    " + "  ".join(f"{stage} {value:.1f}" for stage, value in seconds.items()))


def ended(status: Status, *, again: str) -> None:
    """Go on if a job is done; else say how it ended, what continues it, and exit."""
    if status.state == "failed":
        fail(status.message, DATA if status.cause == "data" else FAILED)
    if status.state == "stopped":
        say(f"{status.message}: `python -m certssb_core {again}`", file=sys.stderr)
        raise typer.Exit(STOPPED)


def fail(message: str, code: int) -> None:
    say(f"error: {message}", file=sys.stderr)
    sys.exit(code)
