"""verify passes on honest runs and finds random corruptions, also where the corruptor made all hashes anew."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from certssb_core import capsule
from certssb_core.audit.inspection import inspect
from certssb_core.cli import app
from certssb_core.config.parse import override
from certssb_core.errors import CapsuleError, DataError, RunError
from certssb_core.runs import files
from certssb_core.runs.run import Run
from certssb_core.store.centre_bytes import pack, unpack
from certssb_core.store.store import CASES
from certssb_core.verification import CAPSULE_CHECKS, CHECKS, evidence, verify
from tests.conftest import finish, make_small_run

SHIPPED = sorted(Path("checkpoints").glob("*/manifest.json"))


def failures(run: Run) -> list[str]:
    return [finding.detail for finding in verify(run) if finding.outcome == "failed"]


@pytest.fixture(scope="session")
def crowded(small_run, tmp_path_factory) -> Run:
    """The small run, certified again with seven times σ*_x and α 0.5: its balls meet, all cases of the store occur."""
    run = Run(shutil.copytree(small_run.path, tmp_path_factory.mktemp("runs") / "crowded"))
    wider = {"certification.alpha": "0.5", "noise.sigma_max": "6.0", "certification.store_order": "triggered-first"}
    run.replace_config(override(run.config, wider))
    sigma = run.arrays("sigma")
    wide = {name: sigma[name] * 7 for name in ("clean", "triggered")}
    files.write_arrays(run.path / "sigma.safetensors", sigma | wide)
    for name in ("store.sqlite", "certificates.csv", "metrics.json", "manifest.json"):
        (run.path / name).unlink()
    run.log("stopped")
    return finish(run)


@pytest.fixture
def copy(crowded, tmp_path) -> Run:
    return Run(shutil.copytree(crowded.path, tmp_path / "copy"))


@pytest.fixture(scope="session")
def crowded_capsule(crowded, tmp_path_factory) -> Path:
    return capsule.export(crowded, tmp_path_factory.mktemp("capsules") / "crowded.capsule")


def test_everything_about_a_whole_run_can_be_checked_but_its_clock(small_run):
    found = verify(small_run)
    assert [finding.check for finding in found] == list(CHECKS)
    assert {finding.check: finding.outcome for finding in found if finding.outcome != "passed"} == {
        "measurements": "not possible"
    }


def test_a_store_where_every_case_occurs_verifies(crowded):
    assert set(crowded.certificates()["store_case"]) == set(CASES)
    assert failures(crowded) == []


@pytest.mark.parametrize("manifest", SHIPPED, ids=lambda path: path.parent.name)
def test_every_shipped_run_verifies(manifest, tmp_path):
    run = Run(shutil.copytree(manifest.parent, tmp_path / "shipped"))
    assert failures(run) == []


@pytest.mark.slow
def test_other_settings_verify_too(tmp_path):
    """Two classes, Hoeffding, uniform noise, all-to-all, triggered inputs shuffled into the store."""
    changes = {
        "data.classes": "0,1",
        "certification.bound": "hoeffding",
        "certification.alpha": "0.4",
        "certification.store_order": "shuffled",
        "noise.train_map": "uniform",
        "noise.test_map": "uniform",
        "attack.label_mode": "all-to-all",
        "training.members": "6",
        "data.max_train": "160",
    }
    run = finish(make_small_run(tmp_path, "other", **changes))
    assert failures(run) == []
    assert (run.certificates()["prediction"] >= 0).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test_map", "bound"),
    [
        ("voted", "randomised"),
        ("set-aside", "selection-split"),
        pytest.param("set-aside", "time-uniform", marks=pytest.mark.slow),
    ],
)
def test_noise_chosen_by_votes_verifies(tmp_path, test_map, bound):
    changes = {
        "data.classes": "0,1,2",
        "data.max_train": "120",
        "noise.train_map": "uniform",
        "noise.test_map": test_map,
        "noise.test_candidates": "[0.2, 0.5, 1.0]",
        "certification.bound": bound,
        "certification.alpha": "0.4",
        "training.members": "20",
        "training.share": "0.6",
        "training.epochs": "20",
        "training.single_epochs": "3",
    }
    run = finish(make_small_run(tmp_path, "chosen", **changes))
    assert [finding.check for finding in verify(run) if finding.outcome != "passed"] == ["measurements"]
    table = run.certificates()
    assert table["sigma"].nunique() > 1
    assert (table["prediction"] >= 0).mean() > 0.3
    checklist = {finding.title: finding for finding in inspect(run)}
    counted, certifying = checklist["Count of votes in the bound"], {"voted": 20, "set-aside": 19}[test_map]
    assert (counted.colour, f"told the {certifying} votes" in counted.reason) == ("green", True)
    assert f"1/{ {'voted': 3, 'set-aside': 2}[test_map] } of the whole" in checklist["Choice of the class"].reason
    assert "σ* is computed" not in checklist["Noise map"].reason
    votes = run.arrays("votes")
    votes["votes/clean/candidates"][:, :, 7] = (votes["votes/clean/candidates"][:, :, 7] + 1) % 3
    files.write_arrays(run.path / "votes.safetensors", votes)
    assert any(detail.startswith("clean 7") for detail in failures(run))


def test_without_the_dataset_a_capsule_says_what_it_cannot_check(crowded_capsule, monkeypatch):
    def absent(config):
        raise DataError("the data is not here")

    monkeypatch.setattr(evidence, "load_dataset", absent)
    with capsule.opened(crowded_capsule) as run:
        outcomes = {finding.check: finding.outcome for finding in verify(run)}
    assert list(outcomes) == [*CHECKS, *CAPSULE_CHECKS]
    assert [check for check, outcome in outcomes.items() if outcome == "not possible"] == [
        *("votes of the members", "dataset and poison", "centres", "store, other inputs", "measurements"),
        "files not carried",
    ]
    assert outcomes["checklist as exported"] == "passed"
    assert outcomes["store, balls"] == "passed"
    assert "failed" not in outcomes.values()


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not finished"):
        verify(make_small_run(tmp_path, "new"))


# -- random corruptions -----------------------------------------------------------------------------------


def flip_byte(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def hash_again(run: Run) -> None:
    """What a forger would do: make the manifest agree with the files."""
    manifest = run.manifest
    for name in manifest["sha256"]:
        if (run.path / name).exists():
            manifest["sha256"][name] = files.sha256(run.path / name)
    files.write_json(run.path / "manifest.json", manifest | {"seal": files.seal(manifest)})


def any_byte(run: Run, chance: random.Random) -> str:
    name = chance.choice(sorted(run.manifest["sha256"]))
    flip_byte(run.path / name, chance)
    return name


def any_hash(run: Run, chance: random.Random) -> str:
    manifest = run.manifest
    name = chance.choice(sorted(manifest["sha256"]))
    if chance.random() < 0.3:
        del manifest["sha256"][name]
    else:
        digest = list(manifest["sha256"][name])
        place = chance.randrange(64)
        digest[place] = "0" if digest[place] != "0" else "1"
        manifest["sha256"][name] = "".join(digest)
    if chance.random() < 0.5:
        manifest["seal"] = files.seal(manifest)
    files.write_json(run.path / "manifest.json", manifest)
    return name


def any_row(run: Run, chance: random.Random) -> str:
    """One cell of certificates.csv, or two rows swapped, or a row gone; all hashes made anew."""
    path = run.path / "certificates.csv"
    table = pd.read_csv(path)
    row, column = chance.randrange(len(table)), chance.choice(list(table.columns))
    name = f"{table['set'][row]} {table['index'][row]}"
    match table[column].dtype.kind:
        case "f":
            table.loc[row, column] += chance.choice([-1, 1]) * 10.0 ** chance.uniform(-6, 0)
        case "i":
            table.loc[row, column] += chance.choice([-1, 1])
        case _:
            table.loc[row, column] = chance.choice(
                [v for v in ("clean", "triggered", "trimmed") if v != table[column][row]]
            )
    if chance.random() < 0.2:
        table, name = table.drop(index=row), ""
    files.write_text(path, table.to_csv(index=False))
    hash_again(run)
    return name if column not in ("set", "index") else ""


def any_vote(run: Run, chance: random.Random) -> str:
    """One vote of the mode that was certified; all hashes made anew."""
    votes = run.arrays("votes")
    which = chance.choice(["clean", "triggered"])
    cast = votes[f"votes/{which}/sample-specific"].copy()
    member, index = chance.randrange(cast.shape[0]), chance.randrange(cast.shape[1])
    cast[member, index] = (cast[member, index] + chance.choice([1, 2])) % 3
    files.write_arrays(run.path / "votes.safetensors", votes | {f"votes/{which}/sample-specific": cast})
    hash_again(run)
    return ""


def any_metric(run: Run, chance: random.Random) -> str:
    """One figure that is no measurement; all hashes made anew."""
    metrics = run.metrics
    part = chance.choice(["clean", "triggered", "undefended", "store", "joint_budget"])
    place, name = metrics[part], chance.choice(sorted(metrics[part]))
    if isinstance(place[name], dict):
        place, name = place[name], chance.choice(sorted(place[name]))
    place[name] = not place[name] if isinstance(place[name], bool) else place[name] + chance.choice([1e-6, 0.01, 1])
    files.write_json(run.path / "metrics.json", metrics)
    hash_again(run)
    return name


def any_entry(run: Run, chance: random.Random) -> str:
    """One number of the ledger; all hashes made anew."""
    column = chance.choice(["set_index", "prediction", "label", "radius_before", "radius_after", "sigma"])
    with closing(sqlite3.connect(run.store_path)) as connection, connection:
        position = chance.randrange(216)
        step = 1 if column in ("set_index", "prediction", "label") else 1e-5
        connection.execute(f"UPDATE ledger SET {column} = {column} + {step} WHERE position = {position}")
    hash_again(run)
    return f"ledger entry {position}" if column in ("prediction", "radius_before", "sigma") else ""


def any_level(run: Run, chance: random.Random) -> str:
    """One σ*_x, or one poisoned image's record; all hashes made anew."""
    file, name = chance.choice([("sigma", "clean"), ("sigma", "triggered"), ("poison", "norms"), ("poison", "indices")])
    arrays = run.arrays(file)
    changed = arrays[name].copy()
    place = chance.randrange(len(changed))
    changed[place] += 1 if name == "indices" else 1e-5
    files.write_arrays(run.path / f"{file}.safetensors", arrays | {name: changed})
    hash_again(run)
    return f"{name} {place}" if file == "sigma" else f"poisoned image {place}"


CORRUPTIONS: tuple[Callable[[Run, random.Random], str], ...] = (
    *(any_byte, any_hash, any_row, any_vote, any_metric, any_entry, any_level),
)


@pytest.mark.parametrize("seed", range(56))
def test_a_random_corruption_of_a_run_is_found_and_named(copy, seed):
    corrupt = CORRUPTIONS[seed % len(CORRUPTIONS)]
    named = corrupt(copy, random.Random(seed))
    found = failures(copy)
    assert found, f"{corrupt.__name__} went unnoticed"
    assert named in " ".join(found)


def resealed(path: Path, target: Path, change: Callable[[Run], object]) -> Path:
    """A capsule whose contents a forger changed: hashes, seal and all made anew."""
    with capsule.opened(path) as run:
        change(run)
        return capsule.export(run, target)


@pytest.mark.parametrize("seed", range(50))
def test_a_random_corruption_of_a_capsule_is_found(crowded_capsule, tmp_path, seed):
    chance, target = random.Random(seed), tmp_path / "corrupt.capsule"
    corrupt = (None, any_row, any_vote, any_metric, any_level)[seed % 5]
    if corrupt is None:
        shutil.copy(crowded_capsule, target)
        flip_byte(target, chance)
        with pytest.raises(CapsuleError, match=r"sha256"), capsule.opened(target):
            pass
        return
    resealed(crowded_capsule, target, lambda run: corrupt(run, chance))
    with capsule.opened(target) as run:
        assert failures(run), f"{corrupt.__name__} went unnoticed"


def test_a_forged_checklist_in_a_capsule_is_found(crowded_capsule):
    with capsule.opened(crowded_capsule) as run:
        path = run.path / "inspection.json"
        findings = json.loads(path.read_text())
        findings[6]["colour"] = "green" if findings[6]["colour"] != "green" else "red"
        files.write_json(path, findings)
        assert any(f"{findings[6]['title']}: colour" in detail for detail in failures(run))


def test_a_forged_ledger_in_a_capsule_is_found(crowded_capsule, tmp_path):
    target = resealed(crowded_capsule, tmp_path / "forged.capsule", lambda run: any_entry(run, random.Random(3)))
    with capsule.opened(target) as run:
        assert "ledger entry" in " ".join(failures(run))


def test_a_changed_manifest_and_a_changed_seed_are_found(copy):
    manifest = copy.manifest
    files.write_json(copy.path / "manifest.json", manifest | {"platform": "elsewhere"})
    assert "seal" in failures(copy)[0]
    files.write_json(copy.path / "manifest.json", (other := manifest | {"seed": 1}) | {"seal": files.seal(other)})
    assert failures(copy) == ["manifest.json: seed is 1, recomputed 0"]


def test_missing_files_are_named(copy):
    (copy.path / "members" / "shard-000000-000004.safetensors").unlink()
    assert any("shard-000000-000004" in detail and "missing" in detail for detail in failures(copy))


def test_a_moved_centre_and_a_wrong_partner_are_found(copy):
    with closing(sqlite3.connect(copy.store_path)) as connection, connection:
        ball, centre = connection.execute(
            "SELECT position, centre FROM ledger WHERE centre NOT NULL LIMIT 1"
        ).fetchone()
        moved = unpack(centre) + np.float32(1e-6)
        connection.execute("UPDATE ledger SET centre = ? WHERE position = ?", (pack(moved), ball))
        [decided] = connection.execute("SELECT position FROM ledger WHERE partner NOT NULL LIMIT 1").fetchone()
        connection.execute("UPDATE ledger SET partner = position WHERE position = ?", (decided,))
    found = " ".join(failures(copy))
    assert f"ledger entry {ball} (triggered {ball}): centre" in found
    assert f"ledger entry {decided} " in found


def test_a_run_of_imported_members_lacks_some_files_and_verifies(copy, tmp_path):
    """No undefended model, no record of the poison, no training noise: null in the metrics, and nothing is missing."""
    for name in ("poison", "undefended"):
        (copy.path / f"{name}.safetensors").unlink()
    assert any("poison.safetensors: the file is missing" in detail for detail in failures(copy))
    sigma = copy.arrays("sigma")
    files.write_arrays(copy.path / "sigma.safetensors", {which: sigma[which] for which in ("clean", "triggered")})
    files.write_json(copy.path / "metrics.json", copy.metrics | {"undefended": None, "joint_budget": None})
    manifest = copy.manifest
    named = {name: digest for name, digest in manifest["sha256"].items() if (copy.path / name).exists()}
    files.write_json(copy.path / "manifest.json", manifest | {"sha256": named})
    hash_again(copy)
    assert failures(copy) == []
    with capsule.opened(capsule.export(copy, tmp_path / "imported.capsule")) as run:
        assert failures(run) == []


def test_figures_cannot_be_hidden_behind_null(copy):
    files.write_json(copy.path / "metrics.json", copy.metrics | {"undefended": None})
    hash_again(copy)
    assert any("undefended.clean_accuracy is missing" in detail for detail in failures(copy))


def test_the_command_line_prints_a_table_and_fails_naming_the_difference(crowded, crowded_capsule, copy):
    runner = CliRunner()
    for source in (crowded.path, crowded_capsule):
        result = runner.invoke(app, ["verify", str(source)])
        assert result.exit_code == 0, result.output
        assert "passed        bounds" in result.output
    any_vote(copy, random.Random(0))
    result = runner.invoke(app, ["verify", str(copy.path), "--json"])
    assert result.exit_code == 1
    assert {finding["outcome"] for finding in json.loads(result.stdout)} == {"passed", "failed", "not possible"}
    assert "does not verify: member " in result.stderr
