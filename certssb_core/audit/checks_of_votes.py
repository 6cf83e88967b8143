"""Checks of what the votes say: noise, count, choice of the class, store and answers."""

from __future__ import annotations

import numpy as np

from certssb_core.audit.inspected import Finding, Inspected
from certssb_core.certify import published_release
from certssb_core.certify.certificate import FIXED
from certssb_core.results.certification import certify_votes, promise
from certssb_core.results.enough_members import too_few_members
from certssb_core.results.fixed_figures import fixed_settings
from certssb_core.runs.inputs import SETS


def noise_in_the_radius(evidence: Inspected) -> Finding:
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


def count(evidence: Inspected) -> Finding:
    title, members = "Count of votes in the bound", evidence.run_votes.members
    rule, settings = evidence.rule, evidence.config.certification
    if rule.count != evidence.voters:
        return Finding(
            "red", title, f"{rule.bound.title}: it counts {rule.count:,} votes, but {members:,} members voted."
        )
    stored = evidence.certifying(evidence.config.noise.test_map, settings.bound, settings.alpha)
    left_out = evidence.run_votes.left_out
    if members + len(left_out) != evidence.config.training.members or (evidence.stored["members"] != stored).any():
        return Finding(
            "red",
            title,
            f"{members:,} members voted, but the configuration or certificates.csv states another number.",
        )
    if evidence.mode == FIXED:
        return Finding("green", title, f"{rule.bound.title}, told the {evidence.draws:,} draws that were cast.")
    certifying = evidence.certifying(evidence.mode, evidence.bound, evidence.alpha)
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


def selection(evidence: Inspected) -> Finding:
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


def noise_map(evidence: Inspected) -> Finding:
    title, mode, train_map = "Noise map", evidence.mode, evidence.config.noise.train_map
    if evidence.is_release:
        return Finding("red", title, published_release.CONDITION)
    condition = promise(evidence.config, mode).condition
    if (train_map, mode) == ("uniform", "uniform"):
        return Finding("green", title, condition)
    if "sample-specific" in (train_map, mode):
        condition += " σ* is computed from the training data, so an attacker can move it."
    return Finding("amber", title, condition)


def classifier(evidence: Inspected) -> Finding:
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


def store_order(evidence: Inspected) -> Finding:
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


def answers(evidence: Inspected) -> Finding:
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


def number_of_members(evidence: Inspected) -> list[Finding]:
    """Red where so few members vote that nothing can be certified."""
    config = evidence.config
    counted = {
        "noise": config.noise.model_copy(update={"test_map": evidence.mode}),
        "training": config.training.model_copy(update={"members": evidence.voters}),
        "certification": config.certification.model_copy(update={"bound": evidence.bound, "alpha": evidence.alpha}),
    }
    said = too_few_members(config.model_copy(update=counted), evidence.run_votes.classes)
    return [Finding("red", "Number of members", said)] if said else []
