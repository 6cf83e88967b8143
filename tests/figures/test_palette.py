"""Figures take their colours from the theme alone; those are Okabe and Ito's, which survive colour-blindness."""

import re
from pathlib import Path

import pytest

from certssb_core.figures import theme

FOLDER = Path(theme.__file__).parent
OKABE_ITO = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
COLOUR = re.compile(
    r"""#[0-9a-fA-F]{3,8}\b|rgba?\(\s*\d|hsla?\(|["'](?:red|green|blue|orange|purple|black|white)["']"""
)


def test_the_palette_is_okabe_and_itos_and_one_grey():
    assert set(theme.SEQUENCE) - {theme.GREY} == OKABE_ITO
    assert set(theme.COLOURS.values()) <= set(theme.SEQUENCE)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_figure_has_a_colour_of_its_own(path):
    if path.stem != "theme":
        assert not COLOUR.findall(path.read_text(encoding="utf-8"))
