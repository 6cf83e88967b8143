"""The pages of the dashboard, one entry each: a new page is an entry here and its file in ``pages/``."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        title: its name in the navigation.
        icon: a Material icon.
        question: what the page answers, one sentence.
        card: what a person does there, a few words for its card on Home; empty: no card.
        terms: of :data:`ui.kit.glossary.TERMS`, those that the page uses.
        heading: stands above the question; by default the title.
        formerly: its name in links that were shared before it was renamed; they still open it.
    """

    title: str
    icon: str
    question: str
    card: str = ""
    terms: tuple[str, ...] = ()
    heading: str = ""
    formerly: str = ""


_VOTING = ("σ*", "member", "smoothing", "abstain", "certificate", "radius")
_ATTACK = ("poisoned image", "trigger", "undefended model", "ASR")

PAGES: dict[str, Page] = {
    "home": Page(
        "Home",
        "home",
        "Can a prediction be proved to be free of a backdoor that may sit in the training data?",
        terms=(*_ATTACK, *_VOTING, "ERA", "fixed ensemble", "joint budget", "store", "ball"),
        heading="Certified against backdoors",
    ),
    "lessons": Page(
        "Lessons",
        "school",
        "What is a backdoor, what does a certificate do about it, and what does it not?",
        "five short tours, each with a question",
        (*_ATTACK, *_VOTING, "joint budget", "store", "ball"),
    ),
    "poison": Page(
        "Poison",
        "bug_report",
        "How small can a backdoor be, and does it work?",
        "plant a backdoor, see how small",
        (*_ATTACK, "smoothing", "certificate", "member"),
    ),
    "train": Page(
        "Train",
        "model_training",
        "How is a certified ensemble made, and what does it cost?",
        "start a run from a preset",
        (*_ATTACK, *_VOTING, "ERA", "CRA", "margin", "fixed ensemble", "joint budget", "store", "ball"),
    ),
    "noise": Page(
        "Noise σ*",
        "grain",
        "Which noise does each image get, and why?",
        "an image and its own noise",
        (*_ATTACK, *_VOTING, "fixed ensemble", "margin", "store", "ball"),
    ),
    "certify": Page(
        "Certify",
        "verified_user",
        "How far can the data be changed before the answer may change?",
        "accuracy, budgets, promises",
        (*_ATTACK, *_VOTING, "fixed ensemble", "margin", "ERA", "CRA", "joint budget", "store", "ball"),
    ),
    "overlaps": Page(
        "Overlaps",
        "join_inner",
        "Where do certified balls conflict, and how does the store resolve it?",
        "step through the store, ball by ball",
        (*_ATTACK, *_VOTING, "fixed ensemble", "margin", "store", "ball"),
    ),
    "query": Page(
        "Query",
        "contact_support",
        "What do the members and the store answer when you change an image?",
        "paint on an image and ask",
        (*_ATTACK, *_VOTING, "fixed ensemble", "margin", "joint budget", "store", "ball"),
    ),
    "compare": Page(
        "Compare",
        "compare",
        "What does each defence certify on the same poisoned data, against whom, and at what price?",
        "other defences, the same data",
        (*_ATTACK, *_VOTING, "margin", "joint budget", "store", "ball"),
        formerly="field",
    ),
    "tune": Page(
        "Tune",
        "tune",
        "Which settings buy the most certified radius for the least accuracy?",
        "search settings in the background",
        (*_ATTACK, *_VOTING, "ERA", "CRA", "fixed ensemble", "joint budget", "store"),
    ),
}


def path(name: str) -> str:
    """The page's file, as ``st.switch_page`` takes it."""
    return f"pages/{name}.py"


def navigation() -> list[st.Page]:
    """All pages for ``st.navigation``; the first one opens."""
    return [
        st.Page(
            path(name),
            title=page.title,
            icon=f":material/{page.icon}:",
            default=place == 0,
        )
        for place, (name, page) in enumerate(PAGES.items())
    ] + [_signpost(name, page.formerly) for name, page in PAGES.items() if page.formerly]


def _signpost(name: str, formerly: str) -> st.Page:
    """A page in no menu that leads from the former address to the page, at the view that the link names."""

    def lead() -> None:
        query = {key: st.query_params.get_all(key) for key in st.query_params}
        st.switch_page(path(name), query_params=query)

    return st.Page(lead, title=PAGES[name].title, url_path=formerly, visibility="hidden")


def link(name: str, label: str = "", **query: str | list[str]) -> None:
    """A link to the page, by its title or another label, at the view that ``query`` names."""
    page = PAGES[name]
    st.page_link(path(name), label=label or page.title, icon=f":material/{page.icon}:", query_params=query)
