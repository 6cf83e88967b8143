"""Does σ* give the class away? Members that hear only the noise are found out, members that see only the image not."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.ensemble import shards
from certssb_core.pipeline import tasks
from certssb_core.pipeline.context import RunContext
from certssb_core.pipeline.pipeline import Pipeline
from certssb_core.results.attack_verdict import caveats
from certssb_core.results.permuted_levels import PERMUTED, clue, permuted_levels
from certssb_core.runs import files
from certssb_core.runs.inputs import SETS
from certssb_core.runs.run import Run
from certssb_core.smoothing.permutation import MOST, permutation
from certssb_core.verification import verify

CONFIG = override(
    PRESETS["digits"],
    {"data.classes": "0,1", "training.device": "cpu", "training.members": 3, "training.model": "linear"},
)
COUNT = 60


class Loudness(nn.Module):
    """Answers by the spread of an image's values, and looks at nothing else."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        spread = images.flatten(1).std(1)
        return torch.stack([0.5 - spread, spread - 0.5], 1)


class Brightness(nn.Module):
    """Answers by an image's mean, which noise hardly moves."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.flatten(1).mean(1)
        return torch.stack([0.5 - mean, mean - 0.5], 1)


def asked(network: nn.Module) -> dict[str, np.ndarray]:
    """Votes of three such members, on dark images of class 0 at σ 0.1 and bright ones of class 1 at σ 0.9."""
    labels = torch.arange(COUNT) % 2
    images = (0.2 + 0.6 * labels.float())[:, None, None, None].expand(COUNT, 1, 32, 32).clone()
    levels = 0.1 + 0.8 * labels.float()
    tensors = {which: images for which in SETS} | {"classes": torch.tensor(2)}
    context = RunContext(config=CONFIG, device=torch.device("cpu"), tensors=tensors, seed=CONFIG.seed)
    votes = [tasks.cast_votes(context, {member: network}, dict.fromkeys(SETS, levels))[member] for member in range(3)]
    stacked = {
        name: torch.stack([one[name] for one in votes]).numpy() for name in votes[0] if name.startswith("votes/")
    }
    return stacked | tasks.permuted_inputs(CONFIG, COUNT) | {"labels": labels.numpy()}


def test_members_that_hear_only_the_noise_are_found_out():
    votes = asked(Loudness())
    found = permuted_levels(votes)
    # An image keeps its answer where the level it got is of its own class.
    kept = (votes["permuted/inputs"] % 2 == votes["permuted/sources"] % 2).mean()
    assert found == {"inputs": COUNT, "same_answer": kept, "accuracy": 1.0, "accuracy_permuted": kept}
    assert 0.3 < kept < 0.7
    assert clue({"permuted_levels": found}) == found
    (caveat,) = caveats({"undefended": {"attack_works": True}, "permuted_levels": found})
    assert "σ* gives the class away" in caveat


def test_members_that_see_only_the_image_lose_nothing():
    found = permuted_levels(asked(Brightness()))
    assert found == {"inputs": COUNT, "same_answer": 1.0, "accuracy": 1.0, "accuracy_permuted": 1.0}
    assert clue({"permuted_levels": found}) is None
    assert caveats({"undefended": {"attack_works": True}, "permuted_levels": found}) == []


def test_one_level_for_all_cannot_be_a_clue():
    uniform = override(CONFIG, {"noise.test_map": "uniform"})
    assert tasks.permuted_inputs(uniform, COUNT) == {}
    assert permuted_levels({"labels": np.zeros(3, int)}) is None
    assert clue({}) is None


@pytest.mark.parametrize("count", [0, 1, 5, MOST, 10_000])
def test_inputs_are_spread_evenly_and_each_gets_the_level_of_one(count):
    rows, sources = permutation(count, seed=3)
    assert len(rows) == min(count, MOST)
    assert sorted(sources) == rows.tolist()
    assert len(set(rows)) == len(rows)
    assert (rows < max(count, 1)).all()
    assert len(rows) < 2 or np.ptp(np.diff(rows)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_an_earlier_version_began_ends_without_it(small_run, tmp_path, whole):
    """A shard has none of these votes, or those of some of its members."""
    run = Run(shutil.copytree(small_run.path, tmp_path / "begun"))
    before = run.arrays("votes")
    (run.path / "votes.safetensors").unlink()
    first = sorted((run.path / "members").glob("shard-*"))[0]
    tensors = {name: tensor.clone() for name, tensor in shards.read(first).items()}
    tensors[PERMUTED] = tensors[PERMUTED][:3]
    if whole:
        del tensors[PERMUTED]
    shards.save_tensors(first, tensors=tensors)
    Pipeline(run)._collect_votes()
    after = Run(run.path).arrays("votes")
    assert set(before) - set(after) == {PERMUTED, "permuted/inputs", "permuted/sources"}
    for name, array in after.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.slow
def test_a_run_records_it_and_other_code_counts_it_again(small_run, tmp_path):
    votes, labels = small_run.arrays("votes"), small_run.arrays("votes")["labels"]
    found = small_run.metrics["permuted_levels"]
    assert votes["votes/clean/permuted"].shape == (12, 108)
    right = sum(
        np.bincount(votes["votes/clean/permuted"][:, place], minlength=3).argmax() == labels[row]
        for place, row in enumerate(votes["permuted/inputs"])
    )
    assert found["accuracy_permuted"] == right / 108
    assert [one.detail for one in verify(small_run) if one.outcome == "failed"] == []
    forged = Run(shutil.copytree(small_run.path, tmp_path / "forged"))
    metrics = forged.metrics | {"permuted_levels": found | {"accuracy_permuted": found["accuracy_permuted"] - 1 / 108}}
    files.write_json(forged.path / "metrics.json", metrics)
    assert any("accuracy_permuted" in one.detail for one in verify(forged) if one.outcome == "failed")
