"""Denoisers by name: the shipped one, one trained here for a second, and one of the diffusers library."""

import sys

import numpy as np
import pytest
import torch

from certssb_core.data.datasets import load
from certssb_core.smoothing.denoising import small_denoiser
from certssb_core.smoothing.denoising.denoisers import denoiser
from certssb_core.smoothing.denoising.diffusion import denoise


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(load("digits").test_images)


@pytest.mark.parametrize("sigma", [0.25, 0.5])
def test_the_shipped_denoiser_beats_the_best_linear_one_on_digits_it_never_saw(digits, sigma):
    """The best that means and variances of pixels allow: it shrinks every pixel towards its mean."""
    noise = torch.randn(digits.shape, generator=torch.Generator().manual_seed(1))
    noisy = digits + sigma * noise
    train = load("digits").train_images
    mean, variance = train.mean(axis=0), train.var(axis=0)
    shrunk = mean + variance / (variance + sigma**2) * (noisy.numpy() - mean)
    linear = ((shrunk - digits.numpy()) ** 2).mean()
    ours = ((denoise(denoiser("digits"), noisy, torch.full((len(digits),), sigma)) - digits) ** 2).mean().item()
    assert ours < 0.75 * linear


def test_training_is_repeatable_and_what_is_saved_is_read(digits, tmp_path):
    first, second = (small_denoiser.train(digits[:64], steps=3, batch_size=8, seed=4) for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))
    path = tmp_path / "one.safetensors"
    small_denoiser.save(first, path, channels=1, side=8, trained_on="64 digits")
    found, kept = denoiser(str(path)), small_denoiser.as_diffusion(first, channels=1, side=8)
    assert found.digest == kept.digest
    sigma = torch.full((5,), 0.5)
    assert torch.equal(denoise(found, digits[:5], sigma), denoise(kept, digits[:5], sigma))


def test_a_folder_of_the_diffusers_library(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    widths = {"block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 8}
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "add_attention": False}
    network = diffusers.UNet2DModel(in_channels=1, out_channels=1, **widths, **blocks).eval()
    schedule = diffusers.DDPMScheduler(prediction_type="epsilon")
    diffusers.DDPMPipeline(network, schedule).save_pretrained(tmp_path / "model")
    model = denoiser(str(tmp_path / "model"))
    noisy, sigma = torch.rand(3, 1, 8, 8), 0.4
    (step,) = model.step_of(torch.tensor([sigma])).tolist()
    kept = schedule.alphas_cumprod[step]
    x_t = kept.sqrt() * (2 * noisy - 1)
    with torch.inference_mode():
        predicted = network(x_t, step).sample
    stepped = schedule.step(predicted, step, x_t).pred_original_sample  # their own estimate of x₀, clipped
    np.testing.assert_allclose(
        denoise(model, noisy, torch.full((3,), sigma)).numpy(), ((stepped + 1) / 2).numpy(), atol=1e-5
    )


def test_names_that_are_none_are_answered_in_words(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="denoiser train --dataset mnist-of-mars` makes one"):
        denoiser("mnist-of-mars")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no")
    with pytest.raises(ValueError, match="is not a denoiser of `denoiser train`"):
        denoiser(str(damaged))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="cannot be read or fetched as a UNet2DModel"):
        denoiser(str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match="needs the diffusers library: `pip install diffusers`"):
        denoiser("google/ddpm-cifar10-32")
