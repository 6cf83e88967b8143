"""Training: it learns, it is pure, it leaves its images alone, and it says when it diverged."""

import pytest
import torch

from certssb_core.ensemble.models import build
from certssb_core.ensemble.training import Diverged, partition, seen_by, train


def two_blobs(count: int = 200):
    """Class 1 is brighter in the left half; separable."""
    labels = torch.arange(count) % 2
    images = 0.1 * torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[labels == 1, :, :, :4] += 0.8
    return images, labels


def fit(images, labels, *, seed: int = 0, **changes):
    settings = {"epochs": 3, "batch_size": 32, "learning_rate": 5e-3, "precision": "float32", "member": 0}
    network = build("small-cnn", channels=1, side=8, classes=2, seed=seed, member=0)
    return train(network, images, labels, seed=seed, **settings | changes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_learns_what_is_separable(precision):
    images, labels = two_blobs()
    network = fit(images, labels, precision=precision, epochs=5)
    assert (network(images).argmax(1) == labels).float().mean() > 0.99
    assert not network.training
    assert all(weight.dtype == torch.float32 for weight in network.parameters())


def test_is_a_pure_function_of_its_arguments_and_leaves_images_alone():
    images, labels = two_blobs()
    kept = images.clone()
    first, again, other = fit(images, labels), fit(images, labels), fit(images, labels, member=1)
    assert torch.equal(first.fc.weight, again.fc.weight)
    assert not torch.equal(first.fc.weight, other.fc.weight)  # another member sees another order
    assert torch.equal(images, kept)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_few_steps_in_all_are_possible(steps):
    images, labels = two_blobs(32 * steps)
    assert all(weight.isfinite().all() for weight in fit(images, labels, epochs=1).parameters())


def test_divergence_is_said():
    images, labels = two_blobs()
    with pytest.raises(Diverged, match="member 0 diverged"):
        fit(images * float("inf"), labels, epochs=1)


def test_members_see_shares_of_their_own_drawn_without_looking_at_the_images():
    rows = [seen_by(member, 1000, seen=250, seed=3) for member in range(400)]
    assert all(len(row) == 250 and (row.diff() > 0).all() for row in rows)
    assert torch.equal(rows[7], seen_by(7, 1000, seen=250, seed=3))
    assert not torch.equal(rows[7], seen_by(7, 1000, seen=250, seed=4))
    times = torch.cat(rows).bincount(minlength=1000)  # binomial(400, 1/4): mean 100, deviation 8.7
    assert (times - 100).abs().max() < 5 * 8.7
    assert len(seen_by(0, 3, seen=1, seed=0)) == 1


def test_every_image_is_in_one_part_whatever_the_others_are():
    images, labels = torch.rand(60, 1, 4, 4), torch.randint(0, 2, (60,))
    parts = partition(images, labels, 7)
    assert sorted(torch.cat(parts).tolist()) == list(range(60))
    shuffled = torch.randperm(60)
    again = partition(images[shuffled], labels[shuffled], 7)
    for one, other in zip(parts, again, strict=True):
        assert torch.equal(images[one], images[shuffled][other])  # the same images in the same order
    thrice = partition(images, labels, 7, [0, 2, 5])
    for member, part in enumerate(thrice):
        own = torch.cat([parts[(member - distance) % 7] for distance in (0, 2, 5)])
        assert sorted(part.tolist()) == sorted(own.tolist())


def test_an_inserted_removed_or_relabelled_image_reaches_one_part_only():
    images, labels = torch.rand(40, 1, 4, 4), torch.randint(0, 2, (40,))
    before = [images[part] for part in partition(images, labels, 5)]
    more = torch.cat([torch.rand(1, 1, 4, 4), images])
    after = [more[part] for part in partition(more, torch.cat([labels[:1], labels]), 5)]
    assert sum(not torch.equal(one, other) for one, other in zip(before, after, strict=True)) == 1
    relabelled = partition(images, 1 - labels, 5)
    assert all(torch.equal(one, images[other]) for one, other in zip(before, relabelled, strict=True))


def test_a_member_that_sees_nothing_stays_as_it_was_initialised():
    network = build("dense", channels=1, side=4, classes=2, seed=0, member=3)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    trained = train(
        network,
        torch.empty(0, 1, 4, 4),
        torch.empty(0, dtype=torch.int64),
        epochs=3,
        batch_size=8,
        learning_rate=1e-2,
        precision="float32",
        seed=0,
        member=3,
    )
    assert all(torch.equal(before[name], weight) for name, weight in trained.state_dict().items())
