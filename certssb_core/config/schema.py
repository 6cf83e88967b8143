"""The validated configuration of a run: every number once, with its unit and its range.

The same schema feeds the command line (``--set group.key=value``), the dashboard's forms (through
:meth:`RunConfig.model_json_schema`) and the links in the address bar.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import NOISE_MAPS, TEST_MAPS
from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.certify.subset import Drawing
from certssb_core.config.choices import OneOf
from certssb_core.data.datasets import DATASETS
from certssb_core.data.poisoning import LABEL_MODES, METHODS
from certssb_core.data.triggers import TRIGGERS
from certssb_core.ensemble.architectures import ARCHITECTURES, LINEAR, WITHOUT_NOISE
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.preprocessing import PREPROCESSING


def _setting(
    default: Any, title: str, meaning: str, least: float | None = None, most: float | None = None, **limits: Any
) -> Any:
    """A setting as people see it: title, meaning, and the least and the most that it accepts."""
    return Field(default, title=title, description=meaning, ge=least, le=most, **limits)


class Group(BaseModel):
    """Base of all groups: unknown keys are errors, values are frozen, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _split_names(value: Any) -> Any:
    """``"0,1"`` or ``[0, 1]`` → ``("0", "1")``; the empty string means all classes."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip()) or None
    values = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(name, bool | float) for name in values):
        raise ValueError("class names are texts: put them in quotes")
    if isinstance(value, int):
        return (str(value),)
    if isinstance(value, list | tuple):
        return tuple(str(name) for name in value) or None
    return value


ClassNames = Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)]

DatasetName = Annotated[str, OneOf(DATASETS)]
TriggerName = Annotated[str, OneOf(TRIGGERS)]
LabelMode = Annotated[str, OneOf(LABEL_MODES)]
MethodName = Annotated[str, OneOf(METHODS)]
NoiseLawName = Annotated[str, OneOf(NOISE_LAWS)]
NoiseMap = Annotated[str, OneOf(NOISE_MAPS)]
TestMap = Annotated[str, OneOf(TEST_MAPS)]
PreprocessingName = Annotated[str, OneOf(PREPROCESSING)]
ModelName = Annotated[str, OneOf(ARCHITECTURES, "auto")]
BoundName = Annotated[str, OneOf(BOUNDS)]
CertificateName = Annotated[str, OneOf(CERTIFICATES)]
SeenName = Literal["share", "partition", "subset"]
EngineName = Literal["local", "ray"]
NoiseSeed = Literal["public", "secret"]
Origin = Literal["trained", "cert-ssbd-release"]

TINY = 1e-6
"""The least that a setting may be which must be above 0."""


class DataConfig(Group):
    """The images: their source, classes and number."""

    name: DatasetName = _setting("digits", "Dataset", "The images to train and test on.")
    root: str | None = _setting(None, "Data folder", "Folder that holds the data; default: CERTSSB_DATA, else data/.")
    classes: ClassNames = _setting(None, "Classes", "Classes to keep, e.g. 0,1 or airplane,bird; empty: all.")
    max_train: int | None = _setting(None, "Training images, at most", "Maximum number of training images.", 2)
    max_test: int | None = _setting(None, "Test images, at most", "Maximum number of test images.", 2)
    size: int | None = _setting(None, "Image side (pixels)", "Side of ImageNette's and image folders' images.", 8, 512)
    binary: bool = _setting(
        False, "Black and white", "Round every pixel to 0 or 1, before and after the trigger is added."
    )


class AttackConfig(Group):
    """The backdoor that is planted: trigger, label mode, rate (docs/method.md §1)."""

    trigger: TriggerName = _setting("one-pixel", "Trigger", "Shape of the trigger.")
    norm: float = _setting(1.0, "Norm δ", "Size of the trigger (L2), for pixels in [0, 1].", TINY, 1000)
    rate: float = _setting(0.02, "Poisoning rate", "Share of the training images that is poisoned.", 0, 1)
    label_mode: LabelMode = _setting("all-to-one", "Label mode", "What the attacker wants predicted.")
    target: int = _setting(0, "Target", "Target class, as a position in the chosen classes.", 0)
    patch_size: int = _setting(3, "Patch size", "Side of the patch in pixels (patch only).", 1, 256)
    patch_value: float = _setting(1.0, "Patch value", "Pixel value of the patch (patch only).", 0, 1)
    pattern_seed: int = _setting(0, "Pattern seed", "Seed of the blended pattern.", 0)
    method: MethodName = _setting(
        "stamp",
        "Method",
        "How poisoned images are made. All methods but stamp optimise them by gradient and keep labels.",
    )
    budget: float = _setting(2.0, "Budget", "Largest change (L2) of a crafted image (not stamp).", TINY, 1000)
    victims: int = _setting(
        0,
        "Victims",
        "Number of test images that an attack without a trigger aims at; 0 if it has a trigger.",
        0,
        10_000,
    )
    first_victim: int = _setting(0, "First victim", "Shifts the victims by this many test images.", 0, 10**9)
    craft_steps: int = _setting(60, "Craft steps", "Gradient steps on crafted images (not stamp).", 1, 10_000)

    @model_validator(mode="before")
    @classmethod
    def _retired(cls, values: Any) -> Any:
        """Open runs that name the library which crafted their poisons: the setting is gone, the poisons are theirs."""
        return {key: value for key, value in values.items() if key != "library"} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _clean_label(self) -> AttackConfig:
        if self.crafted and self.label_mode != "clean-label":
            raise ValueError(f"method {self.method} keeps all labels: set label_mode to clean-label")
        if METHODS[self.method].victims != (self.victims > 0):
            wanted = "at least 1" if METHODS[self.method].victims else "0"
            raise ValueError(f"method {self.method} needs victims to be {wanted}, not {self.victims}")
        return self

    @property
    def crafted(self) -> bool:
        """True where poisoned images are optimised by gradient instead of stamped with the trigger."""
        return METHODS[self.method].crafted

    @property
    def nominal_norm(self) -> float | None:
        """The norm that the trigger is given; None where it overwrites pixels and has none."""
        return self.norm if TRIGGERS[self.trigger].has_norm else None

    @property
    def aim(self) -> dict[str, Any]:
        """The settings that choose which test images measure the attack, for ``counts_for_attack``."""
        return self.model_dump(include={"label_mode", "target", "victims", "first_victim"})


class NoiseConfig(Group):
    """Smoothing noise: its law, and how σ is chosen for training and test images."""

    law: NoiseLawName = _setting(
        "gaussian", "Noise type", "Noise added to the images; each kind of certificate needs its own."
    )
    preprocessing: PreprocessingName = _setting("none", "Preprocessing", "Applied to every noisy training image.")
    denoiser: str = _setting(
        "auto",
        "Denoiser",
        "Denoiser of denoise: a file of `denoiser train`, or a folder or hub name of a diffusers UNet2DModel; "
        "auto: ours for the dataset.",
        max_length=1000,
    )
    train_map: NoiseMap = _setting(
        "sample-specific",
        "σ of training images",
        "Noise level of training images: one for all, or a searched σ* for each image.",
    )
    test_map: TestMap = _setting(
        "sample-specific",
        "σ of test inputs",
        "Noise level of test inputs: one for all; a searched σ* for each; or one of the candidates for each. "
        "All votes choose it (voted), or members set aside (set-aside).",
    )
    test_candidates: tuple[float, ...] = _setting(
        (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0),
        "Candidate σ",
        "Noise levels that members vote at, to choose from (voted, set-aside).",
    )
    aside: float = _setting(
        0.05,
        "Share used to choose σ",
        "Share of the members that choose σ and never certify (set-aside).",
        TINY,
        1 - TINY,
    )
    kept: int = _setting(
        2, "Candidates kept", "Number of candidate σ that they pass on to the other members (set-aside).", 1, 100
    )
    sigma: float = _setting(
        0.25,
        "σ₀",
        "Noise level of the base classifier and of uniform noise; the search for σ* starts here.",
        TINY,
        1000,
    )
    keep: float = _setting(0.8, "β, kept features", "Probability that a feature or label is kept (flips).", 0.51, 0.99)
    base_map: Literal["uniform", "spread"] = _setting(
        "uniform",
        "σ of the base classifier",
        "Noise level of the images that the base classifier learns from: σ₀ for all, or one for each, spread over the "
        "range of σ*. Trained at σ₀ alone it may lean to a class at other levels.",
    )
    sigma_min: float = _setting(0.05, "Smallest σ*", "Lower end of the search for σ*.", TINY, 1000)
    sigma_max: float = _setting(2.0, "Largest σ*", "Upper end of the search for σ*.", TINY, 1000)
    candidates: int = _setting(
        8, "Starting points", "Noise levels, on a log scale, tried before the ascent; 0: start at σ₀.", 0, 1000
    )
    iterations: int = _setting(8, "Ascent steps", "Gradient steps towards σ*; 0: the top of a parabola.", 0, 10_000)
    step: float = _setting(0.1, "Ascent step", "Step size on log σ (Adam).", TINY, 10)
    draws: int = _setting(16, "Noise draws per step", "Noise draws per ascent step and starting point.", 1, 4096)
    paths: int = _setting(64, "Ascent paths kept", "Images per set whose way to σ* is stored.", 0, 10_000)

    @property
    def level(self) -> float:
        """The level of the noise where one level serves all images: σ₀, or β; 0 where there is no noise."""
        setting = NOISE_LAWS[self.law].level_setting
        return getattr(self, setting) if setting else 0.0

    @property
    def searches_train(self) -> bool:
        """True where every training image has its own σ*_i."""
        return self.train_map == "sample-specific"

    @property
    def searches_test(self) -> bool:
        """True where every test input has its own σ*_x."""
        return self.test_map == "sample-specific"

    @property
    def searches(self) -> bool:
        """True where some σ* is searched, on a base classifier."""
        return self.searches_train or self.searches_test

    @property
    def denoises(self) -> bool:
        """True where noisy training images go through a denoiser."""
        return PREPROCESSING[self.preprocessing].needs_denoiser

    @property
    def chosen_by_votes(self) -> bool:
        """True where members vote at every candidate, and certification chooses among them."""
        return self.test_map in ("voted", "set-aside")

    @property
    def votes_per_input(self) -> int:
        """Number of votes of a member on a test input: one at every noise level."""
        return 1 + self.searches_test + self.chosen_by_votes * len(self.test_candidates)

    @field_validator("test_candidates")
    @classmethod
    def _candidates(cls, sigmas: tuple[float, ...]) -> tuple[float, ...]:
        if not sigmas or list(sigmas) != sorted(set(sigmas)) or not 0 < sigmas[0] <= sigmas[-1] <= 1000:
            raise ValueError("test_candidates must be rising numbers above 0, at most 1000")
        return sigmas

    @model_validator(mode="after")
    def _ordered(self) -> NoiseConfig:
        if not self.sigma_min <= self.sigma <= self.sigma_max:
            raise ValueError(
                f"sigma {self.sigma} must lie between sigma_min {self.sigma_min} and sigma_max {self.sigma_max}"
            )
        return self


class TrainingConfig(Group):
    """The ensemble, and the base and undefended models."""

    model: ModelName = _setting("auto", "Model", "Network of the members; auto: the published one for the dataset.")
    undefended_model: ModelName = _setting(
        "auto", "Undefended model", "Network of the undefended model; auto: the same as the members'."
    )
    members: int = _setting(200, "Members M", "Number of models that vote, each with its own noise.", 1, 1_000_000)
    sees: SeenName = _setting(
        "share",
        "Data per member",
        "Training images of a member: a share drawn from its seed (share), a few drawn from its seed (subset), or the "
        "images whose content hash names it (partition).",
    )
    subset: int = _setting(12, "Images per member", "Number of training images that each member sees (subset).", 1)
    drawn_from: int | None = _setting(
        None,
        "Images in all",
        "Number of training images; filled in when the run starts (subset, partition-margin).",
        1,
    )
    share: float = _setting(1.0, "Share", "Share of the training images that each member sees (share).", TINY, 1)
    spread: int = _setting(
        1, "Members per image", "Members that each image reaches, by its content hash (partition).", 1, 1000
    )
    epochs: int = _setting(2, "Epochs", "Epochs per member, over the images that it sees.", 1, 1000)
    single_epochs: int = _setting(10, "Single epochs", "Epochs of the base and the undefended model.", 1, 1000)
    batch_size: int = _setting(256, "Batch size", "Images per training step.", 1, 65_536)
    learning_rate: float = _setting(3e-3, "Learning rate", "Peak of the one-cycle schedule (Adam).", TINY, 10)
    device: Literal["auto", "cpu", "cuda"] = _setting("auto", "Device", "auto: CUDA where present, else CPU.")
    precision: Literal["auto", "float32", "bfloat16"] = _setting(
        "auto",
        "Precision",
        "Arithmetic of training, votes and the search for σ*; auto: bfloat16 where the hardware has it. "
        "Votes near a tie are cast in float32.",
    )
    storage: Literal["float32", "bfloat16"] = _setting(
        "bfloat16", "Storage", "Number format of stored weights; members are rounded to it before they vote."
    )
    shard_members: int = _setting(50, "Members per file", "Members per shard file.", 1, 1024)
    workers: int | None = _setting(
        None, "Workers", "Number of parallel tasks on the CPU; default: one per core.", 1, 256
    )
    together: int | None = _setting(
        None,
        "Members per batch",
        "Members trained as one computation; default: 1 on the CPU, on a GPU as many as its memory holds.",
        1,
        4096,
    )
    engine: EngineName = _setting("local", "Engine", "Where tasks run: on this machine, or on a Ray cluster.")
    address: str | None = _setting(
        None, "Address", "Address of the Ray cluster; default: RAY_ADDRESS, else one started here."
    )

    @property
    def undefended_network(self) -> str:
        """The name of the undefended model's network."""
        return self.model if self.undefended_model == "auto" else self.undefended_model

    def seen_of(self, images: int) -> int:
        """The number of training images that a member sees of so many, where it draws them by its seed."""
        return min(self.subset, images) if self.sees == "subset" else max(1, round(self.share * images))

    def seen_on_average(self, images: int) -> float:
        """The share of so many training images that a member sees, on average."""
        if self.sees == "partition":
            return min(1.0, self.spread / self.members)
        return self.seen_of(images) / images


class CertificationConfig(Group):
    """Certificates made from votes, and the order in which the store sees them."""

    certificate: CertificateName = _setting("weighted-l2", "Certificate", "Kind of certificate.")
    bound: BoundName = _setting("joint", "Bound", "Confidence bound on the vote shares.")
    attacked: int | None = _setting(
        None,
        "Images replaced",
        "Number of training images that an attacker replaces (subset, partition-margin); default: as many as the run "
        "poisons.",
        0,
    )
    alpha: float = _setting(0.001, "α", "Failure probability: a certificate may be wrong this often.", 1e-12, 0.5)
    fixed_draws: int = _setting(
        0,
        "Draws of the fixed ensemble",
        "Votes per test input on the members as they are, for a test radius of their own; 0: none.",
        0,
        1_000_000,
    )
    jury: int = _setting(
        20, "Members per draw", "Members whose mean softmax decides a draw of the fixed ensemble.", 1, 10_000
    )
    radii: tuple[float, ...] = _setting(
        (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), "Radii", "Radii at which accuracy is reported."
    )
    store_order: Literal["clean-first", "triggered-first", "shuffled"] = _setting(
        "clean-first", "Store order", "Order in which certified inputs reach the store."
    )

    @model_validator(mode="after")
    def _radii(self) -> CertificationConfig:
        if not self.radii or min(self.radii) < 0:
            raise ValueError("radii must be a non-empty list of numbers ≥ 0")
        return self


class RunConfig(Group):
    """Everything that determines a run, but its noise where the seed of that is secret."""

    title: str = _setting("", "Title", "A line about this run.", max_length=200)
    origin: Origin = _setting(
        "trained", "Origin", "Where the members come from; imported ones were not trained as the settings say."
    )
    data: DataConfig = DataConfig()
    attack: AttackConfig = AttackConfig()
    noise: NoiseConfig = NoiseConfig()
    training: TrainingConfig = TrainingConfig()
    certification: CertificationConfig = CertificationConfig()
    seed: int = _setting(
        0, "Seed", "Seed of the data and the attack, and of the noise too where that is public.", 0, 2**31 - 1
    )
    noise_seed: NoiseSeed = _setting(
        "public",
        "Seed of the noise",
        "Public: it follows from the seed, so a run can be made again, and certificates hold for inputs chosen without "
        "it. Secret: it is drawn by the system when the run starts, and kept in the run's secret.json.",
    )

    @property
    def denoiser(self) -> str:
        """The name of the denoiser: ours for the dataset, unless another is named."""
        return self.data.name if self.noise.denoiser == "auto" else self.noise.denoiser

    @property
    def kind(self) -> CertificateKind:
        """The kind of certificate that the run makes."""
        return CERTIFICATES[self.certification.certificate]

    @property
    def bytes_per_vote(self) -> int:
        """Bytes that a member's votes on one test input take."""
        classes = len(self.data.classes or ()) or DATASETS[self.data.name].class_count or 2
        return self.noise.votes_per_input + self.kind.margins + self.kind.ranks * classes

    @property
    def drawing(self) -> Drawing | None:
        """Drawing of the members' images and number of attacked ones; None until the run has begun, and where the kind
        of certificate says nothing about replaced images."""
        training, attacked = self.training, self.certification.attacked
        if self.kind.replaced is None or training.drawn_from is None or attacked is None:
            return None
        seen = max(1, round(training.seen_on_average(training.drawn_from) * training.drawn_from))
        return Drawing(images=training.drawn_from, seen=seen, replaced=attacked)

    def with_full_paths(self) -> RunConfig:
        """The same config, its paths independent of the working folder and of ``~``."""
        data, noise = self.data, self.noise
        if data.root is not None:
            data = data.model_copy(update={"root": str(Path(data.root).expanduser().resolve())})
        if os.sep in noise.denoiser and (path := Path(noise.denoiser).expanduser()).exists():
            noise = noise.model_copy(update={"denoiser": str(path.resolve())})
        return self.model_copy(update={"data": data, "noise": noise})

    def differs(self, wanted: RunConfig) -> list[str]:
        """The dotted keys that differ from ``wanted``, apart from the title and from values resolved from ``auto``."""
        mine = flatten(self)
        return [
            key for key, value in flatten(wanted).items() if value not in (None, "auto", mine[key]) and key != "title"
        ]

    @model_validator(mode="after")
    def _one_system(self) -> RunConfig:
        """A certificate is a theorem about one noise law and one way to share out the training images."""
        name, noise = self.certification.certificate, self.noise
        kind, law = self.kind, NOISE_LAWS[noise.law]
        if (noise.law, self.training.sees) != (kind.law, kind.sees):
            raise ValueError(
                f"certification.certificate {name} needs noise.law {kind.law} and training.sees {kind.sees}, "
                f"not {noise.law} and {self.training.sees}"
            )
        training = self.training
        if training.sees == "partition" and training.spread > training.members:
            raise ValueError(f"training.spread {training.spread} must be at most training.members")
        if kind.margins and training.spread > 1:
            raise ValueError(f"certification.certificate {name} needs training.spread 1, not {training.spread}")
        if kind.margins and self.training.model not in LINEAR:
            raise ValueError(
                f"certification.certificate {name} needs a network whose margins are known: set training.model to one "
                f"of {', '.join(LINEAR)}, not {self.training.model}"
            )
        if self.training.model in WITHOUT_NOISE and noise.law != "none":
            raise ValueError(f"training.model {self.training.model} takes no noise: noise.law must be none")
        if law.one_level and {noise.train_map, noise.test_map} != {"uniform"}:
            raise ValueError(
                f"noise.law {noise.law} has one level for all: set noise.train_map and test_map to uniform"
            )
        if not law.gaussian and "sample-specific" in (noise.train_map, noise.test_map):
            raise ValueError(
                f"noise.law {noise.law} finds no σ* on noisy training images: noise.train_map must be uniform, and "
                "noise.test_map uniform, voted or set-aside"
            )
        if PREPROCESSING[noise.preprocessing].gaussian_only and not law.gaussian:
            raise ValueError(
                f"noise.preprocessing {noise.preprocessing} needs Gaussian noise, not noise.law {noise.law}"
            )
        if self.certification.fixed_draws and not kind.balls:
            raise ValueError(
                f"certification.fixed_draws needs certificates that are balls around test inputs, which {name} does not"
            )
        if law.binary and not self.data.binary:
            raise ValueError(f"noise.law {noise.law} needs data.binary: there is nothing to flip in a grey pixel")
        return self


def setting(key: str) -> FieldInfo:
    """The description of a setting: title, help, default, range, under its dotted key."""
    group, _, name = key.rpartition(".")
    holder: Any = RunConfig.model_fields[group].annotation if group else RunConfig
    return holder.model_fields[name]


def flatten(config: RunConfig) -> dict[str, Any]:
    """``{"data.name": "digits", …}``: every setting under its dotted key."""
    flat: dict[str, Any] = {}
    for name, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat
