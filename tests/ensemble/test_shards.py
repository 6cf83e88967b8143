"""Members on disk: what is finished, gathering, damage."""

import pytest
import torch

from certssb_core.ensemble import shards
from certssb_core.errors import ShardError


def save_part(folder, member: int) -> None:
    tensors = {shards.WEIGHT + "a": torch.full((2, 2), float(member)), "votes/clean/uniform": torch.tensor([member])}
    shards.save_tensors(shards.part_path(folder, member), tensors)


def test_a_shard_is_gathered_only_when_all_its_members_are_there(tmp_path):
    for member in (0, 1, 3):
        save_part(tmp_path, member)
    assert list(shards.gatherable(tmp_path, members=5, shard_members=2)) == [range(0, 2)]
    save_part(tmp_path, 2)
    save_part(tmp_path, 4)
    ready = list(shards.gatherable(tmp_path, members=5, shard_members=2))
    assert ready == [range(0, 2), range(2, 4), range(4, 5)]


def test_members_come_back_in_order_from_their_shards(tmp_path):
    for member in range(5):
        save_part(tmp_path, member)
    for members in shards.gatherable(tmp_path, members=5, shard_members=2):
        shards.save_tensors(shards.shard_path(tmp_path, members), shards.gather(tmp_path, members))
    weights = list(shards.iterate(tmp_path, shards.WEIGHT))
    assert [member for member, _ in weights] == [0, 1, 2, 3, 4]
    assert all(torch.equal(tensors["a"], torch.full((2, 2), float(m))) for m, tensors in weights)
    assert shards.finished(tmp_path) == set(range(5))


def test_leftovers_of_a_kill_are_not_members(tmp_path):
    save_part(tmp_path, 7)
    (tmp_path / ".part-000008.safetensors.abc.part").write_bytes(b"half")
    assert shards.finished(tmp_path) == {7}


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64])
def test_a_damaged_file_is_named(tmp_path, content):
    path = shards.part_path(tmp_path, 0)
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"part-000000\.safetensors is missing or damaged"):
        shards.read(path)


def test_one_pixel_kernels_in_channels_last_order_are_written(tmp_path):
    """A last axis of size 1 keeps whatever stride it had, and still counts as contiguous."""
    kernel = torch.arange(12, dtype=torch.bfloat16).reshape(1, 3, 4, 1, 1).transpose(1, 2).contiguous()
    kernel = torch.as_strided(kernel, kernel.shape, (*kernel.stride()[:-1], 32))
    assert kernel.is_contiguous()
    path = shards.part_path(tmp_path, 0)
    shards.save_part(path, {f"{shards.WEIGHT}kernel": kernel})
    assert torch.equal(shards.read_part(path)[f"{shards.WEIGHT}kernel"], kernel)
