"""Write files so that a kill leaves either the old file or the new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from certssb_core.errors import NameTakenError, RunError
from certssb_core.runs import server_limits

CAPSULE = "capsule.json"
"""Marks a run that came as a capsule: files that capsules leave out are not missing there."""

INSPECTION = "inspection.json"
"""In a capsule: the soundness inspector's checklist, as it was when the capsule was exported."""

DATA = "data.json"
"""Number and sha256 of a run's images and labels."""

SECRET = "secret.json"
"""Seed of a run's noise where it is secret: of 128 bits, so that its hash in the manifest commits to it and no more."""

PUBLISHED_SEED = "published-seed.json"
"""The same file, once its owner has published the seed."""

FIXED_FILES = ("fixed.safetensors", "fixed.json")
"""In a run whose fixed ensemble has voted: the votes of its draws, and what they certify."""

CARRIED = (
    *("config.json", DATA, "metrics.json", "certificates.csv"),
    *("poison.safetensors", "sigma.safetensors", "undefended.safetensors", "votes.safetensors"),
    *FIXED_FILES,
    PUBLISHED_SEED,
)
"""The files of a run that a capsule carries as they are; no weights, and of the store only its ledger."""

SOURCES = "release.json"
"""In a run of imported members: the release's folder, and its files with their sha256."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary neighbour of ``path``, flush it to disk, then move it into place.

    Raises:
        OSError: it cannot be written; the old file is as it was.
        RunError: this process may read only.
    """
    server_limits.check_writable()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        try:
            write(partial)
        except SafetensorError as error:  # it tells the system's error in words only
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else errno.EIO, f"{path} cannot be written: {error}") from None
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Change something in the folder ``path``.

    Raises:
        RunError: this process may read only, or the system refuses; the message names ``path``.
    """
    server_limits.check_writable()
    try:
        yield
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    write_atomically(path, lambda partial: partial.write_bytes(content))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def make_folder(path: Path, name: str, value: Any, *, taken: str) -> None:
    """Make a job's folder with its description, ``value``, in the file ``name``.

    Raises:
        NameTakenError: it is there already, which ``taken`` says.
        RunError: it cannot be written, or this process may read only.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            raise NameTakenError(taken) from None
        write_json(path / name, value)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Store named arrays as safetensors."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, lambda partial: save_file(contiguous, partial))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what :func:`write_arrays` stored.

    Raises:
        ValueError: the file is missing or is not a whole safetensors file.
    """
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path} is missing or damaged ({error})") from None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(values: dict[str, Any]) -> str:
    """sha256 of a JSON object without its ``seal``, whatever its layout in the file."""
    rest = {key: value for key, value in values.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def result_path(stem: str, name: str, runs_dir: Path) -> Path:
    """The file of a measurement's result, beside its runs."""
    return runs_dir / f"{stem}-{name}.json"


def read_results(stem: str, runs_dir: Path, *, command: str) -> dict[str, dict[str, Any]]:
    """The results of ``command`` that are there, by name.

    Raises:
        RunError: a file is damaged.
    """
    found = sorted(runs_dir.glob(f"{stem}-*.json"), key=lambda path: path.stem)
    try:
        return {path.stem.removeprefix(f"{stem}-"): json.loads(path.read_text(encoding="utf-8")) for path in found}
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"a measurement cannot be read ({error}); make it again with `{command}`") from None
