"""Form fields against the JSON schema of the configuration, which the form code does not read."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.config.parse import override
from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import RunConfig, flatten
from ui.kit import forms

SCHEMA = RunConfig.model_json_schema()


def schema_of(key: str) -> dict:
    group, _, name = key.rpartition(".")
    if not group:
        return SCHEMA["properties"][name]
    definition = SCHEMA["properties"][group]["$ref"].rpartition("/")[2]
    return SCHEMA["$defs"][definition]["properties"][name]


def everything() -> None:
    import streamlit as st

    from certssb_core.config.schema import RunConfig
    from ui.kit import forms

    values = forms.fields(forms.keys(), RunConfig())
    config = forms.validated(values, RunConfig())
    st.session_state["made"] = config and config.model_dump_json()


@pytest.fixture
def form() -> AppTest:
    return AppTest.from_function(everything, default_timeout=180)


def test_every_setting_with_a_choice_is_shown():
    one_choice = {key for key in flatten(RunConfig()) if "const" in schema_of(key)}
    assert set(forms.keys()) == set(flatten(RunConfig())) - one_choice


def test_untouched_form_is_the_default_configuration(form):
    form.run()
    assert not form.exception
    assert form.session_state["made"] == RunConfig().model_dump_json()


def limits(key: str) -> dict:
    schema = schema_of(key)
    return next((part for part in schema.get("anyOf", ()) if part["type"] != "null"), schema)


def test_controls_carry_the_schemas_default_and_help(form):
    form.run()
    for control in form.number_input:
        schema = schema_of(control.key)
        assert control.value == schema.get("default"), control.key
        assert control.help == schema["description"]
    for control in form.selectbox:
        assert control.options == schema_of(control.key)["enum"]


def test_a_value_from_the_url_is_taken(form):
    form.query_params["training.members"] = "77"
    form.query_params["data.classes"] = ["3", "8"]
    form.run()
    assert form.number_input(key="training.members").value == 77
    assert form.multiselect(key="data.classes").value == ["3", "8"]


@pytest.mark.parametrize(
    ("key", "value"), [("training.members", "1e30"), ("attack.trigger", "laser"), ("attack.rate", "x")]
)
def test_a_wrong_value_from_the_url_is_not(form, key, value):
    form.query_params[key] = value
    form.run()
    assert not form.exception
    assert form.session_state["made"] is not None


@pytest.mark.parametrize(
    "key", ["training.members", "attack.norm", "attack.rate", "noise.sigma", "certification.alpha", "data.max_test"]
)
def test_a_number_out_of_the_schema_s_range_reaches_the_page_and_is_refused_in_words(form, key):
    """A control that knows the range would keep a wrong number to itself, and Start would take the old one."""
    low = limits(key).get("minimum", limits(key).get("exclusiveMinimum"))
    wrong = low - 1
    form.run()
    control = form.number_input(key=key)
    assert control.min < wrong < control.max
    control.set_value(wrong).run()
    assert not form.exception
    assert form.session_state["made"] is None
    said = [words.value for words in form.caption]
    assert any("must be " in words and f"{low:g}" in words and "Input" not in words for words in said), said


def test_settings_that_do_not_fit_together_are_refused_in_words(form):
    form.run()
    form.number_input(key="noise.sigma_max").set_value(0.1).run()
    assert not form.exception
    assert "must lie between" in form.error[0].value


@pytest.mark.parametrize("radii", ["0, 1, 2.5", "0,1,2.5"])
def test_a_list_of_numbers_is_typed_with_commas(form, radii):
    form.run()
    form.text_input(key="certification.radii").set_value(radii).run()
    assert RunConfig.model_validate_json(form.session_state["made"]).certification.radii == (0.0, 1.0, 2.5)


def test_a_preset_title_does_not_outlive_a_change_of_its_settings():
    preset = PRESETS[DEFAULT_PRESET]
    changed = override(preset, {"training.members": "30"})
    assert forms.retitled(preset, DEFAULT_PRESET).title == preset.title
    assert forms.retitled(override(preset, {"seed": "3"}), DEFAULT_PRESET).title == preset.title
    assert forms.retitled(changed, DEFAULT_PRESET).title == f"{DEFAULT_PRESET} with Members M 30"
    assert forms.retitled(override(changed, {"title": "Mine"}), DEFAULT_PRESET).title == "Mine"
