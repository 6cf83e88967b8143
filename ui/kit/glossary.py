"""The field's terms, one sentence each: every page explains those that it uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term: what it means, and the words by which a text uses it (a regular expression, case ignored)."""

    meaning: str
    words: str


TERMS: dict[str, Term] = {
    "poisoned image": Term(
        "A training image that an attacker has changed, and often relabelled, to teach the model a backdoor.",
        r"\bpoison",
    ),
    "trigger": Term("The small change to an image that a backdoor obeys.", r"\btrigger"),
    "undefended model": Term(
        "A model trained on the same poisoned data, without noise and without votes.", "undefended"
    ),
    "ASR": Term(
        "Attack success rate: the share of triggered test images that are answered as the attacker wants.",
        r"\bASR\b|attack success",
    ),
    "ERA": Term(
        "Empirical robust accuracy: the share of triggered test images that are answered right.",
        r"\bERA\b|empirical robust acc",
    ),
    "CRA": Term(
        "Certified robust accuracy at r: the share that is answered right with a certified radius above r.",
        r"\bCRA\b|certified robust acc",
    ),
    "smoothing": Term(
        "Answer by the vote of many noisy copies, so that a small change of the data moves the vote only a little.",
        r"\bsmooth",
    ),
    "σ*": Term("The noise level (sigma) chosen for one image: the level at which most can be certified for it.", "σ"),
    "member": Term("One of the M networks that vote; each is trained on its own noisy copy of the data.", r"\bmember"),
    "abstain": Term("Give no answer, because the vote is too close to certify one.", r"\babstain|\babstention"),
    "certificate": Term(
        "A proof that the answer does not become another class while the data change less than stated; it may fail "
        "with probability α.",
        r"\bcertif",
    ),
    "radius": Term("How far the test image may move, in L2 distance, for its certificate to hold.", r"\bradi(us|i)\b"),
    "margin": Term(
        "How clearly the vote was won, in units of the noise: radius = σ · margin. Of one member: how far the image is "
        "from its decision boundary.",
        r"\bmargin",
    ),
    "fixed ensemble": Term(
        "The members as they are: many draws of a few of them, each under fresh noise. A classifier with a test radius "
        "of its own, and no joint budget.",
        r"\bfixed[ -]ensemble",
    ),
    "joint budget": Term(
        "How many training images, and the test image with them, may each move by a given norm.", r"\bjoint budget"
    ),
    "ball": Term("All images within the certified radius around one image.", r"\bballs?\b"),
    "store": Term("The saved balls, none of which contradicts another; it answers first.", r"\bstores?\b"),
}


def lines(terms: Iterable[str]) -> str:
    """The meanings of ``terms`` as Markdown."""
    return "\n".join(f"- **{name}**: {TERMS[name].meaning}" for name in terms)
