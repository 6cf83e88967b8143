"""The smallest number of members that can certify anything: below it, even unanimous votes say too little."""

from __future__ import annotations

from itertools import count

from certssb_core.certify.bounds.registry import BOUNDS, fewest_members
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.certify.sigma_candidates import members_aside
from certssb_core.config.schema import RunConfig
from certssb_core.data.datasets import DATASETS


def fewest(config: RunConfig, classes: int) -> int:
    """The smallest number of members that can certify an input, with the bound, α and choice of σ of ``config``."""
    noise, rule = config.noise, config.certification
    bound = CERTIFICATES[rule.certificate].bound or BOUNDS[rule.bound]
    if noise.test_map == "voted":
        return fewest_members(bound, classes=classes, alpha=rule.alpha / len(noise.test_candidates))
    if noise.test_map == "set-aside":
        kept = min(noise.kept, len(noise.test_candidates))
        certifying = fewest_members(bound, classes=classes, alpha=rule.alpha / kept)
        return next(members for members in count(2) if members - members_aside(members, noise.aside) >= certifying)
    return fewest_members(bound, classes=classes, alpha=rule.alpha)


def too_few_members(config: RunConfig, classes: int | None = None) -> str:
    """A sentence on a config that can certify nothing, with the number of members that would do; else empty.

    Args:
        classes: number of classes if known; two classes need the fewest members.
    """
    classes = max(2, classes or len(config.data.classes or ()) or DATASETS[config.data.name].class_count or 2)
    needed, members = fewest(config, classes), config.training.members
    if members >= needed:
        return ""
    return (
        f"Nothing can be certified with training.members {members}: at {classes} classes, alpha "
        f"{config.certification.alpha:g} and the bound {config.certification.bound}, even votes that all agree need at "
        f"least {needed} members."
    )
