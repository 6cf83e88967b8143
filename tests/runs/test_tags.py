import json

import pytest

from certssb_core.config.schema import RunConfig
from certssb_core.errors import RunError
from certssb_core.runs.run import Run
from certssb_core.runs.tags import all_tags, read_tags, write_tags


@pytest.fixture
def run(tmp_path):
    return Run.create(RunConfig(), "one", tmp_path)


def test_tags_are_kept_sorted_each_once(run):
    assert read_tags(run) == ()
    assert write_tags(run, ["b", " a  b ", "b"]) == ("a b", "b")
    assert read_tags(run) == ("a b", "b")
    assert all_tags([run, run]) == ["a b", "b"]
    assert write_tags(run, []) == read_tags(run) == ()


@pytest.mark.parametrize("tags", [[""], ["x" * 41], ["a,b"], ["\x1b[31m"], [str(number) for number in range(21)]])
def test_what_is_no_tag_is_refused_and_the_old_ones_stay(run, tags):
    write_tags(run, ["kept"])
    with pytest.raises(RunError, match="tag"):
        write_tags(run, tags)
    assert read_tags(run) == ("kept",)


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[" * 100_000, json.dumps(["x" * 100]), json.dumps([3])])
def test_a_damaged_file_is_no_tags(run, content):
    (run.path / "tags.json").write_text(content)
    assert read_tags(run) == ()
