"""Members on disk: what is finished, gathering, damage."""

from functools import lru_cache

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


def save_stack(folder, first: int, last: int, held: list[int]) -> None:
    tensors = {
        shards.WEIGHT + "a": torch.stack([torch.full((2, 2), float(member)) for member in held]),
        "votes/clean/uniform": torch.tensor(held)[:, None],
        shards.MEMBERS: torch.tensor(held),
    }
    shards.save_part(shards.part_path(folder, first, last), tensors)


def test_a_stack_fills_several_shards_and_goes_when_the_last_of_them_is_there(tmp_path):
    save_stack(tmp_path, 0, 3, [0, 1, 3])
    stack = shards.part_path(tmp_path, 0, 3)
    assert shards.finished(tmp_path) == {0, 1, 2, 3}
    assert list(shards.gatherable(tmp_path, members=6, shard_members=3)) == [range(0, 3)]
    whole = shards.gather(tmp_path, range(0, 3))
    assert whole[shards.MEMBERS].tolist() == [0, 1]
    assert whole["votes/clean/uniform"].tolist() == [[0], [1]]
    shards.save_tensors(shards.shard_path(tmp_path, range(0, 3)), whole)
    shards.drop_gathered(tmp_path)
    assert stack.exists()
    assert not list(shards.gatherable(tmp_path, members=6, shard_members=3))
    save_part(tmp_path, 4)
    save_part(tmp_path, 5)
    (ready,) = shards.gatherable(tmp_path, members=6, shard_members=3)
    whole = shards.gather(tmp_path, ready)
    assert shards.MEMBERS not in whole
    assert torch.equal(whole[shards.WEIGHT + "a"], torch.tensor([3.0, 4.0, 5.0])[:, None, None].expand(3, 2, 2))
    shards.save_tensors(shards.shard_path(tmp_path, ready), whole)
    shards.drop_gathered(tmp_path)
    assert not list(tmp_path.glob("part-*"))
    assert [member for member, _ in shards.iterate(tmp_path)] == [0, 1, 3, 4, 5]


def test_a_member_made_again_is_taken_once(tmp_path):
    save_stack(tmp_path, 0, 3, [0, 1, 2, 3])
    save_part(tmp_path, 1)
    for _ in range(2):
        assert shards.gather(tmp_path, range(0, 2))["votes/clean/uniform"].tolist() == [[0], [1]]


def test_several_shards_read_a_stack_once(tmp_path):
    save_stack(tmp_path, 0, 3, [0, 1, 2, 3])
    reads = []

    def read_tensors(path):
        reads.append(path.name)
        return shards.read_part(path)

    cached = lru_cache(maxsize=1)(read_tensors)
    for members in (range(0, 2), range(2, 4)):
        assert shards.gather(tmp_path, members, cached)["votes/clean/uniform"].flatten().tolist() == [*members]
    assert reads == ["part-000000-000003.safetensors"]


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
