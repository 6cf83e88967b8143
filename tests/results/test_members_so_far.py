"""The vote so far, counted by hand from files as the worker writes them."""

import numpy as np
import pytest

from certssb_core.config.schema import RunConfig
from certssb_core.results.members_so_far import majority_so_far
from certssb_core.runs import files
from certssb_core.runs.run import Run

LABELS = np.array([0, 1, 2])


@pytest.fixture
def run(tmp_path):
    run = Run.create(RunConfig(), "one", tmp_path)
    (run.path / "members").mkdir()
    files.write_arrays(run.path / "scratch.safetensors", {"test_labels": LABELS, "classes": np.array(3)})
    return run


def cast(run, name: str, clean: list, triggered: list) -> None:
    votes = {"votes/clean/sample-specific": clean, "votes/triggered/sample-specific": triggered}
    arrays = {key: np.array(value, np.uint8) for key, value in votes.items()}
    files.write_arrays(run.path / "members" / f"{name}.safetensors", arrays)


def test_most_of_the_first_members_are_counted(run):
    cast(run, "shard-000000-000001", [[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]])
    cast(run, "part-000002", [[0, 1, 2]], [[0, 1, 2]])
    found = majority_so_far(run).set_index(["set", "members"])["share"].to_dict()
    assert found == pytest.approx(
        {("clean", 1): 2 / 3, ("clean", 2): 1 / 3, ("clean", 3): 2 / 3}
        | {("triggered", 1): 1 / 3, ("triggered", 2): 1 / 3, ("triggered", 3): 1 / 3}
    )


def test_there_is_nothing_before_two_members_and_torn_files_are_passed_over(run):
    assert majority_so_far(run).empty
    cast(run, "part-000000", [[0, 1, 2]], [[0, 1, 2]])
    (run.path / "members" / "part-000001.safetensors").write_bytes(b"torn")
    assert majority_so_far(run).empty
    (run.path / "scratch.safetensors").unlink()
    assert majority_so_far(run).empty
