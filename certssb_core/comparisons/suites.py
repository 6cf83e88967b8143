"""The systems that are compared, and the suites in which they are: one attack each, and a preset for every system."""

from __future__ import annotations

from dataclasses import dataclass, field

from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import AttackConfig, RunConfig
from certssb_core.errors import RunError
from certssb_core.results import certification

STEM = "field"
SMALL = 2000
"""Training images up to which the exact nearest-neighbour classifier is computed."""


@dataclass(frozen=True)
class System:
    """One system of the field: its name, its arXiv number and, in a few words, how it works."""

    title: str
    source: str
    about: str


SYSTEMS: dict[str, System] = {
    "cert-ssbd": System(
        "Cert-SSBD",
        "2504.21730",
        "Gaussian noise on training images and test input, at a level σ\\* found for each of them; members vote.",
    ),
    "rab": System(
        "RAB", "2003.08904", "Gaussian noise at one level σ on training images and test input; members vote."
    ),
    "nearest": System(
        "RAB, nearest neighbour",
        "2003.08904",
        "The nearest of the training images under Gaussian noise. Its probabilities are computed, not sampled: no "
        "members, no failure probability. The test input carries no noise, so only training images may move.",
    ),
    "denoise": System(
        "Diffusion denoising",
        "2403.11981",
        "Gaussian noise on the training images, and a diffusion model that takes each noisy image back in one step. "
        "Members are trained on what comes out and vote on the test input as it is. Denoising follows the noise, so "
        "the certificate is that of the noise, about training images only. The denoisers shipped for digits and MNIST "
        "learned from their clean training images, which a defender seldom has; that for photographs, like public "
        "ones, from other images.",
    ),
    "l0": System(
        "Feature flips",
        "2002.11750",
        "Binary images, 100 of them for training; each feature and label is kept with probability β, else flipped, and "
        "so is each feature of the test input. Thousands of small members vote.",
    ),
    "subset": System(
        "Subset",
        "2008.04495",
        "Each member sees a few of the training images, drawn by its seed. There is no noise: its distance to its "
        "decision boundary is exact. Members that see no attacked image vote as before. So the attack as it was "
        "planted is covered: images replaced by anything, labels included, and a trigger on the test input.",
    ),
    "finite-aggregation": System(
        "Finite aggregation",
        "2202.02628",
        "DPA with images that reach several members each, by the same hash. A member then sees more images, and an "
        "attacked image takes several votes at most; which members share images is counted. Certain, not probable.",
    ),
    "pecan": System(
        "Partitions with margins",
        "2301.11824",
        "DPA whose votes count where the member's decision boundary is far enough, as in PECAN; here that distance is "
        "exact, for linear members. So images may be replaced by anything and the test input moved, and both are "
        "certain, not probable. A replaced image rules two members: the one that it leaves and the one that it enters.",
    ),
    "run-off": System(
        "Run-off election",
        "2302.02300",
        "DPA in two rounds: all members vote, then all choose between the two classes with most votes. An attacker "
        "must keep the answer out of the second round, or win that against it. Certain, not probable.",
    ),
    "dpa": System(
        "DPA",
        "2006.14768",
        "No noise: a hash of each image's content sends it to one member, so an image put in or taken out changes one "
        "vote at most. Certain, not probable. An image that is changed counts as one taken out and one put in.",
    ),
}


@dataclass(frozen=True)
class Suite:
    """Compared systems: an attack, a preset for every system that is trained, and why others are ``left_out``."""

    title: str
    attack: AttackConfig
    presets: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)

    def run_name(self, system: str) -> str:
        return f"{STEM}-{self.presets[system]}"

    def config(self, system: str) -> RunConfig:
        return PRESETS[self.presets[system]].model_copy(update={"attack": self.attack})

    def condition(self, system: str) -> str:
        """Say under which condition a system's certificate holds. It is not read from a file, which may be older."""
        if system == "nearest":
            return CERTIFICATES["training-l2"].condition("uniform", "uniform")
        config = self.config(system)
        return certification.promise(config, config.noise.test_map).condition


_TWO_CLASSES = "With two classes both rounds are one: it is DPA."

SUITES: dict[str, Suite] = {
    "digits": Suite(
        "Handwritten digits 0 and 1",
        PRESETS["digits-01-rab"].attack,
        {
            system: f"digits-01-{system}"
            for system in ("cert-ssbd", "rab", "denoise", "l0", "dpa", "finite-aggregation", "pecan")
        }
        | {"subset": "subset-digits-01"},
        {"run-off": _TWO_CLASSES},
    ),
    "digits-10": Suite(
        "Handwritten digits, ten classes",
        PRESETS["digits-rab"].attack,
        {"cert-ssbd": "digits", "subset": "subset-digits"}
        | {system: f"digits-{system}" for system in ("rab", "dpa", "run-off", "finite-aggregation", "pecan")},
        {
            "denoise": "It is not measured on ten classes.",
            "nearest": "Its exact probabilities take too long for 1,437 training images of ten classes.",
            "l0": "It is not measured on ten classes: of 100 binary images each class would have ten.",
        },
    ),
    "mnist": Suite(
        "MNIST 0 and 1",
        PRESETS["mnist-01-onepixel"].attack,
        {
            "cert-ssbd": "mnist-01-onepixel",
            "rab": "rab-mnist-01-onepixel",
            "denoise": "denoise-mnist-01",
            "l0": "l0-mnist-01",
            "dpa": "dpa-mnist-01",
            "subset": "subset-mnist-01-onepixel",
            "finite-aggregation": "finite-aggregation-mnist-01",
            "pecan": "pecan-mnist-01",
        },
        {"run-off": _TWO_CLASSES},
    ),
    "photographs": Suite(
        "Photographs of airplanes and birds",
        PRESETS["photographs"].attack,
        {"cert-ssbd": "photographs", "subset": "subset-photographs"}
        | {system: f"photographs-{system}" for system in ("rab", "denoise", "l0", "dpa")},
        {
            "nearest": f"Its exact probabilities are computed for at most {SMALL:,} training images.",
            "finite-aggregation": "It is not measured on photographs.",
            "run-off": _TWO_CLASSES,
            "pecan": "It is not measured on photographs.",
        },
    ),
}


def plan(name: str) -> dict[str, RunConfig]:
    """The runs of a suite, one for every system that is trained.

    Raises:
        RunError: there is no such suite.
    """
    if name not in SUITES:
        raise RunError(f"{name!r} is no suite; there are {', '.join(SUITES)}")
    suite = SUITES[name]
    return {suite.run_name(system): suite.config(system) for system in suite.presets}
