from certssb_core.figures import votes

NAMES = {"picked": "before", "asked": "now"}


def test_bars_show_the_votes_of_both_images():
    table = votes.table((0, 1200), ("cat", "dog"), (700, 500))
    figure = votes.bars(table, names=NAMES)
    assert [bar.name for bar in figure.data] == ["before", "now"]
    assert [list(bar.y) for bar in figure.data] == [[700, 500], [0, 1200]]
    assert list(figure.data[1].text) == ["", "1,200"]
    assert figure.layout.xaxis.type == "category"


def test_one_image_needs_no_legend():
    figure = votes.bars(votes.table((3, 4), ("0", "1")), names=NAMES)
    assert len(figure.data) == 1
    assert figure.layout.showlegend is False
