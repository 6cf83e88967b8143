"""One-step denoising against the optimal denoiser of Gaussian images, which has a closed form."""

import numpy as np
import pytest
import torch

from certssb_core.smoothing.denoising.diffusion import Diffusion, denoise, linear_alphas_bar

MEAN, SPREAD = 0.2, 0.15  # of the toy's pixels, in the model's range [-1, 1]
ALPHAS_BAR = linear_alphas_bar()


def optimal(prediction: str) -> Diffusion:
    """What a perfect network answers where every pixel is N(0.2, 0.15²) in the model's range."""

    def predict(noisy, step):
        kept = ALPHAS_BAR[step].view(-1, 1, 1, 1)
        clean = MEAN + kept.sqrt() * SPREAD**2 / (kept * SPREAD**2 + 1 - kept) * (noisy - kept.sqrt() * MEAN)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        answers = {"sample": clean, "epsilon": noise, "v_prediction": kept.sqrt() * noise - (1 - kept).sqrt() * clean}
        return answers[prediction].float()

    return Diffusion(predict, ALPHAS_BAR, prediction, channels=1, side=4, digest="")


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_the_estimate_is_the_closed_form(prediction):
    """In pixels: prior N(0.6, 0.075²), noise σ, so the posterior mean weighs them by their precisions."""
    draws = np.random.default_rng(0)
    sigma = np.array([0.05, 0.3, 1.0])
    noisy = (0.6 + 0.075 * draws.standard_normal((3, 1, 4, 4))) + sigma[:, None, None, None] * draws.standard_normal(
        (3, 1, 4, 4)
    )
    weight = (0.075**2 / (0.075**2 + sigma**2))[:, None, None, None]
    expected = np.clip(weight * noisy + (1 - weight) * 0.6, 0, 1)
    found = denoise(optimal(prediction), torch.from_numpy(noisy).float(), torch.from_numpy(sigma))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)  # t* is a whole number


def test_the_step_is_the_one_of_nearest_level():
    model = optimal("sample")
    levels = np.sqrt((1 - ALPHAS_BAR.numpy()) / ALPHAS_BAR.numpy())
    sigma = np.geomspace(0.001, levels[-1] / 2, 50)
    nearest = np.abs(levels[None] - 2 * sigma[:, None]).argmin(axis=1)
    assert np.array_equal(model.step_of(torch.from_numpy(sigma)).numpy(), nearest)
    assert abs(levels[model.step_of(torch.tensor([0.5]))] - 1.0) < 0.01


def test_the_linear_schedule_is_that_of_the_diffusers_library():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear").alphas_cumprod
    assert torch.allclose(theirs.double(), ALPHAS_BAR, rtol=1e-4)


def test_what_the_model_does_not_know_is_refused():
    model, images = optimal("sample"), torch.zeros(2, 1, 4, 4)
    with pytest.raises(ValueError, match=r"knows noise up to σ 78\.\d, not 90"):
        denoise(model, images, torch.full((2,), 90.0))
    with pytest.raises(ValueError, match="knows images with 1 channels of 4 pixels, not 3 of 4"):
        denoise(model, torch.zeros(2, 3, 4, 4), torch.ones(2))


def test_an_image_does_not_depend_on_its_batch(monkeypatch):
    images, sigma = torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.linspace(0.1, 1, 9)
    whole = denoise(optimal("epsilon"), images, sigma)
    monkeypatch.setattr("certssb_core.smoothing.denoising.diffusion.BATCH", 2)
    assert torch.equal(whole, denoise(optimal("epsilon"), images, sigma))
