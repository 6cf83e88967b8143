"""The words every page shares: its head, and what it says when there is nothing, or something went wrong."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from certssb_core.data.poisoning import METHODS
from certssb_core.errors import ConfigError, DataError, PoisonError, RunError, StoreError
from certssb_core.plain_text import markdown_text
from certssb_core.runs.run import Run
from certssb_core.runs.server_limits import READ_ONLY
from ui.kit import glossary, pages, present

SOURCES: dict[str, str] = {
    "2504.21730": "Cert-SSBD: sample-specific smoothing against backdoors",
    "2003.08904": "RAB: provable robustness against backdoor attacks",
    "1902.02918": "Cohen et al.: certified robustness by randomised smoothing",
    "2012.04351": "Alfarra et al.: data-dependent smoothing with a memory",
    "2110.05365": "Súkeník et al.: input-dependent σ is not automatically a certificate",
    "2008.04495": "Jia et al.: certified robustness of bagging against data poisoning",
    "2002.11750": "Wang et al.: certifying robustness against backdoors by smoothing",
    "1906.04948": "Lee et al.: tight L0 certificates",
    "2006.06721": "Backdoor smoothing",
    "2403.11981": "Diffusion denoising against clean-label poisoning",
    "2512.01782": "Dual smoothing",
    **{method.source: method.title for method in METHODS.values()},
    "2006.14768": "DPA: deep partition aggregation",
    "2202.02628": "Finite aggregation: partitions whose images reach several members",
    "2301.11824": "PECAN: partitions with certified members",
    "2302.02300": "Run-off election: partitions that vote in two rounds",
}


def page_header(name: str, formulas: str | None = None, sources: Sequence[str] | None = None) -> None:
    """Heading and question of a page; its terms, formulas and sources are one click away.

    Args:
        name: of the page, a key of :data:`ui.kit.pages.PAGES`.
        formulas: Markdown with LaTeX.
        sources: arXiv numbers of :data:`SOURCES`.
    """
    begin(name)
    page = pages.PAGES[name]
    with st.container(key="page-head", gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title(page.heading or page.title, anchor=False, width="stretch")
            terms(name)
            if formulas or sources:
                label, icon = ("Formulas", ":material/function:") if formulas else ("Sources", ":material/menu_book:")
                with st.popover(label, icon=icon):
                    links = (f"- [{SOURCES[number]}](https://arxiv.org/abs/{number})" for number in sources or ())
                    st.markdown((formulas or "") + "\n\n" + "\n".join(links))
            present.button()
        st.markdown(f"##### {page.question}")


def begin(name: str) -> None:
    """Open the page ``name``; to be called first, by a page that has another heading than :func:`page_header`."""
    _route()
    if st.session_state.get("page") != name:
        st.session_state["page"], st.session_state["arrived"] = name, True


def terms(name: str) -> None:
    """The terms that the page uses, one click away."""
    with st.popover("Terms", icon=":material/dictionary:"):
        st.markdown(glossary.lines(pages.PAGES[name].terms))


def to_top(place: str) -> None:
    """Scroll to the top of the page when ``place`` has changed since the page was drawn last."""
    if st.session_state.get("scrolled-for", place) != place:
        script = f"document.querySelector('[data-testid=stMain]').scrollTo(0, 0) // {abs(hash(place))}"
        st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
    st.session_state["scrolled-for"] = place


def bring_into_view(key: str) -> None:
    """Make :func:`came_into_view` scroll to the container ``key``; for a click that opens something off screen."""
    st.session_state["bring-into-view"] = key


def came_into_view(key: str) -> None:
    """Scroll to the container ``key`` where it was asked for; to be called once that is drawn."""
    if st.session_state.get("bring-into-view") != key:
        return
    del st.session_state["bring-into-view"]
    st.session_state["scrolls"] = number = st.session_state.get("scrolls", 0) + 1
    script = f"document.querySelector('.st-key-{key}').scrollIntoView({{block: 'nearest'}}) // {number}"
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def arrived() -> bool:
    """Tell whether the reader has just come to this page from another one, or by a link; True once."""
    return st.session_state.pop("arrived", False)


def _route() -> None:
    """Go through ``app.py`` when the first visitor of a fresh server comes by a link to a page.

    Until ``st.navigation`` has run once in the process, Streamlit takes a folder named ``pages`` for its older kind
    of multipage app and runs the page alone, without the router.
    """
    if PagesManager.uses_pages_directory:
        runpy.run_path(str(Path(__file__).parents[2] / "app.py"))
        st.stop()


def drawing(path: Path) -> None:
    """An SVG in the page itself, so that its ``currentColor`` is the ink of the theme the reader has chosen."""
    st.markdown(path.read_text(encoding="utf-8").replace("\n", ""), unsafe_allow_html=True)


def empty(message: str) -> None:
    """There is nothing to show yet; ``message`` says what would be here and how to get it."""
    st.info(message, icon=":material/inbox:")


def no_runs() -> None:
    empty("There is no finished run yet. This page shows one as soon as it has been trained.")
    pages.link("train", "Go to Train")


def no_balls(run: Run) -> None:
    """The store of ``run`` is empty."""
    empty(
        f"The store of {run.name} holds no ball: no input was certified. With {run.config.training.members:,} members "
        f"at α = {run.config.certification.alpha:g} a certificate may be impossible: Train warns of it beforehand."
    )


def looking_only() -> None:
    """This server launches and changes nothing."""
    st.info(f"{READ_ONLY} All results can be looked at, and images asked about.", icon=":material/lock:")


def failed(reason: str, remedy: str = "") -> None:
    """Say why something could not be done, and what to do.

    Args:
        reason: plain text, line by line.
        remedy: Markdown.
    """
    lines = [markdown_text(line) for line in reason.splitlines()]
    st.error("  \n".join([*lines, remedy]).rstrip(), icon=":material/error:")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the core's own errors (missing data, damaged run, wrong setting) into their sentence on the page."""
    try:
        yield
    except (ConfigError, DataError, PoisonError, RunError, StoreError) as error:
        failed(str(error))
        st.stop()
