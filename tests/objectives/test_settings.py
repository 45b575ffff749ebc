import math

import pytest
from pydantic import ValidationError

from fairpo._checks import FairPOValueError, build_settings
from fairpo.objectives.settings import PRESETS, FairPOSettings, preset_settings

POSITIVE = ["beta"]
NOT_NEGATIVE = ["slack", "margin", "nll_weight", "step_size", "target_gain"]
CHOICES = {
    "weight_rule": ["raw", "relative", "excess", "fixed"],
    "score_space": ["log-probability", "log-odds"],
    "pairs": ["negatives", "both"],
    "sampling": ["all", "one"],
    "fallback": ["none", "bce"],
    "reduction": ["pairs", "entries", "positives"],
    "likelihood": ["positives", "entries"],
}


def test_the_defaults_are_the_first_version():
    assert FairPOSettings(**preset_settings("paper-v1")) == FairPOSettings()


def test_a_preset_names_every_choice_of_the_paper():
    for preset in PRESETS.values():
        assert set(CHOICES) - {"score_space"} <= set(preset)
        FairPOSettings(**preset)


@pytest.mark.parametrize("option", POSITIVE)
@pytest.mark.parametrize("value", [0, -0.1, math.inf, math.nan, "much", None])
def test_what_must_be_over_zero(option, value):
    with pytest.raises(FairPOValueError, match=rf"FairPOSettings\.{option} must be .*, got "):
        build_settings(FairPOSettings, {option: value})


@pytest.mark.parametrize("option", NOT_NEGATIVE)
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_what_must_not_be_negative(option, value):
    with pytest.raises(FairPOValueError, match=rf"FairPOSettings\.{option} must be .*, got "):
        build_settings(FairPOSettings, {option: value})
    assert getattr(build_settings(FairPOSettings, {option: 0}), option) == 0


@pytest.mark.parametrize("value", [-0.1, 1, math.nan])
def test_floor_range(value):
    with pytest.raises(FairPOValueError, match=r"FairPOSettings\.floor must be "):
        build_settings(FairPOSettings, {"floor": value})


@pytest.mark.parametrize("option", CHOICES)
def test_choices(option):
    for value in CHOICES[option]:
        assert getattr(build_settings(FairPOSettings, {option: value}), option) == value
    with pytest.raises(FairPOValueError) as caught:
        build_settings(FairPOSettings, {option: "something"})
    assert str(caught.value).startswith(f"FairPOSettings.{option} must be '{CHOICES[option][0]}'")
    assert all(repr(value) in str(caught.value) for value in CHOICES[option])


def test_settings_are_frozen_and_come_back_from_their_own_dump():
    settings = FairPOSettings(beta=0.5, pairs="both")
    with pytest.raises(ValidationError, match="frozen"):
        settings.beta = 1.0
    assert FairPOSettings(**settings.model_dump()) == settings


def test_every_option_says_what_it_is():
    for name, option in FairPOSettings.model_fields.items():
        assert option.description, name


def test_a_preset_is_a_copy():
    preset_settings("paper-v1")["beta"] = 9
    assert preset_settings("paper-v1")["beta"] == 1.0
