"""A capsule: everything that a run's certificates can be verified from, in one file, without weights or pickle.

A zip archive with fixed entry names, in a fixed order, with fixed times, so that one run gives one capsule. The last
64 bytes (the archive's comment) are the sha256, in hex, of all bytes before them: no byte can change unnoticed. The
store travels as its ledger, exact to the bit, with the centres of its balls, and becomes a store again on import.

A capsule may come from anyone. Nothing is unpacked by name: only the entries below are accepted, each of them
once, as a plain file of limited size, and read into memory before a folder is made.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from certssb_core.audit.inspection import inspect
from certssb_core.errors import CapsuleError, RunError
from certssb_core.results.votes import read_run_votes
from certssb_core.runs import data_record, files, server_limits, store_columns
from certssb_core.runs.files import CAPSULE, CARRIED, DATA, FIXED_FILES, INSPECTION, PUBLISHED_SEED, SOURCES
from certssb_core.runs.run import Run, place

FORMAT = 1
LEDGER = "ledger.safetensors"
_MEGABYTE = 2**20
LIMITS = {
    CAPSULE: _MEGABYTE,
    "config.json": _MEGABYTE,
    DATA: _MEGABYTE,
    "manifest.json": 16 * _MEGABYTE,
    "metrics.json": _MEGABYTE,
    INSPECTION: _MEGABYTE,
    SOURCES: _MEGABYTE,
    "certificates.csv": 256 * _MEGABYTE,
    "poison.safetensors": 64 * _MEGABYTE,
    "sigma.safetensors": 256 * _MEGABYTE,
    "undefended.safetensors": 64 * _MEGABYTE,
    "votes.safetensors": 1024 * _MEGABYTE,
    "fixed.safetensors": 1024 * _MEGABYTE,
    "fixed.json": _MEGABYTE,
    PUBLISHED_SEED: _MEGABYTE,
    LEDGER: 1024 * _MEGABYTE,
}
"""All entries in their order, with the most bytes that each may unpack to."""
OPTIONAL = (DATA, *FIXED_FILES, PUBLISHED_SEED, "poison.safetensors", "undefended.safetensors", SOURCES, LEDGER)
"""Entries that not every run has: old runs, runs of imported members, runs whose certificates are not balls."""
LARGEST = 1024 * _MEGABYTE
"""Most bytes of a capsule's file."""
_SEAL = 64
_TIME = (1980, 1, 1, 0, 0, 0)


def export(run: Run, path: Path) -> Path:
    """Write the capsule of a finished run to ``path``.

    Raises:
        CapsuleError: the run is not finished or a file of it is missing, damaged or too large; or ``path`` cannot
            be written.
    """
    if run.status().state != "done":
        raise CapsuleError(f"{run.name} is not finished: resume it, then export it")
    try:
        ledger = store_columns.read(run.store_path) if read_run_votes(run).kind.balls else None
        digest = "" if ledger is None else store_columns.digest(ledger)
        contents = {CAPSULE: _json({"format": FORMAT, "name": run.name, "ledger_sha256": digest})}
        if ledger is not None:
            contents[LEDGER] = save(ledger)
        contents["manifest.json"] = (run.path / "manifest.json").read_bytes()
        contents[INSPECTION] = _checklist(run)
        if (run.path / SOURCES).exists():  # without the folder, which is of this machine
            contents[SOURCES] = _json({"sha256": json.loads((run.path / SOURCES).read_bytes())["sha256"]})
        for name in CARRIED:
            if name not in OPTIONAL or (run.path / name).exists():
                contents[name] = (run.path / name).read_bytes()
    except (OSError, ValueError, KeyError, RunError) as error:
        raise CapsuleError(f"{run.name} cannot be exported: {error}") from None
    for name, content in contents.items():
        if len(content) > LIMITS[name]:
            raise CapsuleError(f"{name} has {len(content) / _MEGABYTE:.0f} MB, more than a capsule may hold")
    try:
        files.write_atomically(path, lambda partial: partial.write_bytes(_pack(contents)))
    except OSError as error:
        raise CapsuleError(f"{path} cannot be written: {error.strerror}") from None
    return path


def import_capsule(path: Path, name: str | None = None, runs_dir: Path | None = None) -> Run:
    """Make a run from a capsule, under its own name or another. It can be shown and verified, but has no members.

    Raises:
        CapsuleError: the file is no whole capsule.
        RunError: the name is no name for a run, or is taken.
    """
    server_limits.check_writable()
    contents = _read(path)
    target = place(name or json.loads(contents[CAPSULE])["name"], runs_dir)
    if target.exists():
        raise CapsuleError(f"{target} exists already: import the capsule under another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as folder:
            _unpack(contents, Path(folder) / "run", path).rename(target)
    except OSError as error:
        raise CapsuleError(f"{target} cannot be written: {error.strerror}") from None
    return Run(target)


@contextmanager
def opened(path: Path) -> Iterator[Run]:
    """Open the run in a capsule, in a folder that is removed afterwards.

    Raises:
        CapsuleError: the file is no whole capsule.
    """
    contents = _read(path)
    with tempfile.TemporaryDirectory(prefix="capsule-") as folder:
        yield Run(_unpack(contents, Path(folder) / "run", path))


def _checklist(run: Run) -> bytes:
    """Collect the inspector's findings, which need the weights; an imported run passes on those it came with."""
    if (run.path / INSPECTION).exists():
        return (run.path / INSPECTION).read_bytes()
    return _json([asdict(finding) for finding in inspect(run)])


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _pack(contents: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in (name for name in LIMITS if name in contents):
            entry = zipfile.ZipInfo(name, date_time=_TIME)
            entry.external_attr, entry.create_system = (stat.S_IFREG | 0o644) << 16, 3
            file.writestr(entry, contents[name], compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
        file.comment = b"0" * _SEAL
    body = archive.getvalue()[:-_SEAL]
    return body + hashlib.sha256(body).hexdigest().encode()


def _read(path: Path) -> dict[str, bytes]:
    """Read the entries of a capsule that is whole and holds nothing but a capsule's entries."""
    try:
        if path.stat().st_size > LARGEST:
            raise CapsuleError(f"{path} is larger than {LARGEST // _MEGABYTE} MB: not a capsule")
        body = path.read_bytes()
    except OSError as error:
        raise CapsuleError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(body[:-_SEAL]).hexdigest().encode() != body[-_SEAL:]:
        raise CapsuleError(f"{path} is no capsule, or a byte of it was changed: its sha256 is not the one it ends with")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            contents = {entry.filename: _bounded(archive, entry) for entry in entries}
        described = json.loads(contents[CAPSULE])
        if described["format"] != FORMAT:
            raise CapsuleError(f"{path} has format {described['format']}, this program reads {FORMAT}")
        str.encode(described["name"]), str.encode(described["ledger_sha256"])
        return contents
    except CapsuleError:
        raise
    except Exception as error:  # zipfile and json have many ways to refuse a hostile file
        raise CapsuleError(f"{path} is damaged or no capsule ({type(error).__name__}: {error})") from None


def _bounded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Unpack an entry to no more than the size it states; one that holds more fails its checksum."""
    with archive.open(entry) as file:
        return file.read(entry.file_size)


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if odd := [name for name in names if name not in LIMITS or names.count(name) > 1]:
        raise CapsuleError(f"{path} holds {odd[0]!r}, which is no part of a capsule or there twice")
    if missing := [name for name in LIMITS if name not in (*names, *OPTIONAL)]:
        raise CapsuleError(f"{path} lacks {missing[0]}")
    for entry in entries:
        if entry.file_size > LIMITS[entry.filename]:
            raise CapsuleError(f"{path}: {entry.filename} would unpack to {entry.file_size / _MEGABYTE:.0f} MB")
        plain = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG) and not entry.flag_bits & 1
        if not plain or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CapsuleError(f"{path}: {entry.filename} is a link, encrypted or packed in an unknown way")


def _unpack(contents: dict[str, bytes], folder: Path, source: Path) -> Path:
    """Write the entries of a capsule from ``source`` as a run's folder; everything in it must be readable."""
    folder.mkdir()
    for name, content in contents.items():
        if name != LEDGER:
            (folder / name).write_bytes(content)
    run = Run(folder)
    try:
        if LEDGER in contents:
            columns = {name: np.array(values) for name, values in load(contents[LEDGER]).items()}
            store_columns.restore(run.store_path, columns)
        _ = run.config, run.manifest["sha256"].items(), run.metrics.items(), run.certificates()
        data_record.recorded(run)
        for name in (name for name in contents if name.endswith(".safetensors")):
            load(contents[name])
    except Exception as error:
        shutil.rmtree(folder)
        raise CapsuleError(f"{source} holds no run that can be read ({type(error).__name__}: {error})") from None
    run.log("finished", message=f"imported from {source.name}")
    return folder
