"""The validated configuration of a run: every number once, with its unit and its range.

The same schema feeds the command line (``--set group.key=value``), the dashboard's forms (through
:meth:`RunConfig.model_json_schema`) and the links in the address bar.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticSerializationError

from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.data.poisoning import METHODS
from certssb_core.errors import ConfigError


class Group(BaseModel):
    """Base of all groups: unknown keys are errors, values are frozen, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _split_names(value: Any) -> Any:
    """``"0,1"`` or ``[0, 1]`` → ``("0", "1")``; the empty string means all classes."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip()) or None
    if isinstance(value, int):
        return (str(value),)
    if isinstance(value, list | tuple):
        return tuple(str(name) for name in value) or None
    return value


ClassNames = Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)]

DatasetName = Literal["digits", "mnist", "fashion-mnist", "cifar10", "imagenette", "image-folder"]
TriggerName = Literal["one-pixel", "four-pixel", "blended", "patch"]
LabelMode = Literal["all-to-one", "all-to-all", "clean-label"]
MethodName = Literal[
    "stamp",
    "feature-collision",
    "convex-polytope",
    "bullseye-polytope",
    "gradient-matching",
    "sleeper-agent",
    "hidden-trigger",
    "clean-label-backdoor",
]
NoiseLawName = Literal["gaussian", "gaussian-training", "flips", "none"]
NoiseMap = Literal["uniform", "sample-specific"]
TestMap = Literal["uniform", "sample-specific", "voted", "set-aside"]
PreprocessingName = Literal["none", "denoise"]
ModelName = Literal[
    "auto",
    "small-cnn",
    "linear",
    "dense",
    "mnist-cnn",
    "dct-ridge",
    "strided-cnn",
    "cifar-resnet-16-32-64",
    "cifar-preact-resnet18",
    "resnet18",
]
BoundName = Literal["clopper-pearson", "joint", "selection-split", "time-uniform", "hoeffding"]
CertificateName = Literal["weighted-l2", "training-l2", "l0", "partition"]
SeenName = Literal["share", "partition"]
EngineName = Literal["local", "ray"]
Origin = Literal["trained", "cert-ssbd-release"]


class DataConfig(Group):
    """Which images, from where, how many."""

    name: DatasetName = Field("digits", description="Dataset.")
    root: str | None = Field(None, description="Folder that holds the data; default: CERTSSB_DATA, else data/.")
    classes: ClassNames = Field(None, description="Classes to keep, e.g. 0,1 or airplane,bird; empty: all.")
    max_train: int | None = Field(None, ge=2, description="At most so many training images.")
    max_test: int | None = Field(None, ge=2, description="At most so many test images.")
    size: int | None = Field(None, ge=8, le=512, description="Image side in pixels (ImageNette, image folders).")
    binary: bool = Field(False, description="Pixels to 0 and 1, split at 1/2, before and after the trigger.")


class AttackConfig(Group):
    """The backdoor that is planted (METHOD: triggers and label modes)."""

    trigger: TriggerName = Field("one-pixel", description="Shape of the trigger.")
    norm: float = Field(1.0, gt=0, le=1000, description="Nominal L2 norm δ of the trigger, pixels in [0, 1].")
    rate: float = Field(0.02, ge=0, le=1, description="Share of the training images that is poisoned.")
    label_mode: LabelMode = Field("all-to-one", description="What the attacker wants predicted.")
    target: int = Field(0, ge=0, description="Target class, as a position in the chosen classes.")
    patch_size: int = Field(3, ge=1, le=256, description="Side of the patch in pixels (patch only).")
    patch_value: float = Field(1.0, ge=0, le=1, description="Pixel value of the patch (patch only).")
    pattern_seed: int = Field(0, ge=0, description="Seed of the blended pattern.")
    method: MethodName = Field("stamp", description="How poisons are made; all but stamp change images by gradient.")
    budget: float = Field(2.0, gt=0, le=1000, description="Largest L2 norm of a crafted image's change (not stamp).")
    victims: int = Field(
        0, ge=0, le=10_000, description="Test images that an attack without a trigger aims at; 0 where it has one."
    )
    first_victim: int = Field(0, ge=0, le=10**9, description="Moves the victims on by so many images of the test set.")
    craft_steps: int = Field(60, ge=1, le=10_000, description="Gradient steps on crafted images (not stamp).")

    @model_validator(mode="before")
    @classmethod
    def _retired(cls, values: Any) -> Any:
        """Open runs that name the library which crafted their poisons: the setting is gone, the poisons are theirs."""
        return {key: value for key, value in values.items() if key != "library"} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _clean_label(self) -> AttackConfig:
        if self.method != "stamp" and self.label_mode != "clean-label":
            raise ValueError(f"method {self.method} keeps all labels: set label_mode to clean-label")
        if METHODS[self.method].victims != (self.victims > 0):
            wanted = "at least 1" if METHODS[self.method].victims else "0"
            raise ValueError(f"method {self.method} needs victims to be {wanted}, not {self.victims}")
        return self

    @property
    def aim(self) -> dict[str, Any]:
        """What decides which test images measure the attack: keyword arguments of ``counts_for_attack``."""
        return self.model_dump(include={"label_mode", "target", "victims", "first_victim"})


class NoiseConfig(Group):
    """Smoothing noise: its law, and how σ is chosen for training and test images."""

    law: NoiseLawName = Field("gaussian", description="Noise law.")
    preprocessing: PreprocessingName = Field("none", description="Applied to every noisy training image.")
    denoiser: str = Field(
        "auto",
        max_length=300,
        description=(
            "Denoiser of denoise: a file of `denoiser train`, or a folder or hub name of a diffusers UNet2DModel; "
            "auto: ours for the dataset."
        ),
    )
    train_map: NoiseMap = Field("sample-specific", description="σ of training images: one for all, or σ*_i.")
    test_map: TestMap = Field(
        "sample-specific",
        description=(
            "σ of test inputs: one for all; σ*_x; or a candidate per input, chosen by all votes (voted) or by "
            "members set aside."
        ),
    )
    test_candidates: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0),
        description="Test σ that members vote at, to choose from (voted, set-aside).",
    )
    aside: float = Field(0.05, gt=0, lt=1, description="Share of members that choose, never certify (set-aside).")
    kept: int = Field(2, ge=1, le=100, description="Candidates they keep for the others (set-aside).")
    sigma: float = Field(0.25, gt=0, le=1000, description="σ₀: base classifier, uniform noise, start of σ*.")
    keep: float = Field(0.8, ge=0.51, le=0.99, description="β: probability that a feature or label is kept (flips).")
    sigma_min: float = Field(0.05, gt=0, le=1000, description="Lower end of σ*.")
    sigma_max: float = Field(2.0, gt=0, le=1000, description="Upper end of σ*.")
    candidates: int = Field(
        8, ge=0, le=1000, description="Points of a log grid tried before the ascent; 0: start at σ₀."
    )
    iterations: int = Field(8, ge=0, le=10_000, description="Ascent steps on log σ.")
    step: float = Field(0.1, gt=0, le=10, description="Adam step size on log σ.")
    draws: int = Field(16, ge=1, le=4096, description="Noise draws per step and candidate.")
    paths: int = Field(64, ge=0, le=10_000, description="Images whose ascent path is kept, per set.")

    @property
    def level(self) -> float:
        """The level of the law where one level serves all images: σ₀, or β; of no noise, 0."""
        return {"flips": self.keep, "none": 0.0}.get(self.law, self.sigma)

    @property
    def chosen_by_votes(self) -> bool:
        """Whether members vote at every candidate, and certification chooses among them."""
        return self.test_map in ("voted", "set-aside")

    @property
    def votes_per_input(self) -> int:
        """How often a member votes on a test input: once at every noise level."""
        return 1 + (self.test_map == "sample-specific") + self.chosen_by_votes * len(self.test_candidates)

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
    """The ensemble and the two single models (base, undefended)."""

    model: ModelName = Field("auto", description="Network; auto picks the published one for the dataset.")
    undefended_model: ModelName = Field(
        "auto", description="Network of the undefended model; auto: that of the members."
    )
    members: int = Field(200, ge=1, le=1_000_000, description="Number M of smoothed members.")
    sees: SeenName = Field(
        "share",
        description=(
            "Training images a member sees: a share drawn from its seed, or the part that a hash of each image's "
            "content sends to it."
        ),
    )
    share: float = Field(1.0, gt=0, le=1, description="Share of the training images that each member sees (share).")
    epochs: int = Field(2, ge=1, le=1000, description="Epochs per member, over the images that it sees.")
    single_epochs: int = Field(10, ge=1, le=1000, description="Epochs of base and undefended model.")
    batch_size: int = Field(256, ge=1, le=65_536, description="Images per step.")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="Peak of the one-cycle schedule (Adam).")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where present, else CPU.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of training and σ*; auto: bfloat16 where the hardware has it."
    )
    storage: Literal["float32", "bfloat16"] = Field(
        "bfloat16", description="Stored weights; members are rounded to it before they vote."
    )
    shard_members: int = Field(50, ge=1, le=1024, description="Members per shard file.")
    workers: int | None = Field(None, ge=1, le=256, description="Tasks at once on the CPU; default: one per core.")
    together: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Members trained as one computation; default: 1 on the CPU, on a GPU as many as its memory holds.",
    )
    engine: EngineName = Field("local", description="Where tasks run: on this machine, or on a Ray cluster.")
    address: str | None = Field(None, description="Of the Ray cluster; default: RAY_ADDRESS, else one started here.")

    @property
    def undefended_network(self) -> str:
        """The name of the undefended model's network."""
        return self.model if self.undefended_model == "auto" else self.undefended_model

    @property
    def seen(self) -> float:
        """The share of the training images that a member sees; of parts, in the mean."""
        return self.share if self.sees == "share" else 1 / self.members


class CertificationConfig(Group):
    """From votes to certificates, and the order in which the store sees them."""

    certificate: CertificateName = Field("weighted-l2", description="Kind of certificate.")
    bound: BoundName = Field("clopper-pearson", description="Confidence bound on the vote shares.")
    alpha: float = Field(0.001, gt=0, le=0.5, description="Failure probability per certificate.")
    radii: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), description="Radii at which accuracy is reported."
    )
    store_order: Literal["clean-first", "triggered-first", "shuffled"] = Field(
        "clean-first", description="Order in which certified inputs reach the store."
    )

    @model_validator(mode="after")
    def _radii(self) -> CertificationConfig:
        if not self.radii or min(self.radii) < 0:
            raise ValueError("radii must be a non-empty list of numbers ≥ 0")
        return self


class RunConfig(Group):
    """Everything that determines a run. ``seed`` is the only source of randomness."""

    title: str = Field("", max_length=200, description="A line about this run.")
    origin: Origin = Field(
        "trained", description="Where the members come from; imported ones were not trained as the settings say."
    )
    data: DataConfig = DataConfig()
    attack: AttackConfig = AttackConfig()
    noise: NoiseConfig = NoiseConfig()
    training: TrainingConfig = TrainingConfig()
    certification: CertificationConfig = CertificationConfig()
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything random in the run.")

    @property
    def denoiser(self) -> str:
        """The name of the denoiser: ours for the dataset, unless another is named."""
        return self.data.name if self.noise.denoiser == "auto" else self.noise.denoiser

    def differs(self, wanted: RunConfig) -> list[str]:
        """The dotted keys in which this is not what is wanted, but for the title, and for what ``auto`` came to be."""
        mine = flatten(self)
        return [
            key for key, value in flatten(wanted).items() if value not in (None, "auto", mine[key]) and key != "title"
        ]

    @model_validator(mode="after")
    def _one_system(self) -> RunConfig:
        """A certificate is a theorem about one noise law and one way to share out the training images."""
        name, noise = self.certification.certificate, self.noise
        kind = CERTIFICATES[name]
        if (noise.law, self.training.sees) != (kind.law, kind.sees):
            raise ValueError(
                f"certification.certificate {name} needs noise.law {kind.law} and training.sees {kind.sees}, "
                f"not {noise.law} and {self.training.sees}"
            )
        if noise.law != "gaussian" and {noise.train_map, noise.test_map} != {"uniform"}:
            raise ValueError(
                f"noise.law {noise.law} has one level for all: set noise.train_map and test_map to uniform"
            )
        if noise.preprocessing == "denoise" and not noise.law.startswith("gaussian"):
            raise ValueError(f"noise.preprocessing denoise needs Gaussian noise, not noise.law {noise.law}")
        if noise.law == "flips" and not self.data.binary:
            raise ValueError("noise.law flips needs data.binary: there is nothing to flip in a grey pixel")
        return self


def parse(values: dict[str, Any]) -> RunConfig:
    """Validate a nested dict.

    Raises:
        ConfigError: one line per offending key, with its value and what is accepted.
    """
    try:
        config = RunConfig.model_validate(values)
        config.model_dump_json()
        return config
    except PydanticSerializationError:
        raise ConfigError("a text holds half a character, which no file can hold") from None
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "config"
            given = "" if problem["type"] == "missing" else f" (given: {problem['input']!r:.80})"
            lines.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}{given}")
        raise ConfigError("\n".join(lines)) from None


def read(path: Path) -> RunConfig:
    """Read a config file (JSON).

    Raises:
        ConfigError: the file is missing, too large, not JSON or not a valid config.
    """
    try:
        if path.stat().st_size > 1_000_000:
            raise ConfigError(f"{path} is larger than 1 MB: not a run configuration")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a JSON configuration: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, not a configuration object")
    return parse(values)


def override(config: RunConfig, assignments: dict[str, str]) -> RunConfig:
    """Return ``config`` with ``{"group.key": "value"}`` applied; values are JSON or plain strings.

    Raises:
        ConfigError: unknown key or a value out of its range.
    """
    values = config.model_dump()
    for key, text in assignments.items():
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place.get(group) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place or isinstance(place[name], dict):
            raise ConfigError(f"{key}: no such setting; known ones: {', '.join(flatten(RunConfig()))}")
        try:
            place[name] = json.loads(text)
        except json.JSONDecodeError:
            place[name] = text
    return parse(values)


def flatten(config: RunConfig) -> dict[str, Any]:
    """``{"data.name": "digits", …}``: every setting under its dotted key."""
    flat: dict[str, Any] = {}
    for name, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat
