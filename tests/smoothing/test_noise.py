"""Noise: its statistics, its purity, and that nothing but (seed, member, image) moves it."""

import numpy as np
import pytest
import torch
from scipy import stats

from certssb_core.smoothing import seeds
from certssb_core.smoothing.noise import NOISE_LAWS

GAUSSIAN = NOISE_LAWS["gaussian"]
SHAPE = (1, 5, 5)


def training_noise(count: int, *, seed: int = 3, member: int = 0, sigma: float = 1.0) -> np.ndarray:
    images = torch.zeros(count, *SHAPE)
    copy = GAUSSIAN.training_set(
        images, torch.zeros(count, dtype=torch.int64), torch.full((count,), sigma), classes=2, seed=seed, member=member
    )
    return copy.images.numpy()


def test_training_noise_is_standard_normal_times_sigma():
    noise = training_noise(2500, sigma=0.7).ravel()  # 62,500 values
    assert stats.kstest(noise / 0.7, "norm").pvalue > 1e-3
    assert noise.std() == pytest.approx(0.7, rel=0.02)


def test_every_image_has_its_own_sigma():
    sigma = torch.tensor([0.1, 1.0, 3.0]).repeat(700)
    copy = GAUSSIAN.training_set(
        torch.zeros(2100, *SHAPE), torch.zeros(2100, dtype=torch.int64), sigma, classes=2, seed=1, member=0
    )
    spread = copy.images.view(700, 3, -1).std(dim=(0, 2))
    assert spread.numpy() == pytest.approx([0.1, 1.0, 3.0], rel=0.03)


def test_images_members_and_blocks_are_uncorrelated():
    """10 members × 1,100 images cross a block boundary; no two rows may agree beyond chance (|r| < 0.05 at 27,500)."""
    rows = np.stack([training_noise(1100, member=member).ravel() for member in range(10)])
    correlation = np.corrcoef(rows)
    assert np.abs(correlation - np.eye(10)).max() < 0.05
    first = training_noise(2 * seeds.BLOCK).reshape(2, -1)
    assert abs(np.corrcoef(first)[0, 1]) < 0.05


@pytest.mark.parametrize("count", [1, 7, seeds.BLOCK - 1, seeds.BLOCK, seeds.BLOCK + 1])
def test_noise_of_an_image_does_not_depend_on_how_many_follow(count):
    assert np.array_equal(training_noise(count), training_noise(seeds.BLOCK + 50)[:count])


def test_noise_is_a_pure_function_of_seed_and_member():
    assert np.array_equal(training_noise(9), training_noise(9))
    assert not np.array_equal(training_noise(9), training_noise(9, member=1))
    assert not np.array_equal(training_noise(9), training_noise(9, seed=4))


def test_noise_does_not_touch_torchs_or_numpys_global_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what must not move
    training_noise(9)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_labels_and_originals_are_left_alone():
    images, labels = torch.rand(4, *SHAPE), torch.arange(4)
    kept = images.clone()
    copy = GAUSSIAN.training_set(images, labels, torch.ones(4), classes=2, seed=0, member=0)
    assert torch.equal(images, kept)
    assert torch.equal(copy.labels, labels)


def test_a_member_sees_every_test_input_under_one_draw():
    images = torch.rand(6, *SHAPE)
    sigma = torch.tensor([0.1, 0.2, 0.5, 1.0, 2.0, 4.0])
    noisy = GAUSSIAN.test_inputs(images, sigma, seed=5, member=2)
    draws = (noisy - images) / sigma.view(-1, 1, 1, 1)
    assert torch.allclose(draws, draws[:1].expand_as(draws), atol=1e-5)
    other = GAUSSIAN.test_inputs(images, sigma, seed=5, member=3)
    assert not torch.allclose(noisy, other)


def test_test_noise_over_members_is_standard_normal():
    zeros = torch.zeros(1, *SHAPE)
    draws = [GAUSSIAN.test_inputs(zeros, torch.ones(1), seed=0, member=m).numpy().ravel() for m in range(2000)]
    assert stats.kstest(np.concatenate(draws), "norm").pvalue > 1e-3
    assert np.abs(np.cov(np.stack(draws).T) - np.eye(25)).max() < 0.15


def test_streams_of_ten_thousand_members_do_not_collide():
    keys = {seeds.key(0, "training noise", member, block) for member in range(10_000) for block in range(5)}
    assert len(keys) == 50_000
    assert len({seeds.torch_seed(0, "initial weights", member) for member in range(10_000)}) == 10_000


FLIPS = NOISE_LAWS["flips"]


def test_flips_change_features_and_labels_as_often_as_they_should():
    """Counts over 3,000 members against binomial tails of 1e-4; three classes, β = 0.7."""
    images = (torch.arange(50).view(2, 1, 5, 5) % 3 == 0).float()
    labels, keep = torch.tensor([0, 2]), torch.tensor([0.7, 0.7])
    copies = [FLIPS.training_set(images, labels, keep, classes=3, seed=1, member=m) for m in range(3000)]
    flipped = sum((copy.images != images).sum().item() for copy in copies)
    assert set(torch.cat([copy.images for copy in copies]).unique().tolist()) == {0.0, 1.0}
    assert stats.binomtest(flipped, 3000 * 50, 0.3).pvalue > 1e-4
    kept, other = 0.7 / (0.7 + 2 * 0.3), 0.3 / (0.7 + 2 * 0.3)
    assert kept / other == pytest.approx(0.7 / 0.3)
    steps = np.bincount(torch.cat([(copy.labels - labels) % 3 for copy in copies]).numpy(), minlength=3)
    assert stats.chisquare(steps, 6000 * np.array([kept, other, other])).pvalue > 1e-4


def test_two_classes_keep_a_label_with_the_same_probability_as_a_feature():
    labels = torch.zeros(20_000, dtype=torch.int64)
    copy = FLIPS.training_set(
        torch.zeros(20_000, 1, 1, 1), labels, torch.full((20_000,), 0.8), classes=2, seed=0, member=0
    )
    assert stats.binomtest(int(copy.labels.sum()), 20_000, 0.2).pvalue > 1e-4


def test_a_test_input_has_the_same_features_flipped_as_all_others_and_each_member_has_its_own():
    images, keep = torch.zeros(3, *SHAPE), torch.full((3,), 0.8)
    first, again, other = (FLIPS.test_inputs(images, keep, seed=0, member=member) for member in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first, other)


def test_no_noise_is_none():
    images, labels = torch.rand(3, *SHAPE), torch.tensor([0, 1, 0])
    copy = NOISE_LAWS["none"].training_set(images, labels, torch.zeros(3), classes=2, seed=0, member=5)
    assert torch.equal(copy.images, images)
    assert torch.equal(NOISE_LAWS["none"].test_inputs(images, torch.zeros(3), seed=0, member=5), images)
