"""A bounded share of ``python -m tests.hardening inputs``, and the hostile inputs that have a name."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from certssb_core import capsule
from certssb_core.config import schema as configuration
from certssb_core.config.parse import override
from certssb_core.config.schema import RunConfig
from certssb_core.data.image_file import read_image
from certssb_core.errors import ConfigError, DataError, RunError
from certssb_core.runs.run import Run, place
from tests.hardening import inputs

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "checkpoints" / "digits"
BOUNDED = 40
DEAR = {"capsules": 25, "comparison": 25, "real shard": 40, "released members": 40, "lessons": 60}


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    return inputs.readers(SHIPPED, capsule.export(Run(SHIPPED), folder / "digits.capsule"), folder)


@pytest.mark.filterwarnings("ignore")
def test_every_reader_refuses_in_words_and_does_nothing_else(readers, tmp_path):
    for name, reader in readers.items():
        folder = tmp_path / name
        folder.mkdir()
        found = inputs.attack(reader, inputs.seeded(DEAR.get(name, BOUNDED * reader.share), seed=7), folder)
        assert not found.failures, f"{name}: {found.failures[:3]}"
        assert found.inputs


def test_a_reader_that_misbehaves_is_noticed(tmp_path):
    def writes(draws, folder):
        (folder.parent / "outside").write_text("x")

    def raises(draws, folder):
        raise KeyError("x")

    for feed, told in ((writes, "outside"), (raises, "KeyError")):
        found = inputs.attack(inputs.Reader(feed, (RunError,)), inputs.seeded(2, seed=0), tmp_path / "inside")
        assert len(found.failures) == 2
        assert told in found.failures[0]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100))
def test_a_name_is_a_folder_in_its_place_or_none(name):
    folder = Path("/nowhere/runs")
    try:
        path = place(name, folder)
    except RunError:
        return
    assert os.path.normpath(path) == str(path)
    assert path.parent == folder
    assert len(os.fsencode(path.name)) <= 255


@pytest.mark.parametrize("name", ["CON", "nul.txt", "e\u0301", "a.", "𝛔" * 79, "../x", ".x", "a/b", "", "a\0b", "a\n"])
def test_names_that_mean_something_else_elsewhere_are_none(tmp_path, name):
    with pytest.raises(RunError, match="not a name"):
        Run.create(RunConfig(), name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["σ-Überblick_1", "运行.2", "a", "x" * 80])
def test_names_in_any_script_are_fine(tmp_path, name):
    run = Run.create(RunConfig(), name, tmp_path)
    assert Run.open(name, tmp_path).path == run.path
    assert [one.name for one in Run.all(tmp_path)] == [name]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([*configuration.flatten(RunConfig())]),
    st.one_of(st.text(), st.floats().map(str), st.integers().map(str)),
)
def test_a_setting_is_valid_or_named(key, value):
    with contextlib.suppress(ConfigError):
        assert override(RunConfig(), {key: value})


def test_a_picture_that_unpacks_to_gigabytes_is_refused_before_it_does():
    """A PNG of 60,000 × 60,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError):
            read_image(body, (1, 8, 8))


def test_formats_whose_decoders_start_programs_are_not_decoded():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format="EPS")
    with pytest.raises(DataError, match="is not an image"):
        read_image(buffer.getvalue(), (3, 8, 8))


PICKLED = """
import pickle, sys
from pathlib import Path
from certssb_core.errors import DataError, ShardError
from certssb_core.ensemble import published_members, shards

class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path(sys.argv[1]) / "ran",))

path = Path(sys.argv[1]) / "smoothed_0.model"
path.write_bytes(pickle.dumps(Hostile()))
for read, refusal in ((published_members.read_member, DataError), (shards.read, ShardError)):
    try:
        read(path)
    except refusal:
        print("refused")
"""


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PICKLED, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["refused", "refused"]
    assert not (tmp_path / "ran").exists()


HOSTILE_LINKS = {
    "train": {
        "preset": "../../etc",
        "training.members": "1e999",
        "noise.sigma": "nan",
        "seed": "-5",
        "run": "<script>",
    },
    "certify": {"runs": ["nowhere", "digits"], "mode": "x'; DROP", "alpha": "inf", "bound": "[]", "norm": "-1"},
    "overlaps": {"run": "\u202e", "pair": "99999999999999999999", "after": "maybe", "ball": "-3"},
}


@pytest.mark.parametrize("page", HOSTILE_LINKS)
def test_a_hostile_link_gives_a_page_or_a_sentence(page):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180)
    for key, value in HOSTILE_LINKS[page].items():
        at.query_params[key] = value
    at.switch_page(f"pages/{page}.py").run()
    assert not at.exception


@pytest.mark.parametrize("key", ["title", "data.root", "data.classes"])
def test_half_a_character_is_no_text(key):
    with pytest.raises(ConfigError, match=r"unpaired surrogate|valid string"):
        override(RunConfig(), {key: "\ud800"})
