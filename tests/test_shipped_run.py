"""The run that ships: small, whole, and its figures follow from its own votes."""

from pathlib import Path

import pytest

from certssb_core.ensemble import shards
from certssb_core.experiment import certification, files
from certssb_core.experiment.presets import PRESETS
from certssb_core.experiment.run import Run

RUN = Run(Path(__file__).parents[1] / "checkpoints" / "digits")


def test_is_the_digits_preset_and_a_few_megabytes():
    resolved = {"training": PRESETS["digits"].training.model_dump(exclude={"model", "device", "precision"})}
    assert RUN.config.model_dump(exclude={"training"}) == PRESETS["digits"].model_dump(exclude={"training"})
    assert RUN.config.training.model_dump(include=set(resolved["training"])) == resolved["training"]
    assert sum(path.stat().st_size for path in RUN.path.rglob("*") if path.is_file()) < 9e6
    assert RUN.status().state == "done"


def test_no_byte_has_changed():
    for name, digest in RUN.manifest["sha256"].items():
        assert files.sha256(RUN.path / name) == digest, name


def test_figures_follow_from_the_votes():
    settings = RUN.config.certification
    voted = certification.voted(RUN)
    table = certification.certify(voted, mode=RUN.config.noise.test_map, bound=settings.bound, alpha=settings.alpha)
    stored = RUN.certificates()
    assert stored["set"].tolist() == table["set"].tolist()
    numbers = table.columns.drop("set")
    assert stored[numbers].to_numpy() == pytest.approx(table[numbers].to_numpy(), rel=1e-9)
    recomputed = certification.assess(voted, table, radii=settings.radii)
    for part in ("clean", "triggered"):
        flat = {key: value for key, value in recomputed[part].items() if not isinstance(value, dict)}
        assert flat == pytest.approx({key: RUN.metrics[part][key] for key in flat})
    for part, curve in (("clean", "certified_accuracy"), ("triggered", "certified_robust_accuracy")):
        assert recomputed[part][curve] == pytest.approx(RUN.metrics[part][curve])


def test_keeps_the_promise_of_the_preset():
    metrics = RUN.metrics
    assert metrics["undefended"]["attack_success_rate"] >= 0.80
    assert metrics["triggered"]["attack_success_rate"] <= 0.10
    assert metrics["clean"]["accuracy"] >= 0.90


def test_all_members_are_there_to_vote_again():
    assert shards.finished(RUN.path / "members") == set(range(RUN.config.training.members))
