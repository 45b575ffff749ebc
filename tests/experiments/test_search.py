"""Search spaces: what a file or a command line means, and what is refused."""

import pytest

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.experiments.search import Choices, Range, default_space, read_search
from fairpo.experiments.study import read_plan, write_study
from fairpo.experiments.sweep_plan import Sweep
from fairpo.objectives.catalogue import REFERENCE, method_names

SMALL = {"data": "small", "methods": ("fairpo-dpo",)}


@pytest.mark.parametrize("method", [name for name in method_names() if name != REFERENCE])
@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
def test_each_method_has_a_space_that_is_legal(method, preset):
    sweep = Sweep(data="small", methods=(method,), preset=preset)
    sweep.check()
    assert 1 <= len(sweep.search) <= 6
    assert sweep.search == default_space(method)
    assert set(sweep.given()) == set(sweep.search)


def test_what_is_taken_out_is_not_varied():
    assert "slack" not in default_space("fairpo-dpo/no-constraint")
    assert "beta" not in default_space("fairpo-cpo/no-preference")
    assert not {"step_size", "weight_rule"} & set(default_space("fairpo-simpo/fixed-weights"))
    assert "margin" in default_space("fairpo-simpo")


def test_a_command_line_and_a_file(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "search:\n  beta: {low: 1e-1, high: 4, log: true}\n  slack: {low: 0, high: 1}\n"
    )
    texts = [
        str(path),
        "slack=0:0.2",
        "batch_size=16:64:log",
        "weight_rule=raw,excess",
        "floor=0,1e-4",
    ]
    assert read_search(texts) == {
        "beta": Range(low=0.1, high=4, log=True),
        "slack": Range(low=0, high=0.2),
        "batch_size": Range(low=16, high=64, log=True),
        "weight_rule": Choices(choices=("raw", "excess")),
        "floor": Choices(choices=(0, 1e-4)),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta=1", "--search must be a YAML file, NAME=LOW:HIGH"),
        ("beta=1:2:ln", "--search must be a YAML file, NAME=LOW:HIGH"),
        ("beta=2:1", "search.beta: low must be below high, got 2 and 1."),
        ("beta=0:1:log", "search.beta: low must be above 0 where log is true, got 0."),
        ("beta=a:1", "search.beta.low.*: Input should be a valid"),
        ("beta=0:inf", "search.beta.high.*: Input should be a finite number"),
        ("nowhere.yaml", "nowhere.yaml: cannot be read as a search space"),
    ],
)
def test_a_text_that_is_no_space(text, message):
    with pytest.raises((FairPOValueError, FairPOFileError), match=message):
        read_search([text])


@pytest.mark.parametrize("text", ["", "beta", "search: {}", "beta: {low: ["])
def test_a_file_that_is_no_space(tmp_path, text):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(FairPOFileError, match="space.yaml: (is not|cannot be read as) a search"):
        read_search([str(tmp_path / "space.yaml")])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["betta=1:2"], "setting 'betta' is not among .* Did you mean 'beta'"),
        (["margin_=1:2"], "is not among the .* settings of fairpo-dpo and its training"),
        (["beta=-1:2"], "FairPOSettings.beta must be greater than 0"),
        (["batch_size=1.5:4"], "TrainingSettings.batch_size must be a valid integer"),
        (["weight_rule=1:2"], "FairPOSettings.weight_rule must be 'raw'"),
        (["weight_rule=raw,rawest"], "FairPOSettings.weight_rule must be 'raw'"),
        (["tolerance_points=0:5"], "overrides of fairpo-dpo must leave .* got tolerance_points"),
        (["epochs=1:5"], "overrides of .* must leave .* to all methods, got epochs"),
    ],
)
def test_each_setting_is_checked_as_settings_are(texts, message):
    with pytest.raises(FairPOValueError, match=message):
        Sweep(search=read_search(texts), **SMALL).check()


@pytest.mark.parametrize("methods", [("bce",), ("fairpo-dpo", "fairpo-cpo")])
def test_a_sweep_is_of_one_method(methods):
    with pytest.raises(ValueError, match="methods must name one method beside the reference"):
        Sweep(data="small", methods=methods)


def test_a_front_is_sought_without_a_tolerance_unless_told():
    assert Sweep(**SMALL).training.tolerance_points == 0.5
    assert Sweep(objective="pareto", **SMALL).training.tolerance_points == 100
    told = Sweep(objective="pareto", training={"tolerance_points": 2}, **SMALL)
    assert told.training.tolerance_points == 2


def test_a_file_is_the_sweep_and_back(tmp_path):
    search = {"beta": {"low": 0.1, "high": 4}, "weight_rule": {"choices": ["raw", "excess"]}}
    sweep = Sweep(search=search, objective="pareto", tuning_seeds=(0, 1), **SMALL)
    write_study(tmp_path / "sweep.yaml", sweep)
    assert read_plan(tmp_path / "sweep.yaml", Sweep) == sweep


def test_settings_as_given_outside_the_space_are_no_trial():
    assert Sweep(search=read_search(["beta=2:4"]), **SMALL).given() is None
    given = Sweep(
        search=read_search(["beta=1:4", "learning_rate=1e-5:1"]),
        overrides={"fairpo-dpo": {"beta": 3.0}},
        **SMALL,
    ).given()
    assert given == {"beta": 3.0, "learning_rate": 5e-4}
