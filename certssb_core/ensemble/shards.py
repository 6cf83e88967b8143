"""Members on disk: each one saved as it finishes, then gathered into shards. Always safetensors.

``members/part-000012.safetensors`` is one finished member; once all members of a shard are there, they become
``members/shard-000000-000049.safetensors``, every tensor stacked along a new first axis. A member is never lost:
its part goes only after the shard that holds it lies on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_PART = re.compile(r"part-(\d{6})\.safetensors")
_SHARD = re.compile(r"shard-(\d{6})-(\d{6})\.safetensors")
WEIGHT = "weight/"


class ShardError(Exception):
    """A member file that is missing or damaged; the message names it."""


def part_path(folder: Path, member: int) -> Path:
    return folder / f"part-{member:06d}.safetensors"


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors to ``path`` (for :func:`write_atomically`)."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def finished(folder: Path) -> set[int]:
    """The members that lie in ``folder``, in parts or shards."""
    members: set[int] = set()
    for path in folder.glob("*.safetensors"):
        if part := _PART.fullmatch(path.name):
            members.add(int(part[1]))
        elif shard := _SHARD.fullmatch(path.name):
            members.update(range(int(shard[1]), int(shard[2]) + 1))
    return members


def gatherable(folder: Path, members: int, shard_members: int) -> Iterator[range]:
    """Ranges of members that lie in parts and fill a shard."""
    parts = {int(match[1]) for path in folder.glob("part-*") if (match := _PART.fullmatch(path.name))}
    for start in range(0, members, shard_members):
        wanted = range(start, min(start + shard_members, members))
        if parts.issuperset(wanted):
            yield wanted


def gather(folder: Path, members: range) -> dict[str, torch.Tensor]:
    """The parts of ``members``, stacked."""
    parts = [read(part_path(folder, member)) for member in members]
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


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


def shards(folder: Path) -> list[tuple[range, Path]]:
    """The shards of a folder in the order of their members."""
    found = [
        (range(int(match[1]), int(match[2]) + 1), path)
        for path in folder.glob("shard-*")
        if (match := _SHARD.fullmatch(path.name))
    ]
    return sorted(found, key=lambda item: item[0].start)


def iterate(folder: Path, prefix: str = "") -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Every member with its tensors under ``prefix`` (the prefix cut off), shard by shard.

    Raises:
        ShardError: a shard is damaged.
    """
    for members, path in shards(folder):
        stacked = {name.removeprefix(prefix): tensor for name, tensor in read(path, (prefix,)).items()}
        for row, member in enumerate(members):
            yield member, {name: tensor[row] for name, tensor in stacked.items()}
