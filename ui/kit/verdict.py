"""Say beside every answer whether it is right: a certificate of a wrong answer is still a certificate."""

from __future__ import annotations

from certssb_core.plain_text import markdown_text


def badge(answer: int, truth: int, *, certified: bool = True) -> str:
    """Judge an answer, as a Markdown badge.

    Args:
        answer: class number; −1: the members abstain.
        truth: number of the true class.
        certified: whether a certificate or a stored ball stands behind the answer.
    """
    if answer < 0:
        return ":gray-badge[:material/do_not_disturb_on: abstains]"
    if answer == truth:
        return f":green-badge[:material/check: right{', certified' if certified else ''}]"
    return f":red-badge[:material/close: {'certified, but wrong' if certified else 'wrong'}]"


def beside_truth(name: str, answer: int, truth: int, *, certified: bool = True) -> str:
    """Name the true class by its ``name``, then the badge."""
    return f"true class **{markdown_text(name)}** · {badge(answer, truth, certified=certified)}"
