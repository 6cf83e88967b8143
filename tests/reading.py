"""Reading as a person does: a text in sentences."""

import re

_ENDS = re.compile(r"(?<=[.!?…])[\"”*_)]*\s+(?=[^a-z])|\n\s*\n|\s*\n- ")
_SHORT = re.compile(r"\b(e\.g|i\.e|et al|vs|cf|approx)\.", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """The sentences of a text in Markdown, without its marks."""
    text = re.sub(r"\$[^$]+\$", "formula", re.sub(r"\$\$.*?\$\$", "\n\n", text, flags=re.DOTALL))
    plain = re.sub(r"\*\*|`|:[a-z_]+\[|:material/\w+:", "", _SHORT.sub(lambda found: found[0][:-1], text))
    return [part.strip() for part in _ENDS.split(plain) if part and part.strip()]


def length(sentence: str) -> int:
    """The number of its words; a sign alone is none."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())
