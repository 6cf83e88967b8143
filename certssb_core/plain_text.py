"""Show text from others as text: names, titles and messages that come from files, capsules and links.

There is one function for each sink that would take some of it for markup. Reports escape in their template.
"""

from __future__ import annotations

import html
import json
import re

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but the line feed, and those that reverse the order of writing."""
_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#+!|~$&^=]")
_BLOCK_START = re.compile(r"^(\d*)([-.)])")
_SHORTCUT = re.compile(r":|@|\bwww(?=\.)", re.IGNORECASE)
"""Colours, icons and emoji begin with a colon; addresses hold one, an @ or www. A backslash does not stop these."""
_WORD_JOINER = "\u2060"
"""Invisible, and not a place to break the line."""


def terminal_text(text: object) -> str:
    """Replace characters that would move the cursor, change colours or reverse the writing; line feeds stay."""
    return _CONTROLS.sub("\ufffd", str(text))


def terminal_json(value: object, *, plain: bool = False) -> str:
    """Write JSON for a terminal: control characters as ``\\uXXXX`` only.

    Args:
        value: what json does not know becomes its ``str``.
        plain: write every character outside ASCII so, for an output of another encoding.
    """
    written = json.dumps(value, indent=2, ensure_ascii=plain, default=str)
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def markdown_text(text: object) -> str:
    """Escape what Streamlit's Markdown would format, link or replace by an icon; the result is one line."""
    line = _MARKUP.sub(r"\\\g<0>", _one_line(text))
    line = _BLOCK_START.sub(r"\1\\\2", line)
    return _SHORTCUT.sub(rf"\g<0>{_WORD_JOINER}", line)


def chart_text(text: object) -> str:
    """Escape what Plotly would take for HTML or for a variable of a hover template; the result is one line."""
    return html.escape(_one_line(text), quote=False).replace("%{", "%&#123;")


def _one_line(text: object) -> str:
    return " ".join(terminal_text(str(text).replace("\t", " ")).split())
