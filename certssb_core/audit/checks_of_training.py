"""Checks of how the members were made: training noise, seeds, base classifier, σ* and attack."""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from certssb_core.audit.inspected import Finding, Inspected
from certssb_core.certify.certificate import DENOISED
from certssb_core.errors import RunError
from certssb_core.results.attack_verdict import attack_caveats, success_in_words, undefended_metrics
from certssb_core.results.per_image import SETS as SET_NAMES
from certssb_core.results.per_image import sigma_at_ends
from certssb_core.results.permuted_levels import caveat, clue, in_words
from certssb_core.runs.files import PUBLISHED_SEED
from certssb_core.runs.inputs import SETS
from certssb_core.smoothing.noise import NOISE_LAWS

MANY_AT_ENDS = 0.1
"""Share of a set's images at one end of the range of σ* from which the range shows in the result."""


def training_noise(evidence: Inspected) -> Finding:
    title = "Training noise fixed across epochs"
    if evidence.imported:
        return Finding(
            "red",
            title,
            "The release redraws it every epoch, so the trainer saw many noisy copies of the training set: nothing is "
            "certified about changes of the training images. The test radius takes the members as given and does not "
            "rest on it.",
        )
    return Finding("green", title, NOISE_LAWS[evidence.config.noise.law].checklist)


def denoiser(evidence: Inspected) -> Finding:
    title = "Denoiser"
    try:
        used = evidence.run.denoiser
    except RunError:
        return Finding("amber", title, f"Which one it was is not recorded here. {DENOISED}")
    return Finding("amber", title, f"{used['name']}, sha256 of its weights {used['sha256'][:12]}…. {DENOISED}")


def batch(evidence: Inspected) -> Finding:
    title, folder = "Batch independence", evidence.run.path / "members"
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        return Finding(
            "amber", title, f"The weights are not here; {evidence.config.training.model} has no batch normalisation."
        )
    try:
        with safe_open(shards[0], framework="numpy") as file:
            names = list(file.keys())
    except (OSError, SafetensorError) as error:
        raise RunError(f"{shards[0]} is missing or damaged ({error})") from None
    if leaking := [name for name in names if name.endswith("running_mean")]:
        return Finding("amber", title, f"Batch normalisation ({leaking[0]}): sound only while evaluated as such.")
    return Finding("green", title, "No layer normalises over a batch; members vote in evaluation mode, in float32.")


def seeds(evidence: Inspected) -> Finding:
    title, seed, made = "Seeds", evidence.config.seed, evidence.run.manifest.get("seed")
    if made != seed:
        return Finding("red", title, f"The manifest says the run was made with seed {made}, its configuration {seed}.")
    if evidence.imported:
        return Finding(
            "amber",
            title,
            f"Test noise is a pure function of (seed {seed}, member), drawn here. The release's own training noise "
            "is seeded through NumPy and drawn by torch, hence unseeded: no member can be trained again.",
        )
    pure = "a member retrained alone comes out the same, and its test noise is independent of every other member's."
    if evidence.config.noise_seed == "public":
        return Finding(
            "amber",
            title,
            f"The seed {seed} is public, as lessons, tests and comparisons need it: certificates hold for inputs and "
            f"data chosen without it. All noise is a pure function of (seed, purpose, member, image): {pure}",
        )
    if (evidence.run.path / PUBLISHED_SEED).exists():
        return Finding(
            "amber",
            title,
            "The noise was drawn from a secret seed, which has been published since: certificates hold for inputs and "
            f"data chosen before that. Given the seed, {pure}",
        )
    return Finding(
        "green",
        title,
        "The noise was drawn from a secret seed of the system's randomness, and only its hash stands in the manifest. "
        f"Given the seed, {pure}",
    )


def base_classifier(evidence: Inspected) -> Finding:
    title = "Base classifier not among the voters"
    if evidence.imported:
        return Finding("amber", title, "The release's base classifier is not among its files; nothing here can tell.")
    if not evidence.config.noise.searches:
        return Finding("green", title, "No σ* was searched, so there is none.")
    members = evidence.run_votes.members
    return Finding(
        "green",
        title,
        f"σ* was found on a model of its own, seeded as no member is; the votes are those of members 0 to "
        f"{members - 1:,}, which never chose σ*.",
    )


def sigma_ends(evidence: Inspected) -> Finding:
    title, noise = "σ* within its range", evidence.config.noise
    shares = sigma_at_ends(evidence.run.arrays("sigma"), noise)
    if not shares:
        return Finding("green", title, "No σ* was searched.")
    words = "; ".join(f"{SET_NAMES[name]} {one['low']:.1%} and {one['high']:.1%}" for name, one in shares.items())
    most = max(share for one in shares.values() for share in one.values())
    told = f"At the ends {noise.sigma_min:g} and {noise.sigma_max:g} of its range lie: {words}."
    if most < MANY_AT_ENDS:
        return Finding("green", title, told)
    return Finding(
        "amber", title, f"{told} These would take another σ* if the range were wider; certificates are no less sound."
    )


def sigma_as_clue(evidence: Inspected) -> Finding:
    title = "σ* gives no class away"
    if not evidence.config.noise.searches_test:
        return Finding("green", title, "No σ* was searched for test inputs.")
    if (found := evidence.metrics.get("permuted_levels")) is None:
        return Finding("amber", title, "This run is of a version that did not ask members at exchanged σ*.")
    if clue(evidence.metrics):
        return Finding("amber", title, caveat(found))
    return Finding("green", title, f"{in_words(found)}.")


def attack(evidence: Inspected) -> Finding:
    title, undefended = "Attack", _undefended(evidence)
    caveats = attack_caveats(undefended)
    if undefended is None or caveats:
        return Finding("amber" if undefended is None else "red", title, caveats[0])
    return Finding("green", title, f"{success_in_words(undefended).capitalize()}.")


def _undefended(evidence: Inspected) -> dict[str, Any] | None:
    """Count again from the model's answers if they are there: an earlier version recorded no base rate."""
    if evidence.metrics["undefended"] is None or not (evidence.run.path / "undefended.safetensors").exists():
        return evidence.metrics["undefended"]
    run_votes = evidence.run_votes
    return undefended_metrics(
        evidence.run.arrays("undefended"),
        run_votes.labels,
        evidence.config.attack,
        classes=run_votes.classes,
        poisoned=len(evidence.run.arrays("poison")["indices"]),
    )


def released_sigma(evidence: Inspected) -> Finding:
    sigma = evidence.run_votes.sets[SETS[0]].sigma["sample-specific"]
    saturated = float(np.mean(np.isclose(sigma, sigma.max())))
    return Finding(
        "amber",
        "σ* of the release",
        "From an update that detaches the network, so σ can only grow from σ₀: far from each image's best, though no "
        f"less sound once fixed. {saturated:.0%} of the images sit at the largest value. One σ* serves an image with "
        "and without trigger.",
    )


def released_training_set(evidence: Inspected) -> Finding:
    pattern = (
        " The release's blended pattern is not ours: the triggered images here do not carry the trigger it planted."
        if evidence.config.attack.trigger == "blended"
        else ""
    )
    return Finding(
        "amber",
        "Training set of the release",
        "Which images were poisoned, and the noise levels of the training images, are not published: there is no "
        "joint budget." + pattern,
    )
