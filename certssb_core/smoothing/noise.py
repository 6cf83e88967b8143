"""Noise laws: draw each member's noisy copy of the training set and of a test input (docs/method.md §2).

A law is one entry of :data:`NOISE_LAWS`. The certificate covers *one* noisy copy of the training set per member, so a
law draws once per (member, image): every method is a pure function of its arguments. Torch is loaded when noise is
drawn: the config reads the laws' properties without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainingSet:
    """One member's training set: images ``(n, C, H, W)`` float32 and labels ``(n,)`` int64."""

    images: torch.Tensor
    labels: torch.Tensor


class NoiseLaw:
    """Draws one member's copy of the data; ``sigma`` ``(n,)`` is the law's level for each image.

    Attributes:
        title: for people.
        level_setting: the setting of the noise that is the level for all images; None where the law has no level.
        one_level: True where all images have the same level.
        isotropic: True where an orthonormal projection of the noise is noise of this law.
        gaussian: True for Gaussian noise on the training images, which a denoiser can take off.
        binary: True where pixels must be 0 or 1.
        checklist: how training noise is drawn, in words, for the soundness inspector.
    """

    title: ClassVar[str]
    level_setting: ClassVar[str | None] = "sigma"
    one_level: ClassVar[bool] = True
    isotropic: ClassVar[bool] = True
    gaussian: ClassVar[bool] = False
    binary: ClassVar[bool] = False
    checklist: ClassVar[str] = (
        "Drawn once per member and image, before the first epoch, and never again; no augmentation mixes images."
    )

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, classes: int, seed: int, member: int
    ) -> TrainingSet:
        raise NotImplementedError

    def test_draw(self, images: torch.Tensor, *, seed: int, member: int) -> torch.Tensor:
        """Draw u_m ``(1, C, H, W)``, one per member, the same for all ``images`` ``(n, C, H, W)`` and every level."""
        shape = tuple(images.shape[1:])
        return _normal(1, shape, seed=seed, purpose="test noise", member=member, device=images.device)

    def under_draw(self, images: torch.Tensor, sigma: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """Put ``images`` ``(n, C, H, W)`` under a draw, or ``(m, n, C, H, W)`` under draws ``(m, 1, C, H, W)``."""
        raise NotImplementedError

    def test_inputs(self, images: torch.Tensor, sigma: torch.Tensor, *, seed: int, member: int) -> torch.Tensor:
        """Put ``images`` ``(n, C, H, W)`` under a member's draw, as it sees them when it votes."""
        return self.under_draw(images, sigma, self.test_draw(images, seed=seed, member=member))


class GaussianNoise(NoiseLaw):
    """x + σ z with z ~ N(0, I), not clamped, because the theorem needs the Gaussian (2003.08904, 2504.21730)."""

    title = "Gaussian noise on training images and test input"
    one_level = False
    gaussian = True

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, classes: int, seed: int, member: int
    ) -> TrainingSet:
        """x_i + σ_i z_{m,i}: noise ``(n, C, H, W)`` of its own for every image; ``sigma`` is ``(n,)``."""
        noise = _normal(
            len(images),
            tuple(images.shape[1:]),
            seed=seed,
            purpose="training noise",
            member=member,
            device=images.device,
        )
        noise.mul_(_per_image(sigma, images)).add_(images)
        return TrainingSet(images=noise, labels=labels)

    def under_draw(self, images: torch.Tensor, sigma: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """x + σ_x u_m; ``sigma`` is ``(n,)``."""
        return images + _per_image(sigma, images) * draw


class TrainingNoise(GaussianNoise):
    """Gaussian noise on the training images only; test inputs have none (2403.11981)."""

    title = "Gaussian noise on training images only"
    one_level = True

    def under_draw(self, images: torch.Tensor, sigma: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        return _unchanged(images, draw)


class TestNoise(GaussianNoise):
    """Gaussian noise on test inputs only; members differ in the few training images that they see."""

    title = "Gaussian noise on test inputs only"
    gaussian = False
    checklist = "There is none: which images a member sees is drawn by its seed, never by their content."

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, classes: int, seed: int, member: int
    ) -> TrainingSet:
        return TrainingSet(images=images, labels=labels)


class Flips(NoiseLaw):
    """Each binary feature and each label is kept with probability β, else flipped (2002.11750); the level is β.

    Notes:
        With C > 2 classes a label is kept with probability β / (β + (C-1)(1-β)), else it becomes each other class with
        probability (1-β) / (β + (C-1)(1-β)). The likelihood ratio of two labels is then β / (1-β) or 1, as for two
        values of a feature, so the certificate counts a changed label as one changed feature.
    """

    title = "Flipped features and labels"
    level_setting = "keep"
    isotropic = False
    binary = True

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, classes: int, seed: int, member: int
    ) -> TrainingSet:
        """Features and labels flipped, with draws of their own for every image; ``sigma`` is β, ``(n,)``."""
        import torch

        streams = {"seed": seed, "member": member, "device": images.device}
        draws = _normal(len(images), tuple(images.shape[1:]), purpose="training flips", **streams)
        share = torch.special.ndtr(_normal(len(images), (), purpose="label flips", **streams).double())
        keep = sigma.to(share)
        other = (1 - keep) / (keep + (classes - 1) * (1 - keep))  # the probability of every other class
        step = 1 + (share / other).long()
        step = torch.where(step < classes, step, 0)
        return TrainingSet(images=_flipped(images, draws, sigma), labels=(labels + step) % classes)

    def test_draw(self, images: torch.Tensor, *, seed: int, member: int) -> torch.Tensor:
        shape = tuple(images.shape[1:])
        return _normal(1, shape, seed=seed, purpose="test flips", member=member, device=images.device)

    def under_draw(self, images: torch.Tensor, sigma: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """The same features flipped in every input; ``sigma`` is β, ``(n,)``."""
        return _flipped(images, draw, sigma)


class NoNoise(NoiseLaw):
    """No noise: members differ in the images that they see (2006.14768)."""

    title = "No noise"
    level_setting = None
    checklist = "There is none: members differ in the images that they see, and in nothing else."

    def training_set(
        self, images: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, *, classes: int, seed: int, member: int
    ) -> TrainingSet:
        return TrainingSet(images=images, labels=labels)

    def under_draw(self, images: torch.Tensor, sigma: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        return _unchanged(images, draw)


@dataclass(frozen=True, eq=False)
class NoisyInputs:
    """Test inputs under members' draws, made where they are asked for: ``inputs[rows]`` as of a tensor ``(n, …)``.

    Attributes:
        images: ``(n, C, H, W)``; sigma: ``(n,)``.
        draw: of one member ``(1, C, H, W)``; or of m, ``(m, 1, C, H, W)``, whose rows may be their own: ``(m, k)``.
    """

    law: NoiseLaw
    images: torch.Tensor
    sigma: torch.Tensor
    draw: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | torch.Tensor) -> torch.Tensor:
        return self.law.under_draw(self.images[rows], self.sigma[rows], self.draw)


def _normal(count: int, shape: tuple[int, ...], **stream: Any) -> torch.Tensor:
    from certssb_core.smoothing.seeds import standard_normal

    return standard_normal(count, shape, **stream)


def _flipped(images: torch.Tensor, draws: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Exchange 0 and 1 where a standard normal draw lies above Φ⁻¹(β)."""
    import torch

    return torch.where(draws > _per_image(torch.special.ndtri(keep.double()), images), 1 - images, images)


def _per_image(sigma: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return sigma.to(images)[..., None, None, None]


def _unchanged(images: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    import torch

    return images.expand(torch.broadcast_shapes(images.shape, draw.shape))


NOISE_LAWS: dict[str, NoiseLaw] = {
    "gaussian": GaussianNoise(),
    "gaussian-training": TrainingNoise(),
    "gaussian-test": TestNoise(),
    "flips": Flips(),
    "none": NoNoise(),
}
