from certssb_core.config.differences import changes, closest_preset
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS


def test_a_preset_is_closest_to_itself_and_differs_in_nothing():
    for name, preset in PRESETS.items():
        assert changes(preset, closest_preset(preset)) == {}
        assert changes(preset, name) == {}


def test_changed_settings_are_named_and_what_a_machine_settles_is_not():
    changed = {"training.members": "7", "seed": "3", "title": "mine", "training.device": "cpu", "training.workers": "2"}
    config = override(PRESETS["digits-quick"], changed)
    assert closest_preset(config) == "digits-quick"
    assert changes(config, "digits-quick") == {"training.members": 7, "seed": 3}
