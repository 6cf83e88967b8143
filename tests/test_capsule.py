"""Capsules: the same run gives the same bytes, comes back whole, and no hostile file gets anywhere."""

import hashlib
import io
import json
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from certssb_core import capsule
from certssb_core.audit.inspection import inspect
from certssb_core.capsule import FIXED_FILES, INSPECTION, LEDGER, LIMITS, SOURCES, export, import_capsule
from certssb_core.cli import app
from certssb_core.errors import CapsuleError, RunError
from certssb_core.runs import store_columns
from certssb_core.runs.files import PUBLISHED_SEED
from certssb_core.runs.run import Run
from certssb_core.store.store import Store
from tests.conftest import make_small_run


@pytest.fixture(scope="module")
def packed(small_run, tmp_path_factory) -> Path:
    return export(small_run, tmp_path_factory.mktemp("capsules") / "small.capsule")


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def seal(body: bytes) -> bytes:
    return body + hashlib.sha256(body).hexdigest().encode()


def hostile(path: Path, contents: dict[str, bytes], **attributes) -> Path:
    """A well-sealed archive of any contents, ``attributes`` set on its config."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if name == "config.json":
                for key, value in attributes.items():
                    setattr(entry, key, value)
            file.writestr(entry, content)
        file.comment = b"0" * 64
    path.write_bytes(seal(archive.getvalue()[:-64]))
    return path


def test_one_run_gives_one_capsule_without_weights(small_run, packed, tmp_path):
    assert export(small_run, tmp_path / "again.capsule").read_bytes() == packed.read_bytes()
    contents = entries(packed)
    assert list(contents) == [name for name in LIMITS if name not in (SOURCES, PUBLISHED_SEED, *FIXED_FILES)]
    for name in set(contents) - {"capsule.json", LEDGER, INSPECTION}:
        assert contents[name] == (small_run.path / name).read_bytes()
    checklist = json.loads(contents[INSPECTION])
    assert [one["colour"] for one in checklist] == [finding.colour for finding in inspect(small_run)]
    assert all(one["title"] and one["reason"] for one in checklist)
    assert packed.stat().st_size < sum(map(len, contents.values()))


def test_an_imported_run_is_the_run(small_run, packed, tmp_path):
    run = import_capsule(packed, "guest", tmp_path)
    assert (run.name, run.status().state, run.config) == ("guest", "done", small_run.config)
    assert run.metrics == small_run.metrics
    with Store.open(run.store_path) as copy, Store.open(small_run.store_path) as original:
        assert copy.ledger() == original.ledger()
        assert np.array_equal(copy.balls().centres, original.balls().centres)
        point = original.balls().centres[0]
        assert copy.query(point) == original.query(point)
    again = export(import_capsule(packed, None, tmp_path), tmp_path / "again.capsule")
    assert again.read_bytes() == packed.read_bytes()


def test_the_ledger_survives_to_the_bit(small_run, tmp_path):
    columns = store_columns.read(small_run.store_path)
    store_columns.restore(tmp_path / "copy.sqlite", columns)
    again = store_columns.read(tmp_path / "copy.sqlite")
    assert all(columns[name].tobytes() == again[name].tobytes() for name in store_columns.COLUMNS)
    assert store_columns.digest(columns) == store_columns.digest(again)
    again["sigma"][3] = np.nextafter(again["sigma"][3], 1)
    assert store_columns.digest(columns) != store_columns.digest(again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"../evil.txt": b"x"}, r"'\.\./evil\.txt', which is no part"),
        ({"/tmp/evil.txt": b"x"}, "no part of a capsule"),
        ({"members/shard-000000-000001.safetensors": b"x"}, "no part of a capsule"),
        ({"votes.safetensors": b"no tensors"}, "no run that can be read"),
        ({"votes.safetensors": b"\xff" * 8 + b"{}"}, "no run that can be read"),
        ({LEDGER: b"no tensors"}, "no run that can be read"),
        ({"config.json": b"{}["}, "no run that can be read"),
        ({"config.json": b"[" * 100_000}, "no run that can be read"),
        ({"metrics.json": b"\xff"}, "no run that can be read"),
        ({"capsule.json": b'{"format": 99, "name": "x", "ledger_sha256": ""}'}, "format 99, this program reads 1"),
        ({"capsule.json": b'{"format": 1, "name": 7, "ledger_sha256": ""}'}, "damaged or no capsule"),
        ({"capsule.json": b"[]"}, "damaged or no capsule"),
        ({"metrics.json": b"[]"}, "no run that can be read"),
        ({"manifest.json": b"{}"}, "no run that can be read"),
        ({"config.json": b" " * (2**20 + 1)}, r"config\.json would unpack to 1 MB"),
    ],
)
def test_hostile_contents_are_refused_in_a_sentence(packed, tmp_path, change, message):
    target = hostile(tmp_path / "hostile.capsule", entries(packed) | change)
    with pytest.raises(CapsuleError, match=message) as refusal:
        import_capsule(target, "guest", tmp_path / "runs")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "runs" / "guest").exists()
    assert not list((tmp_path / "runs").glob("*") if (tmp_path / "runs").exists() else [])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"external_attr": (stat.S_IFLNK | 0o777) << 16}, "a link"),
        ({"external_attr": (stat.S_IFDIR | 0o755) << 16}, "a link"),
        ({"compress_type": zipfile.ZIP_LZMA}, "packed in an unknown way"),
    ],
)
def test_links_and_odd_packings_are_refused(packed, tmp_path, attributes, message):
    target = hostile(tmp_path / "hostile.capsule", entries(packed), **attributes)
    with pytest.raises(CapsuleError, match=message):
        import_capsule(target, "guest", tmp_path)


def test_missing_and_doubled_entries_are_named(packed, tmp_path):
    contents = entries(packed)
    del contents["votes.safetensors"]
    with pytest.raises(CapsuleError, match=r"lacks votes\.safetensors"):
        import_capsule(hostile(tmp_path / "a.capsule", contents), "guest", tmp_path)
    archive = io.BytesIO(packed.read_bytes()[:-64] + b"0" * 64)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(archive, "a") as file:
        file.writestr("config.json", b"{}")
    (tmp_path / "b.capsule").write_bytes(seal(archive.getvalue()[:-64]))
    with pytest.raises(CapsuleError, match=r"'config\.json'.* there twice"):
        import_capsule(tmp_path / "b.capsule", "guest", tmp_path)


def test_an_entry_that_lies_about_its_size_is_never_unpacked_beyond_it(packed, tmp_path):
    """The directory states 100 bytes for the votes; they pack far more."""
    body = bytearray(packed.read_bytes()[:-64])
    where = body.rindex(b"PK\x01\x02", 0, body.rindex(b"votes.safetensors"))
    body[where + 24 : where + 28] = (100).to_bytes(4, "little")
    (tmp_path / "liar.capsule").write_bytes(seal(bytes(body)))
    with pytest.raises(CapsuleError, match="CRC"):
        import_capsule(tmp_path / "liar.capsule", "guest", tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 1000, seal(b"PK but no archive")])
def test_what_is_no_capsule_is_refused(tmp_path, content):
    (tmp_path / "no.capsule").write_bytes(content)
    with pytest.raises(CapsuleError, match="no capsule"):
        import_capsule(tmp_path / "no.capsule", "guest", tmp_path)


def test_names_are_plain_and_free(packed, tmp_path):
    with pytest.raises(RunError, match="not a name for a run"):
        import_capsule(packed, "../up", tmp_path)
    described = json.loads(entries(packed)["capsule.json"]) | {"name": "../../up"}
    target = hostile(tmp_path / "h.capsule", entries(packed) | {"capsule.json": json.dumps(described).encode()})
    with pytest.raises(RunError, match="not a name for a run"):
        import_capsule(target, None, tmp_path)
    import_capsule(packed, "guest", tmp_path)
    with pytest.raises(CapsuleError, match="exists already"):
        import_capsule(packed, "guest", tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("case", 9, "does not exist"), ("radius_after", np.inf, "not finite"), ("position", 0, "out of order")],
)
def test_a_ledger_no_store_could_have_written_is_refused(small_run, tmp_path, column, value, message):
    columns = store_columns.read(small_run.store_path)
    columns[column][5] = value
    with pytest.raises(ValueError, match=message):
        store_columns.restore(tmp_path / "store.sqlite", columns)


def test_unfinished_and_incomplete_runs_are_not_exported(small_run, tmp_path):
    with pytest.raises(CapsuleError, match="not finished"):
        export(make_small_run(tmp_path, "new"), tmp_path / "new.capsule")
    broken = Run(shutil.copytree(small_run.path, tmp_path / "broken"))
    (broken.path / "votes.safetensors").unlink()
    with pytest.raises(CapsuleError, match=r"votes\.safetensors"):
        export(broken, tmp_path / "broken.capsule")
    with pytest.raises(CapsuleError, match="cannot be written"):
        export(small_run, tmp_path / "nowhere" / "x.capsule")


def test_a_file_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(capsule, "LARGEST", 100)
    (tmp_path / "large.capsule").write_bytes(b"x" * 101)
    with pytest.raises(CapsuleError, match="larger than"):
        import_capsule(tmp_path / "large.capsule", "guest", tmp_path)


def test_export_and_import_on_the_command_line(small_run, tmp_path):
    runner, target = CliRunner(), tmp_path / "x.capsule"
    assert runner.invoke(app, ["export", str(small_run.path), "--output", str(target)]).exit_code == 0
    result = runner.invoke(app, ["import", str(target), "--name", "guest", "--runs-dir", str(tmp_path)])
    assert result.output.strip() == str(tmp_path / "guest")
