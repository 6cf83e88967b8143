"""Members on disk: each one saved as it finishes, then gathered into shards. Always safetensors.

``members/part-000012.safetensors`` is one finished member; ``part-000000-000499.safetensors`` holds those that were
trained together, every tensor stacked along a new first axis. Once all members of a shard are there, they become
``members/shard-000000-000049.safetensors``, stacked like that. A member is never lost: its part goes only after the
shards that hold its members lie on disk.

A member that could not be trained is left out: a part of its own says so and holds nothing else, and a stack or a shard
of its range names the ``members`` that it does hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from certssb_core.errors import ShardError

_PART = re.compile(r"part-(\d{6})(?:-(\d{6}))?\.safetensors")
_SHARD = re.compile(r"shard-(\d{6})-(\d{6})\.safetensors")
WEIGHT = "weight/"
LEFT_OUT, MEMBERS, DIGEST = "left_out", "members", "digest"


def part_path(folder: Path, member: int, last: int | None = None) -> Path:
    """The file of one member, or of those from ``member`` to ``last`` that were trained together."""
    return folder / (f"part-{member:06d}" + ("" if last is None else f"-{last:06d}") + ".safetensors")


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors to ``path`` (for :func:`write_atomically`)."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def finished(folder: Path) -> set[int]:
    """The members that lie in ``folder``, in parts or shards."""
    return {member for members, _ in (*_parts(folder), *_ranges(folder)) for member in members}


def drop_gathered(folder: Path) -> None:
    """Remove the parts whose members lie in shards."""
    held = {member for members, _ in _ranges(folder) for member in members}
    for members, path in _parts(folder):
        if held.issuperset(members):
            path.unlink()


def gatherable(folder: Path, members: int, shard_members: int) -> Iterator[range]:
    """Ranges of members that lie in parts and fill a shard that is not there yet."""
    there = {member for part, _ in _parts(folder) for member in part}
    for start in range(0, members, shard_members):
        wanted = range(start, min(start + shard_members, members))
        if there.issuperset(wanted) and not shard_path(folder, wanted).exists():
            yield wanted


def _parts(folder: Path) -> list[tuple[range, Path]]:
    found = [(match, path) for path in folder.glob("part-*") if (match := _PART.fullmatch(path.name))]
    return [(range(int(match[1]), int(match[2] or match[1]) + 1), path) for match, path in found]


def save_part(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write one member, or a stack, with a digest of its tensors (for :func:`write_atomically`)."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(path, tensors | {DIGEST: _digest(tensors)})


def read_part(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a part as they were saved.

    Raises:
        ShardError: the file is missing, or not what was written.
    """
    tensors = read(path)
    told = tensors.pop(DIGEST, None)
    if told is not None and not torch.equal(told, _digest(tensors)):
        raise ShardError(f"{path} is damaged: it is not what was written; delete it and resume the run")
    return tensors


def _digest(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    whole = hashlib.blake2b(digest_size=32)
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(whole.digest()), dtype=torch.uint8)


def leave_out(path: Path) -> None:
    """Write the part of a member that could not be trained (for :func:`write_atomically`)."""
    save_tensors(path, {LEFT_OUT: torch.ones(1, dtype=torch.uint8)})


def gather(
    folder: Path, members: range, read_tensors: Callable[[Path], dict[str, torch.Tensor]] = read_part
) -> dict[str, torch.Tensor]:
    """The parts of ``members``, stacked.

    Args:
        read_tensors: :func:`read_part`, or a cache of it where several ranges lie in one part.
    """
    parts = {member: path for part, path in _parts(folder) for member in part if member in members}
    held: list[int] = []
    pieces: dict[str, list[torch.Tensor]] = {}
    for path in dict.fromkeys(parts[member] for member in members):
        own, tensors = _stacked(path, read_tensors(path))
        rows = [row for row, member in enumerate(own) if parts.get(member) == path]
        held += [own[row] for row in rows]
        in_a_row = bool(rows) and rows[-1] - rows[0] + 1 == len(rows)
        taken = slice(rows[0], rows[-1] + 1) if in_a_row else rows  # a slice is no copy
        for name, tensor in tensors.items():
            pieces.setdefault(name, []).append(tensor[taken])
    stacked = {name: torch.cat(own) if len(own) > 1 else own[0] for name, own in pieces.items() if held}
    return stacked if len(held) == len(members) else stacked | {MEMBERS: torch.tensor(held, dtype=torch.int64)}


def _stacked(path: Path, tensors: dict[str, torch.Tensor]) -> tuple[list[int], dict[str, torch.Tensor]]:
    """The members that a part holds, and their tensors along a first axis."""
    if LEFT_OUT in tensors:
        return [], {}
    if MEMBERS in tensors:
        return tensors[MEMBERS].tolist(), {name: tensor for name, tensor in tensors.items() if name != MEMBERS}
    match = _PART.fullmatch(path.name)
    assert match
    return [int(match[1])], {name: tensor[None] for name, tensor in tensors.items()}


def shard_path(folder: Path, members: range) -> Path:
    return folder / f"shard-{members[0]:06d}-{members[-1]:06d}.safetensors"


def read(path: Path, prefixes: tuple[str, ...] = ("",)) -> dict[str, torch.Tensor]:
    """The tensors of a file whose names start with one of ``prefixes``, mapped rather than copied.

    Raises:
        ShardError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefixes)}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise ShardError(f"{path} is missing or damaged ({error}); delete it and resume the run") from None


def shards(folder: Path) -> list[tuple[Sequence[int], Path]]:
    """The shards of a folder in the order of their members, each with the members in it.

    Raises:
        ShardError: a shard is damaged.
    """
    return [(_held(members, path), path) for members, path in sorted(_ranges(folder), key=lambda item: item[0].start)]


def _ranges(folder: Path) -> list[tuple[range, Path]]:
    return [
        (range(int(match[1]), int(match[2]) + 1), path)
        for path in folder.glob("shard-*")
        if (match := _SHARD.fullmatch(path.name))
    ]


def _held(members: range, path: Path) -> Sequence[int]:
    named = read(path, (MEMBERS,))
    return named[MEMBERS].tolist() if named else members


def iterate(folder: Path, prefix: str = "") -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Every member with its tensors under ``prefix`` (the prefix cut off), shard by shard.

    Raises:
        ShardError: a shard is damaged.
    """
    for members, path in shards(folder):
        stacked = {name.removeprefix(prefix): tensor for name, tensor in read(path, (prefix,)).items()}
        for row, member in enumerate(members):
            yield member, {name: tensor[row] for name, tensor in stacked.items()}
