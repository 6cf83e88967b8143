"""Inspect a run: check point by point what its certificates rest on, and give each finding its reason.

What can be checked from the run's files is checked; what only the code that made the run can tell is said of
that code, by name. Nothing is trained or voted, and torch is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from certssb_core.certify import published_release
from certssb_core.certify.certificate import DENOISED, FIXED
from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.results.attack_verdict import attack_caveats, success_in_words, undefended_metrics
from certssb_core.results.certification import certify_votes, promise
from certssb_core.results.enough_members import too_few_members
from certssb_core.results.fixed_figures import fixed_settings
from certssb_core.results.per_image import SETS as SET_NAMES
from certssb_core.results.per_image import sigma_at_ends
from certssb_core.results.vote_bounds import BoundRule, bound_rule, bound_votes
from certssb_core.results.votes import RunVotes, read_run_votes
from certssb_core.runs.files import PUBLISHED_SEED
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS

Colour = Literal["green", "amber", "red"]
"""Green: sound. Amber: holds under a condition, or cannot be told. Red: what is claimed does not hold."""


MANY_AT_ENDS = 0.1
"""Share of a set's images at one end of the range of σ* from which the range shows in the result."""


@dataclass(frozen=True)
class Finding:
    """One point of the checklist."""

    colour: Colour
    title: str
    reason: str


@dataclass(frozen=True, eq=False)
class Inspected:
    """The files of a run, and the mode, bound and α in which its votes are counted."""

    run: Run
    run_votes: RunVotes
    mode: str
    bound: str
    alpha: float
    rule: BoundRule

    @property
    def config(self) -> RunConfig:
        return self.run.config

    @property
    def imported(self) -> bool:
        return self.config.origin != "trained"

    @property
    def is_release(self) -> bool:
        return self.mode == published_release.MODE

    @property
    def own(self) -> bool:
        """True if the run itself stored these certificates."""
        rule = self.config.certification
        return (self.mode, self.bound, self.alpha) == (self.config.noise.test_map, rule.bound, rule.alpha)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return self.run.metrics

    @cached_property
    def stored(self) -> pd.DataFrame:
        return self.run.certificates()


def inspect(
    run: Run, *, mode: str | None = None, bound: str | None = None, alpha: float | None = None
) -> list[Finding]:
    """Inspect a finished run, in its own mode, bound and α or in others.

    Raises:
        RunError: the run is not finished, a file is damaged, or it has no votes in this mode.
    """
    config, run_votes = run.config, read_run_votes(run)
    mode, bound = mode or config.noise.test_map, bound or config.certification.bound
    rule = bound_rule(run_votes.sets[SETS[0]], config, mode=mode, bound=bound)
    evidence = Inspected(run, run_votes, mode, bound, config.certification.alpha if alpha is None else alpha, rule)
    more = RELEASE_CHECKS if evidence.imported else ()
    more += (_denoiser,) if evidence.config.noise.denoises else ()
    more += (_classifier,) if mode == FIXED else ()
    found = [check(evidence) for check in (*CHECKS, *more)]
    return found if evidence.is_release else [*found, *_too_few_members(evidence)]


def counts(findings: list[Finding]) -> dict[str, int]:
    """Count the findings of each colour, worst first."""
    return {colour: sum(one.colour == colour for one in findings) for colour in ("red", "amber", "green")}


def _too_few_members(evidence: Inspected) -> list[Finding]:
    """Red where so few members vote that nothing can be certified."""
    config = evidence.config
    counted = {
        "noise": config.noise.model_copy(update={"test_map": evidence.mode}),
        "training": config.training.model_copy(update={"members": _voters(evidence)}),
        "certification": config.certification.model_copy(update={"bound": evidence.bound, "alpha": evidence.alpha}),
    }
    said = too_few_members(config.model_copy(update=counted), evidence.run_votes.classes)
    return [Finding("red", "Number of members", said)] if said else []


def _voters(evidence: Inspected) -> int:
    return _draws(evidence) if evidence.mode == FIXED else evidence.run_votes.members


def _noise_in_the_radius(evidence: Inspected) -> Finding:
    title, run_votes, stored = "Noise in the votes and in the radius", evidence.run_votes, evidence.stored
    if evidence.is_release:
        used = np.concatenate([votes.sigma[run_votes.own_map] for votes in run_votes.sets.values()])
        drawn = evidence.config.noise.sigma
        return Finding(
            "red",
            title,
            f"The votes were cast at σ = {drawn:g} for every input, and the radius is scaled by σ*_x, on average "
            f"{used.mean() / drawn:.2f} times as large. No theorem covers that: {published_release.LABEL}.",
        )
    rule = evidence.config.certification
    again = certify_votes(run_votes, mode=evidence.config.noise.test_map, bound=rule.bound, alpha=rule.alpha)
    shared = [name for name in again.columns if name != "set"]
    if len(stored) != len(again) or not set(shared) <= set(stored.columns):
        return Finding("red", title, "certificates.csv does not have the rows and columns that the votes give.")
    same = np.isclose(stored[shared].to_numpy(float), again[shared].to_numpy(float), rtol=1e-9, atol=1e-12).all(axis=1)
    if wrong := int((~same).sum()):
        first = stored[~same].iloc[0]
        return Finding(
            "red",
            title,
            f"{wrong:,} of {len(stored):,} rows of certificates.csv do not follow from the votes and σ on disk; the "
            f"first is {first['set']} {first['index']}.",
        )
    if not evidence.run_votes.kind.balls:
        return Finding("green", title, f"All {len(stored):,} rows of certificates.csv follow from the votes on disk.")
    where = "the global σ" if evidence.mode == "uniform" else "each input's own σ*_x"
    return Finding(
        "green",
        title,
        f"Votes were cast at {where}, and the same σ scales the radius. All {len(stored):,} rows of certificates.csv "
        "follow from the votes and σ on disk.",
    )


def _training_noise(evidence: Inspected) -> Finding:
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


def _denoiser(evidence: Inspected) -> Finding:
    title = "Denoiser"
    try:
        used = evidence.run.denoiser
    except RunError:
        return Finding("amber", title, f"Which one it was is not recorded here. {DENOISED}")
    return Finding("amber", title, f"{used['name']}, sha256 of its weights {used['sha256'][:12]}…. {DENOISED}")


def _count(evidence: Inspected) -> Finding:
    title, members = "Count of votes in the bound", evidence.run_votes.members
    rule, settings = evidence.rule, evidence.config.certification
    if rule.count != _voters(evidence):
        return Finding(
            "red", title, f"{rule.bound.title}: it counts {rule.count:,} votes, but {members:,} members voted."
        )
    stored = _certifying(evidence, evidence.config.noise.test_map, settings.bound, settings.alpha)
    left_out = evidence.run_votes.left_out
    if members + len(left_out) != evidence.config.training.members or (evidence.stored["members"] != stored).any():
        return Finding(
            "red",
            title,
            f"{members:,} members voted, but the configuration or certificates.csv states another number.",
        )
    if evidence.mode == FIXED:
        return Finding("green", title, f"{rule.bound.title}, told the {_draws(evidence):,} draws that were cast.")
    certifying = _certifying(evidence, evidence.mode, evidence.bound, evidence.alpha)
    aside = f"; the {members - certifying:,} members set aside are not counted" if certifying < members else ""
    told = f"{rule.bound.title}, told the {certifying:,} votes that were cast{aside}."
    if left_out:
        named = ", ".join(map(str, left_out[:5])) + (", …" if len(left_out) > 5 else "")
        return Finding(
            "amber",
            title,
            f"{told} {len(left_out):,} of {evidence.config.training.members:,} members ({named}) diverged at every "
            "attempt and are left out. Their own training alone decided that, so what the votes say of changes of the "
            "test input stands. A change of training images might leave out others, and is not certified as a norm.",
        )
    return Finding("green", title, told)


def _draws(evidence: Inspected) -> int:
    """Number of draws of the fixed ensemble per input."""
    return len(evidence.run_votes.sets[SETS[0]].votes[FIXED])


def _classifier(evidence: Inspected) -> Finding:
    """Name the classifier of the fixed ensemble, and how its draws were seeded."""
    drawn = fixed_settings(evidence.run)
    jury, seed = (drawn["jury"], drawn["seed"]) if drawn else ("?", "?")
    return Finding(
        "amber",
        "Classifier",
        f"The most probable answer of a jury of {jury} of these {evidence.run_votes.members:,} members at random, "
        "under fresh noise. The joint budget is about another classifier, and is not shown in this mode. The seed of "
        f"the draws, {seed}, lies in fixed.json: an input chosen by somebody who had read it is not covered. A query "
        "draws afresh.",
    )


def _certifying(evidence: Inspected, mode: str, bound: str, alpha: float) -> int:
    """Count the members whose votes certify in a mode."""
    votes = evidence.run_votes.sets[SETS[0]]
    return bound_votes(votes, evidence.config, mode=mode, bound=bound, alpha=alpha).members


def _selection(evidence: Inspected) -> Finding:
    title, noise = "Choice of the class", evidence.config.noise
    if evidence.is_release:
        return Finding("red", title, "The top class is chosen from the very votes that bound it, and α is not split.")
    split = 2 if evidence.run_votes.classes == 2 else 2 * evidence.run_votes.classes
    paid = evidence.rule.bound.selection.format(parts=split)
    candidates = len(noise.test_candidates)
    choosing = {
        "voted": f" The same votes chose σ among {candidates} candidates: that α is 1/{candidates} of the whole.",
        "set-aside": f" Members set aside kept {(kept := min(noise.kept, candidates))} candidate σ, among which these "
        f"votes chose: that α is 1/{kept} of the whole.",
    }
    return Finding("green", title, paid + choosing.get(evidence.mode, ""))


def _noise_map(evidence: Inspected) -> Finding:
    title, mode, train_map = "Noise map", evidence.mode, evidence.config.noise.train_map
    if evidence.is_release:
        return Finding("red", title, published_release.CONDITION)
    condition = promise(evidence.config, mode).condition
    if (train_map, mode) == ("uniform", "uniform"):
        return Finding("green", title, condition)
    if "sample-specific" in (train_map, mode):
        condition += " σ* is computed from the training data, so an attacker can move it."
    return Finding("amber", title, condition)


def _batch(evidence: Inspected) -> Finding:
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


def _seeds(evidence: Inspected) -> Finding:
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


def _store_order(evidence: Inspected) -> Finding:
    title, order = "Store", evidence.config.certification.store_order
    if not evidence.run_votes.kind.balls:
        return Finding("green", title, "None is needed: one noise level serves all inputs, so answers never conflict.")
    if not evidence.own:
        return Finding(
            "red" if evidence.is_release else "amber",
            title,
            "The run's store holds its own certificates, not these: no later input is answered by them.",
        )
    store = evidence.metrics["store"]
    if moved := store["trimmed"] + store["aligned"]:
        return Finding(
            "amber",
            title,
            f"Filled {order}: {moved:,} certificates were trimmed or aligned to earlier ones; in another order it "
            "would be others. What was stored stays answered as it was.",
        )
    return Finding(
        "green", title, f"Filled {order}; no balls of different label met, so any order gives the same certificates."
    )


def _base_classifier(evidence: Inspected) -> Finding:
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


def _attack(evidence: Inspected) -> Finding:
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


def _answers(evidence: Inspected) -> Finding:
    """Check for a collapsed ensemble: its certificates are true and worthless."""
    title, clean = "Answers", evidence.stored[evidence.stored["set"] == SETS[0]]
    answers = clean["prediction"][clean["prediction"] >= 0].value_counts(normalize=True)
    if answers.empty:
        return Finding("red", title, "Every clean test image gets ABSTAIN: nothing is certified.")
    if len(answers) == 1 and clean["label"].nunique() > 1:
        return Finding("red", title, f"The ensemble collapsed: every clean test image gets class {answers.index[0]}.")
    return Finding(
        "green",
        title,
        f"{len(answers)} classes are answered, the most frequent to {answers.iloc[0]:.1%} of the images.",
    )


def _sigma_ends(evidence: Inspected) -> Finding:
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


def _released_sigma(evidence: Inspected) -> Finding:
    sigma = evidence.run_votes.sets[SETS[0]].sigma["sample-specific"]
    saturated = float(np.mean(np.isclose(sigma, sigma.max())))
    return Finding(
        "amber",
        "σ* of the release",
        "From an update that detaches the network, so σ can only grow from σ₀: far from each image's best, though no "
        f"less sound once fixed. {saturated:.0%} of the images sit at the largest value. One σ* serves an image with "
        "and without trigger.",
    )


def _released_training_set(evidence: Inspected) -> Finding:
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


CHECKS: tuple[Callable[[Inspected], Finding], ...] = (
    _noise_in_the_radius,
    _training_noise,
    _count,
    _selection,
    _noise_map,
    _batch,
    _seeds,
    _store_order,
    _base_classifier,
    _sigma_ends,
    _answers,
    _attack,
)
RELEASE_CHECKS: tuple[Callable[[Inspected], Finding], ...] = (_released_sigma, _released_training_set)
