"""Hostile inputs: every reader of something from outside is fed mutated files and texts, and may only refuse in words.

A reader that raises anything but its own refusal, takes longer than :data:`SLOWEST`, opens a file for writing outside
its folder, starts a process or opens a socket has failed. Inputs follow from a seed: a failure names its own.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from certssb_core.capsule import import_capsule
from certssb_core.comparisons import defences
from certssb_core.comparisons.measurement import Measurement, MeasurementConfig
from certssb_core.config import schema as configuration
from certssb_core.config.parse import override, parse, read_config
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.data import readers as sources
from certssb_core.data.image_file import decode, read_image
from certssb_core.ensemble import published_members, shards
from certssb_core.errors import CapsuleError, ConfigError, DataError, RunError, ShardError
from certssb_core.jobs import forecast
from certssb_core.query.edit_image import painted
from certssb_core.runs import files, server_limits
from certssb_core.runs.run import Run, place
from certssb_core.tuning import ranges
from certssb_core.tuning.study import Study, describe
from ui.lessons import lesson_files

ROOT = Path(__file__).parents[2]
SLOWEST = 10.0
"""Seconds that one input may take, on a busy machine."""

NASTY: tuple[Any, ...] = (
    *(None, True, False, "", " ", "\0", "nan", "1e999", "-1", "../../etc/passwd", "..\\x", "\ud800", "é" * 300, "𝛔*"),
    *(0, -1, 1, 2**31, 2**63, 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -0.0),
    *([], [None], [[]], {}, {"a": {}}, [1] * 1000, "[" * 5000, {"0": [float("nan")]}),
)
TEXTS = (
    *("../", "\0", "\n", "\r", "é", "e\u0301", "\u202e", "\U0001f600", "\ud800", "σ", "CON", "nul.txt", "a" * 300),
    *(".", "-", "'", '"', "{{", "}}", "%s", "=", ":", ",", "1e9", "log", "/", "\\", "~", "$HOME"),
)
NUMBERS = (b"nan", b"inf", b"-1", b"1e309", b"99999999999999999999999", b"", b"0x10", b"\xff\xfe", b"1_0")


def mutated(content: bytes, draws: random.Random) -> bytes:
    """``content`` with some bytes flipped, cut, doubled, or replaced by what parsers stumble over."""
    data = bytearray(content)
    for _ in range(draws.choice((1, 1, 2, 4, 16))):
        at = draws.randrange(len(data) + 1)
        match draws.randrange(8):
            case 0:
                data[at : at + 1] = bytes([draws.randrange(256)])
            case 1 if data:
                data[at % len(data)] ^= 1 << draws.randrange(8)
            case 2:
                del data[at : at + draws.choice((1, 2, 8, 64, len(data)))]
            case 3:
                data[at:at] = data[at : at + draws.choice((1, 8, 64))] * draws.choice((1, 2, 50))
            case 4:
                data[at : at + 8] = draws.choice((b"\xff" * 8, b"\x7f" + b"\xff" * 7, bytes(8), b"\x80" + bytes(7)))
            case 5:
                data[at:at] = draws.choice(NUMBERS)
            case 6:
                data[at:at] = draws.choice((b"[" * 2000, b"{" * 2000, b'{"a":' * 2000, b'"', b"\0", b"\n", b","))
            case _:
                found = [*re.finditer(rb"[0-9.]+", data[:20_000])]
                if found:
                    start, end = draws.choice(found).span()
                    data[start:end] = draws.choice(NUMBERS)
    return bytes(data)


def worded(draws: random.Random, *words: str) -> str:
    """A text of some of ``words`` and of what hostile texts are made of."""
    parts = (
        draws.choice((*words, draws.choice(TEXTS), chr(draws.randrange(0x20, 0x3000))))
        for _ in range(draws.randrange(1, 9))
    )
    return "".join(parts)


@dataclass(frozen=True)
class Reader:
    """Something that reads what comes from outside.

    Attributes:
        feed: makes an input, and reads it.
        refusals: the errors by which it may refuse.
        share: of the inputs, beside the other readers.
    """

    feed: Callable[[random.Random, Path], Any]
    refusals: tuple[type[Exception], ...]
    share: int = 1


@dataclass
class Outcome:
    """Outcomes of the inputs that one reader was given."""

    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def nasty_config(draws: random.Random, folder: Path) -> None:
    values = draws.choice([*PRESETS.values()]).model_dump(mode="json")
    for _ in range(draws.randrange(1, 4)):
        groups = [values, *(one for one in values.values() if isinstance(one, dict))]
        group = draws.choice([one for one in groups if one])
        key = draws.choice([*group])
        match draws.randrange(5):
            case 0:
                del group[key]
            case 1:
                group[worded(draws, "sigma", "members")] = draws.choice(NASTY)
            case _:
                group[key] = draws.choice(NASTY)
        if not values:
            break
    config = parse(values)
    assert parse(json.loads(config.model_dump_json())) == config


def setting(draws: random.Random, folder: Path) -> None:
    known = [*configuration.flatten(RunConfig())]
    key = draws.choice(known) if draws.random() < 0.8 else worded(draws, *known[:5], ".")
    override(
        RunConfig(), {key: draws.choice((worded(draws, "0.5", "3"), json.dumps(draws.choice((0, -1, None, 7))), "NaN"))}
    )


def searched_range(draws: random.Random, folder: Path) -> None:
    words = ("noise.sigma", "training.epochs", "=", "0.1:0.5", "1,2,3", ":log", "2", "nan", "inf", "1e400")
    key, values = ranges.parse(draws.choice((worded(draws, *words), f"noise.sigma={worded(draws, *words[3:])}")))
    ranges.check({key: values}, RunConfig())


def name(draws: random.Random, folder: Path) -> None:
    given = worded(draws, "run", "-", "1", ".", "digits")
    path = place(given, folder)
    assert path.parent == folder
    assert path.name == given
    path.mkdir()
    assert path.resolve().parent == folder.resolve()
    path.rmdir()


def opened(draws: random.Random, folder: Path) -> None:
    Run.open(worded(draws, "run", "..", "/"), folder)


def stroke(draws: random.Random, folder: Path) -> None:
    def number() -> Any:
        return draws.choice((draws.randrange(-2, 70), draws.random() * 300, draws.choice(NASTY)))

    strokes = draws.choice((draws.choice(NASTY), [[number(), number()] for _ in range(draws.randrange(4))]))
    image = painted(np.zeros((1, 8, 8), np.float32), strokes)
    assert np.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1


def limit(draws: random.Random, folder: Path) -> None:
    variable = f"CERTSSB_{draws.choice([*server_limits.Limits.model_fields]).upper()}"
    value = worded(draws, "1", "0", "true", ".5", "e9").replace("\0", "").encode("utf-8", "ignore").decode()
    os.environ[variable] = value
    try:
        server_limits.current()
    finally:
        del os.environ[variable]


def of_file(read: Callable[[Path], Any], *originals: Path | bytes, suffix: str = "") -> Callable:
    """Feeds ``read`` with mutated copies of some files."""
    contents = [one if isinstance(one, bytes) else one.read_bytes() for one in originals]

    def feed(draws: random.Random, folder: Path) -> None:
        path = folder / f"input{suffix}"
        path.write_bytes(mutated(draws.choice(contents), draws))
        read(path)

    return feed


def of_run(file: str, read: Callable[[Run], Any], *originals: Path | bytes) -> Callable:
    """Feeds ``read`` with a run one of whose files is mutated."""

    def whole(path: Path) -> None:
        folder = path.parent / "run"
        folder.mkdir(exist_ok=True)
        path.replace(folder / file)
        read(Run(folder))

    return of_file(whole, *originals)


def pictures() -> list[bytes]:
    grey = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    made = []
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"):
        for mode in ("L", "RGB"):
            buffer = io.BytesIO()
            Image.fromarray(grey).convert(mode).save(buffer, format=kind)
            made.append(buffer.getvalue())
    return made


def picture(path: Path) -> None:
    image = read_image(path.read_bytes(), (1, 8, 8))
    assert image.shape == (1, 8, 8)
    assert 0 <= image.min() <= image.max() <= 1


def capsule(originals: Path) -> Callable:
    """Feeds the import with archives: mutated as a whole, or with one entry mutated, all sealed anew."""
    import hashlib

    content = originals.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}

    def feed(draws: random.Random, folder: Path) -> None:
        if draws.random() < 0.5:
            body = mutated(content[:-64], draws)
        else:
            changed, buffer = draws.choice([*entries]), io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as file:
                for entry, part in entries.items():
                    title = f"../{entry}" if entry == changed and draws.random() < 0.1 else entry
                    file.writestr(title, mutated(part, draws) if entry == changed else part)
                file.comment = b"0" * 64
            body = buffer.getvalue()[:-64]
        path = folder / "input.capsule"
        path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
        run = import_capsule(path, "imported", folder / "runs")
        run.delete()

    return feed


class _AllFacts(dict):
    """Whatever a lesson quotes is known."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> float:
        return 0.25


def lesson(path: Path) -> None:
    found = lesson_files.read(path)
    facts = _AllFacts()
    for step in found.steps:
        lesson_files.filled(step.text, facts, field="text")


def calibration(path: Path) -> None:
    config = RunConfig()
    folder = path.parent / "calibrated"
    folder.mkdir(exist_ok=True)
    path.replace(forecast.calibration_path(folder))
    if (found := forecast.read_calibration(config, folder)) is not None:
        forecast.from_calibration(config, found)


def a_calibration() -> bytes:
    measured = forecast.Calibration(2, 100, 50, 64, 1000, 100, 1.0, 1.0, 1e-4, 1e-4, 1e-5, 1e-5, (0.9, 1.1), 10**8)
    return json.dumps({forecast._key(RunConfig()): measured.__dict__}).encode()


def compared(path: Path) -> None:
    folder = path.parent / "compared"
    folder.mkdir(exist_ok=True)
    path.replace(files.result_path("field", "digits", folder))
    defences.results(folder)


def readers(shipped: Path, capsule_file: Path, folder: Path) -> dict[str, Reader]:
    """All readers, by name; ``folder`` is for the files that they are made of."""
    import torch

    study = describe(base=PRESETS["digits"], ranges={"noise.sigma": ranges.Interval(low=0.1, high=0.4)})
    described = study.model_dump_json().encode()
    measured = MeasurementConfig(kind="smoothness", name="a", runs={"b": study.base}).model_dump_json().encode()
    member = folder / "smoothed_0.model"
    torch.save({key: torch.zeros(shape) for key, shape in published_members.SHAPES.items()}, member)
    idx = np.array([0x801, 30], ">u4").tobytes() + bytes(range(10)) * 3
    shard = next((shipped / "members").glob("shard-*"))
    small = folder / "small.safetensors"
    files.write_arrays(
        small, {"weight/a": np.ones((3, 4), np.float32), "votes/clean/uniform": np.zeros((3, 5), np.uint8)}
    )
    table = b"".join((shipped / "certificates.csv").read_bytes().splitlines(keepends=True)[:40])
    log = b"".join((shipped / "events.jsonl").read_bytes().splitlines(keepends=True)[-40:])
    lessons = [*(ROOT / "lessons").glob("*.toml")]
    sure = (ConfigError, RunError, DataError)
    return {
        "settings": Reader(nasty_config, sure, 8),
        "--set": Reader(setting, sure, 8),
        "--range": Reader(searched_range, sure, 8),
        "names": Reader(name, sure, 12),
        "runs by name": Reader(opened, sure, 12),
        "painting": Reader(stroke, sure, 16),
        "limits": Reader(limit, sure, 12),
        "config.json": Reader(of_file(read_config, shipped / "config.json"), sure, 6),
        "study.json": Reader(of_run("study.json", lambda run: Study(run.path).config, described), sure, 6),
        "measurement.json": Reader(
            of_run("measurement.json", lambda run: Measurement(run.path).config, measured), sure, 6
        ),
        "events.jsonl": Reader(of_run("events.jsonl", lambda run: run.status(), log), sure, 4),
        "metrics.json": Reader(of_run("metrics.json", lambda run: run.metrics, shipped / "metrics.json"), sure, 6),
        "certificates.csv": Reader(of_run("certificates.csv", lambda run: run.certificates(), table), sure, 2),
        "arrays": Reader(of_run("votes.safetensors", lambda run: run.arrays("votes"), small), sure, 6),
        "shards": Reader(of_file(shards.read, small), (ShardError,), 6),
        "parts": Reader(of_file(shards.read_part, small), (ShardError,), 6),
        "real shard": Reader(of_file(shards.read, shard), (ShardError,)),
        "images": Reader(of_file(picture, *pictures()), sure, 8),
        "image folders": Reader(of_file(lambda path: decode(path, (8, 8)), *pictures()), sure, 8),
        "MNIST files": Reader(of_file(lambda path: sources._read_idx(path, ()), idx), sure, 8),
        "released members": Reader(of_file(published_members.read_member, member), sure),
        "lessons": Reader(of_file(lesson, *lessons), (lesson_files.LessonError,), 2),
        "calibration": Reader(of_file(calibration, a_calibration()), sure, 4),
        "comparison": Reader(of_file(compared, ROOT / "checkpoints" / "field-digits.json"), sure),
        "capsules": Reader(capsule(capsule_file), (CapsuleError, RunError)),
    }  # fmt: skip


_watched: dict[str, Any] = {}


def _watch(event: str, arguments: tuple) -> None:
    """An audit hook: of a reader at work, what it does beside reading."""
    if not _watched.get("folder"):
        return
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.fork", "socket.connect", "socket.getaddrinfo"):
        _watched["deeds"].append(f"{event} {arguments!r:.100}")
    if event == "open" and isinstance(arguments[0], str | bytes):
        mode, flags = arguments[1], arguments[2]
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if writes and not path.startswith(_watched["folder"]) and not path.startswith("/dev/"):
            _watched["deeds"].append(f"wrote {path}")


def seeded(count: int, seed: int) -> Iterator[tuple[str, random.Random]]:
    """Draws for ``count`` inputs, each with its name."""
    return ((f"input {number} of seed {seed}", random.Random(f"{seed} {number}")) for number in range(count))


def attack(reader: Reader, inputs: Iterable[tuple[str, random.Random]], folder: Path) -> Outcome:
    """Feed a reader that may write in ``folder`` only with the inputs that the draws make."""
    outcome = Outcome()
    if "deeds" not in _watched:
        sys.addaudithook(_watch)
    for title, draws in inputs:
        began = time.perf_counter()
        _watched.update(folder=os.path.abspath(folder), deeds=[])
        try:
            reader.feed(draws, folder)
        except reader.refusals:
            outcome.refused += 1
        except Exception as error:
            outcome.failures.append(f"{title}: {type(error).__name__}: {error!s:.200}")
        finally:
            _watched["folder"] = None
        took = time.perf_counter() - began
        outcome.slowest = max(outcome.slowest, took)
        outcome.inputs += 1
        outcome.failures += [f"{title}: {deed}" for deed in _watched["deeds"]]
        if took > SLOWEST:
            outcome.failures.append(f"{title} took {took:.1f} s")
    return outcome
