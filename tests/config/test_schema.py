"""The config: presets are valid, settings can be overridden, and bad input is answered in plain words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certssb_core.attacks.clean_label import CRAFTS
from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.config import schema
from certssb_core.config.choices import choices
from certssb_core.config.parse import override, parse, read_config
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.data.datasets import DATASETS
from certssb_core.data.poisoning import LABEL_MODES, METHODS
from certssb_core.data.triggers import TRIGGERS
from certssb_core.ensemble.models import MODELS
from certssb_core.errors import ConfigError
from certssb_core.smoothing.noise import NOISE_LAWS
from certssb_core.smoothing.preprocessing import PREPROCESSING


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("data.name", DATASETS),
        ("attack.trigger", TRIGGERS),
        ("attack.label_mode", LABEL_MODES),
        ("attack.method", METHODS),
        ("attack.method", {"stamp": None} | CRAFTS),
        ("noise.law", NOISE_LAWS),
        ("noise.preprocessing", PREPROCESSING),
        ("training.model", {"auto": None} | MODELS),
        ("certification.bound", BOUNDS),
        ("certification.certificate", CERTIFICATES),
    ],
)
def test_the_schema_offers_the_entries_of_the_registries(key, registry):
    assert set(choices(schema.setting(key))) == set(registry)


@pytest.mark.parametrize("key", schema.flatten(schema.RunConfig()))
def test_every_setting_has_a_title_and_a_sentence_for_people(key):
    field = schema.setting(key)
    assert field.title
    assert field.description.endswith(".")
    assert len(field.description.split()) > 2


def test_titles_are_told_apart():
    titles = [schema.setting(key).title for key in schema.flatten(schema.RunConfig())]
    assert len(set(titles)) == len(titles)


def test_presets_cover_the_published_settings():
    assert DEFAULT_PRESET == "digits"
    mnist = PRESETS["mnist-01-onepixel"]
    assert (mnist.attack.norm, mnist.attack.rate, mnist.attack.target) == (1.0, 0.02, 0)
    assert (mnist.data.classes, mnist.training.members) == (("0", "1"), 1000)
    assert PRESETS["digits"].training.members >= 200
    assert PRESETS["digits"].data.classes is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_round_trip_through_json(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PRESETS[name].model_dump(mode="json")))
    assert read_config(path) == PRESETS[name]
    assert parse(schema.RunConfig.model_validate_json(PRESETS[name].model_dump_json()).model_dump()) == PRESETS[name]


@pytest.mark.parametrize(
    ("key", "text", "place", "expected"),
    [
        ("data.classes", "0,1", ("data", "classes"), ("0", "1")),
        ("data.classes", "airplane, bird", ("data", "classes"), ("airplane", "bird")),
        ("data.classes", "", ("data", "classes"), None),
        ("training.members", "7", ("training", "members"), 7),
        ("attack.norm", "0.5", ("attack", "norm"), 0.5),
        ("certification.bound", "hoeffding", ("certification", "bound"), "hoeffding"),
        ("certification.radii", "[0, 1]", ("certification", "radii"), (0.0, 1.0)),
    ],
)
def test_settings_can_be_overridden(key, text, place, expected):
    changed = override(PRESETS["digits"], {key: text})
    assert getattr(getattr(changed, place[0]), place[1]) == expected


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ({"training.member": "7"}, "training.member: no such setting"),
        ({"training": "7"}, "training: no such setting"),
        ({"data.name.x": "7"}, "no such setting"),
        ({"training.members": "0"}, r"training.members: .*\(given: 0\)"),
        ({"training.members": "many"}, "training.members"),
        ({"attack.trigger": "nine-pixel"}, "attack.trigger"),
        ({"certification.alpha": "0"}, "certification.alpha"),
        ({"noise.sigma": "NaN"}, "noise.sigma: must be a finite number"),
        ({"noise.sigma": "1e999"}, "noise.sigma"),
        ({"noise.sigma": "50"}, "must lie between sigma_min"),
        ({"certification.radii": "[-1]"}, "radii"),
        ({"attack.rate": "1.01"}, "attack.rate"),
    ],
)
def test_bad_settings_are_named(assignments, message):
    with pytest.raises(ConfigError, match=message):
        override(PRESETS["digits"], assignments)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"data": {"nme": 1}}', "\x00", '{"seed": 1e400}'])
def test_bad_files_are_refused_in_words(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_config(path)


def test_missing_and_huge_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.json")
    (tmp_path / "huge.json").write_bytes(b" " * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        read_config(tmp_path / "huge.json")


@given(st.sampled_from(sorted(schema.flatten(schema.RunConfig()))), st.text(max_size=30))
def test_no_text_for_a_setting_raises_anything_but_a_config_error(key, text):
    try:
        changed = override(schema.RunConfig(), {key: text})
    except ConfigError:
        return
    assert parse(changed.model_dump(mode="json")) == changed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"noise.law": "flips"}, "weighted-l2 needs noise.law gaussian"),
        ({"noise.law": "gaussian-training"}, "weighted-l2 needs noise.law gaussian and training.sees share"),
        ({"training.sees": "partition"}, "weighted-l2 needs noise.law gaussian and training.sees share"),
        ({"certification.certificate": "partition", "noise.law": "none"}, "partition needs noise.law none"),
        (
            {"certification.certificate": "l0", "noise.law": "flips", "noise.train_map": "uniform"},
            "set noise.train_map and test_map to uniform",
        ),
        (
            {"certification.certificate": "l0", "noise.law": "flips"}
            | {"noise.train_map": "uniform", "noise.test_map": "uniform"},
            "needs data.binary",
        ),
        (
            {"certification.certificate": "partition", "noise.law": "none", "training.sees": "partition"}
            | {"noise.train_map": "uniform", "noise.test_map": "uniform", "noise.preprocessing": "denoise"},
            "denoise needs Gaussian noise, not noise.law none",
        ),
    ],
)
def test_a_certificate_is_about_one_system(settings, words):
    with pytest.raises(ConfigError, match=words):
        override(schema.RunConfig(), settings)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("title", "2024", "2024"),
        ("title", "true", "true"),
        ("title", "null", "null"),
        ("title", '"quoted"', '"quoted"'),
        ("data.root", "2024", "2024"),
        ("data.root", "null", None),
        ("data.classes", "true,false", ("true", "false")),
        ("data.classes", "true", ("true",)),
        ("data.classes", "1e3", ("1e3",)),
        ("data.classes", "07", ("07",)),
        ("data.classes", "0, 1", ("0", "1")),
        ("data.classes", '["0","1"]', ("0", "1")),
        ("data.classes", "[0, 1]", ("0", "1")),
        ("data.classes", "null", None),
        ("training.members", "1", 1),
        ("data.binary", "true", True),
        ("noise.test_map", "uniform", "uniform"),
        ("noise.test_map", '"uniform"', "uniform"),
    ],
)
def test_the_setting_decides_what_a_typed_value_is(key, text, value):
    group, _, name = key.rpartition(".")
    config = override(schema.RunConfig(), {key: text})
    assert getattr(getattr(config, group) if group else config, name) == value


@pytest.mark.parametrize("classes", [True, [True, False], 1e3, [1.5]])
def test_class_names_in_a_file_are_texts(classes):
    with pytest.raises(ConfigError, match="put them in quotes"):
        parse({"data": {"classes": classes}})


def test_a_file_of_a_windows_editor_is_read(tmp_path):
    (tmp_path / "c.json").write_text('{"training": {"members": 6}}', encoding="utf-8-sig")
    assert read_config(tmp_path / "c.json").training.members == 6


def test_a_key_that_is_given_twice_is_refused(tmp_path):
    (tmp_path / "c.json").write_text('{"training": {"members": 6, "epochs": 1, "members": 900}}')
    with pytest.raises(ConfigError, match="members: given twice"):
        read_config(tmp_path / "c.json")
