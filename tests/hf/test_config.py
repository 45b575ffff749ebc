"""FairPOConfig: every option there is, checked, and everything TrainingArguments do."""

import json
import pickle
from dataclasses import fields

import pytest
import transformers

from fairpo import FairPOConfig
from fairpo._checks import FairPOValueError
from fairpo.objectives.catalogue import option_fields

QUIET = {"use_cpu": True, "report_to": "none"}


def test_no_option_of_an_objective_is_missing_or_stale():
    stock = {field.name for field in fields(transformers.TrainingArguments)}
    ours = {field.name: field for field in fields(FairPOConfig) if field.name not in stock}
    settings = option_fields()
    own = {
        "method",
        "preset",
        "privileged",
        "accumulation",
        "reference",
        "precompute_reference_logits",
        "trainable",
    }
    assert set(ours) == own | (set(settings) - {"seed"})
    assert set(settings) & stock == {"seed"}
    for name, described in settings.items():
        if name != "seed":
            assert ours[name].metadata["help"] == described.description
            assert ours[name].default is None
    assert all(ours[name].metadata["help"] for name in own)


def test_options_go_over_the_preset():
    args = FairPOConfig("out", beta=0.3, weight_rule="excess", seed=7, **QUIET)
    assert args.objective_options() == {"beta": 0.3, "weight_rule": "excess", "seed": 7}
    args = FairPOConfig("out", method="bce-reweighted", privileged_weight=3.0, **QUIET)
    assert args.objective_options() == {"privileged_weight": 3.0}
    assert args.output_dir == "out"
    args = FairPOConfig("out", method="asl", clip=0.1, **QUIET)
    assert args.objective_options() == {"clip": 0.1}


def test_all_faults_in_one_error():
    with pytest.raises(FairPOValueError) as caught:
        FairPOConfig(
            "out",
            beta=-1.0,
            floor=2.0,
            privileged="rarest:200%",
            trainable="last:0",
            accumulation="never",
            batch_eval_metrics=True,
            **QUIET,
        )
    lines = str(caught.value).splitlines()
    assert [line.split(" must ")[0] for line in lines] == [
        "FairPOSettings.floor",
        "FairPOSettings.beta",
        "the privileged labels",
        "FairPOConfig.trainable",
        "FairPOConfig.accumulation",
        "FairPOConfig.batch_eval_metrics",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fairpo-dop"}, "Did you mean 'fairpo-dpo'"),
        ({"preset": "paper-v3"}, "preset 'paper-v3' is not among"),
        ({"method": "bce", "beta": 1.0}, "option 'beta' is not among the 1 options of bce."),
        (
            {"method": "asl", "focusing": 1.0},
            "option 'focusing' is not among the 3 options of asl.",
        ),
        ({"method": "bce-class-balanced", "effective_beta": 1.0}, "effective_beta must be less"),
        (
            {"method": "group-dro", "step_size": 0.1, "privileged_weight": 2.0},
            "privileged_weig",
        ),
        ({"method": "group-dro", "weight_rule": "excess"}, "weight_rule must not be set for group"),
        ({"weight_rule": "rawest"}, "FairPOSettings.weight_rule must be 'raw', 'relative'"),
        ({"prediction_loss_only": True}, "prediction_loss_only must be False"),
        ({"eval_do_concat_batches": False}, "eval_do_concat_batches must be True"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor must be 0"),
        ({"fp16": True}, "fp16 must be False without a GPU, got True. bf16=True runs on a CPU"),
    ],
)
def test_faults(options, message):
    with pytest.raises(FairPOValueError, match=message):
        FairPOConfig("out", **options, **QUIET)


def test_from_the_command_line():
    parser = transformers.HfArgumentParser(FairPOConfig)
    line = "--output_dir out --use_cpu True --report_to none --method fairpo-cpo --beta 0.5"
    (args,) = parser.parse_args_into_dataclasses([*line.split(), "--likelihood", "entries"])
    assert (args.method, args.beta, args.likelihood) == ("fairpo-cpo", 0.5, "entries")
    assert args.slack is None
    (args,) = parser.parse_args_into_dataclasses(
        [*line.replace("fairpo-cpo --beta", "focal --positive_share").split()]
    )
    assert args.objective_options() == {"positive_share": 0.5}
    text = " ".join(parser.format_help().split())
    assert "Nats by which an entry may be worse than the reference before it costs." in text
    assert "(default: rarest:20%)" in text


def test_round_trips():
    args = FairPOConfig("out", privileged="cat,dog", floor=0.1, trainable="last:2", **QUIET)
    written = json.loads(args.to_json_string())
    assert written["floor"] == 0.1
    again = FairPOConfig(**written)
    assert again.to_json_string() == args.to_json_string()
    assert pickle.loads(pickle.dumps(args)).to_json_string() == args.to_json_string()


@pytest.mark.parametrize(
    "method", ["fairpo-crossfit", "fairpo-crossfit/no-preference", "kernel-ridge"]
)
def test_methods_that_need_features_are_refused(method):
    with pytest.raises(FairPOValueError, match="FairPOConfig.method must be trained by steps"):
        FairPOConfig("out", method=method, **QUIET)
