"""DecisionRule and its settings: what is fitted is what is applied, kept and read back."""

import numpy as np
import pytest
from safetensors.numpy import load, save

from fairpo._checks import FairPOValueError, build_settings
from fairpo.decisions import DecisionRule, DecisionSettings, read_threshold
from fairpo.metrics import LabelFrame, average_precision
from tests.decisions.scenes import drifted_scores

SETTINGS = [
    DecisionSettings(),
    DecisionSettings(recalibration="none"),
    DecisionSettings(recalibration="isotonic", threshold="f1"),
    DecisionSettings(recalibration="none", threshold="f1"),
    DecisionSettings(threshold="precision:0.5"),
    DecisionSettings(threshold="cost:5"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.recalibration} {s.threshold}")
def test_a_rule_decides_as_its_frame_and_survives_safetensors(settings):
    validation, (logits, targets) = drifted_scores(1)
    rule = DecisionRule.fit(*validation, settings)
    recalibrated = rule.apply(logits)
    decided = rule.decide(logits)
    np.testing.assert_array_equal(decided, recalibrated > rule.threshold_logits)
    np.testing.assert_array_equal(
        average_precision(logits, targets), average_precision(recalibrated, targets)
    )
    frame = LabelFrame.from_scores(
        recalibrated, targets, {}, threshold_logits=rule.threshold_logits
    )
    assert frame.overall["label_accuracy"] == pytest.approx((decided == targets).mean())
    again = DecisionRule.from_arrays(load(save(rule.to_arrays())))
    np.testing.assert_array_equal(again.decide(logits), decided)
    np.testing.assert_array_equal(again.apply(logits), recalibrated)


def test_without_recalibration_logits_stay_and_thresholds_are_guarded_all_the_same():
    validation, (logits, _) = drifted_scores(2)
    raw = DecisionRule.fit(*validation, DecisionSettings(recalibration="none", threshold="f1"))
    platt = DecisionRule.fit(*validation, DecisionSettings(threshold="f1"))
    np.testing.assert_array_equal(raw.apply(logits), logits)
    # The same rows are let in on validation: Platt's maps are increasing, the prior is theirs.
    np.testing.assert_array_equal(raw.decide(validation[0]), platt.decide(validation[0]))


def test_the_identity_changes_nothing():
    logits = drifted_scores(3)[0][0]
    rule = DecisionRule.identity(logits.shape[1])
    np.testing.assert_array_equal(rule.apply(logits), logits)
    np.testing.assert_array_equal(rule.decide(logits), logits > 0)
    np.testing.assert_allclose(rule.probabilities(logits), 1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("slope"), "none called slope"),
        (lambda arrays: arrays.update(slope=np.ones(3)), "must fit together"),
        (lambda arrays: arrays.update(knots_to=np.ones(3)), "must fit together"),
        (
            lambda arrays: arrays.update(knots_start=arrays["knots_start"][::-1]),
            "must fit together",
        ),
    ],
)
def test_arrays_that_make_no_rule_are_refused(change, message):
    settings = DecisionSettings(recalibration="isotonic")
    arrays = DecisionRule.fit(*drifted_scores(4)[0], settings).to_arrays()
    change(arrays)
    with pytest.raises(FairPOValueError, match=message):
        DecisionRule.from_arrays(arrays)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0.3", ("probability", 0.3)),
        ("precision:0.9", ("precision", 0.9)),
        ("recall:.8", ("recall", 0.8)),
        ("cost:5", ("cost", 5.0)),
    ],
)
def test_thresholds_are_read(text, rule):
    assert read_threshold(text) == rule
    assert DecisionSettings(threshold=text).rule == rule


@pytest.mark.parametrize(
    "text", ["0", "1", "1.5", "f2", "f1:3", "precision", "precision:2", "recall:x", "cost:0", ""]
)
def test_what_is_no_threshold_is_told(text):
    with pytest.raises(FairPOValueError, match=r"DecisionSettings.threshold must be a probability"):
        build_settings(DecisionSettings, {"threshold": text})


def test_numbers_are_thresholds_too():
    assert DecisionSettings(threshold=0.25).rule.value == 0.25
    with pytest.raises(FairPOValueError, match="recalibration must be"):
        build_settings(DecisionSettings, {"recalibration": "plat"})
    with pytest.raises(FairPOValueError, match="guard must be greater than 0"):
        build_settings(DecisionSettings, {"guard": 0})
