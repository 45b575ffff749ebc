import numpy as np
import pytest
from scipy import sparse

from fairpo._checks import FairPOFileError, FairPOValueError
from fairpo.groups import LabelGroup, LabelGroups, LabelPartition, parse_privileged

NAMES = ["cat", "dog", "emu", "fox", "gnu"]


def test_privileged_group_comes_first_and_the_rest_is_non_privileged():
    groups = LabelPartition.from_indices([3, 1], 5)
    assert groups.names == ("privileged", "non_privileged")
    assert groups.roles == ("improve", "protect")
    assert groups.privileged.tolist() == [1, 3]
    assert groups.non_privileged.tolist() == [0, 2, 4]
    assert groups.membership.sum(axis=0).tolist() == [1] * 5


def test_constructors_agree():
    expected = LabelPartition.from_indices([1, 4], 5)
    assert LabelPartition.from_names(["dog", "gnu"], NAMES) == expected
    assert LabelPartition.from_mask(np.array([0, 1, 0, 0, 1], dtype=bool)) == expected


@pytest.mark.parametrize(("indices", "sizes"), [([], (0, 5)), (range(5), (5, 0))])
def test_empty_and_full_privileged_sets_are_allowed(indices, sizes):
    groups = LabelPartition.from_indices(indices, 5)
    assert (len(groups.privileged), len(groups.non_privileged)) == sizes


@pytest.mark.parametrize(
    ("n_labels", "fraction", "size"),
    [(5, 0.2, 1), (6, 0.2, 2), (35, 0.2, 7), (3, 0.01, 1), (4, 1.0, 4)],
)
def test_rarest_takes_the_ceiling(n_labels, fraction, size):
    targets = np.eye(n_labels, dtype=int)
    assert len(LabelPartition.rarest(targets, fraction).privileged) == size


def test_rarest_breaks_ties_by_label_order_and_does_not_count_missing():
    targets = np.array([[1, -1, 1, 0], [1, 1, 0, -1], [1, 0, 0, 1]])
    assert LabelPartition.rarest(targets, 0.5).privileged.tolist() == [1, 2]
    assert LabelPartition.rarest(sparse.csr_array(targets), 0.5).privileged.tolist() == [1, 2]


def test_worst_never_takes_undefined_labels():
    groups = LabelPartition.worst([0.9, np.nan, 0.1, 0.5], 2)
    assert groups.privileged.tolist() == [2, 3]
    with pytest.raises(FairPOValueError, match=r"k must be from 1 to 3, .* got 4"):
        LabelPartition.worst([0.9, np.nan, 0.1, 0.5], 4)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("rarest:20%", [0]),
        ("rarest:0.4", [0, 1]),
        ("frequent:20%", [4]),
        ("cat, dog", [0, 1]),
        (["gnu"], [4]),
        ([1, 2], [1, 2]),
        (np.array([False, False, True, False, True]), [2, 4]),
    ],
)
def test_every_form_of_a_spec(spec, expected):
    targets = np.tril(np.ones((5, 5), dtype=int)).T[:, ::1]
    assert parse_privileged(spec).resolve(targets, NAMES).privileged.tolist() == expected


def test_worst_spec_needs_the_reference():
    rule = parse_privileged("worst:2")
    assert rule.needs_reference_ap
    partition = rule.resolve(None, NAMES, np.array([0.5, 0.1, 0.9, 0.2, 0.8]))
    assert partition.privileged.tolist() == [1, 3]
    with pytest.raises(
        FairPOValueError, match="a rule by reference AP must get the reference's average"
    ):
        rule.resolve(None, NAMES)


def test_worst_by_share():
    share = parse_privileged("worst:40%").resolve(None, NAMES, np.array([0.5, 0.1, 0.9, 0.2, 0.8]))
    assert share.privileged.tolist() == [1, 3]


def test_frequent_and_random_choose_among_labels_that_occur():
    targets = np.array([[1, 0, 1, 1, 1], [1, 0, 0, 1, 1], [1, 0, 0, 0, 1]])
    assert LabelPartition.most_frequent(targets, 0.5).privileged.tolist() == [0, 4]
    chosen = {
        tuple(LabelPartition.random(targets, 0.5, seed).privileged.tolist()) for seed in range(40)
    }
    assert len(chosen) == 6  # every pair of four labels, and none with the one that never occurs
    assert all(1 not in labels for labels in chosen)
    assert LabelPartition.random(targets, 0.5, 3) == LabelPartition.random(targets, 0.5, 3)


def test_names_from_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("dog\n\nfox\n")
    assert parse_privileged(f"@{path}").resolve(None, NAMES).privileged.tolist() == [1, 3]
    with pytest.raises(FairPOFileError, match=r"none\.txt: the file of privileged labels cannot"):
        parse_privileged(f"@{tmp_path / 'none.txt'}")


@pytest.mark.parametrize("spec", ["", " , ", [], "@EMPTY"])
def test_a_spec_that_selects_nothing_is_refused(spec, tmp_path):
    if spec == "@EMPTY":
        (tmp_path / "empty.txt").write_text("\n")
        spec = f"@{tmp_path / 'empty.txt'}"
    with pytest.raises(FairPOValueError, match="privileged labels must"):
        parse_privileged(spec)


@pytest.mark.parametrize("spec", ["rarest:0%", "rarest:abc", "rarest:120%", "worst:0", "worst:x"])
def test_rules_out_of_range_are_refused(spec):
    with pytest.raises(
        FairPOValueError, match=r"the privileged labels must be (rarest|worst):.*Write"
    ):
        parse_privileged(spec)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        FairPOValueError, match=r"label 'catt' is not among the 5 label names. Did you mean 'cat'?"
    ):
        LabelPartition.from_names(["catt"], NAMES)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LabelPartition.from_indices([7], 5), "must be from 0 to 4, got 7"),
        (lambda: LabelPartition.from_indices([1, 1], 5), "must be unique, got '1' more than once"),
        (lambda: LabelPartition.from_mask([0, 1]), "mask must be a boolean vector"),
        (lambda: LabelPartition.rarest(np.eye(3), 0), r"fraction must be in \(0, 1\], got 0"),
        (lambda: LabelGroups([], 3), "groups must hold at least one group"),
        (
            lambda: LabelGroups([LabelGroup("a", (0,), "improve")] * 2, 3),
            "group names must be unique",
        ),
        (
            lambda: LabelGroup("a", (0,), "ignore"),
            "role of group 'a' must be 'improve' or 'protect'",
        ),
        (lambda: LabelGroups([LabelGroup("a", (0,), "improve")], 0), "n_labels must be at least 1"),
        (lambda: parse_privileged(3.5), "must be text, a list of names"),
    ],
)
def test_bad_groups_are_refused(build, message):
    with pytest.raises(FairPOValueError, match=message):
        build()


def test_groups_may_overlap():
    groups = LabelGroups(
        [
            LabelGroup("tail", (0, 1), "improve"),
            LabelGroup("ours", (1, 2), "improve"),
            LabelGroup("head", (3, 4), "protect"),
        ],
        5,
    )
    assert groups.privileged.tolist() == [0, 1, 2]
    assert groups.membership[:2, 1].tolist() == [True, True]


def test_several_groups_are_written_as_a_mapping_or_a_file(tmp_path):
    written = {
        "tail": {"improve": "rarest:40%"},
        "cats": {"improve": ["cat", "lion"]},
        "head": {"protect": "frequent:20%"},
        "middle": {"protect": "others"},
    }
    names = ("cat", "dog", "lion", "fox", "cow")
    targets = np.repeat(np.eye(5, dtype=np.int8), [50, 40, 5, 4, 30], axis=0)
    found = parse_privileged(written).resolve(targets, names)
    assert found.as_mapping().keys() == written.keys()
    indices = {name: group.tolist() for name, group in found.as_mapping().items()}
    assert indices == {"tail": [2, 3], "cats": [0, 2], "head": [0], "middle": [1, 4]}
    assert found.roles == ("improve", "improve", "protect", "protect")
    assert found.privileged.tolist() == [0, 2, 3]
    assert list(found.judged()) == ["privileged", "non_privileged", *written]
    path = tmp_path / "groups.yaml"
    path.write_text(
        "tail: {improve: 'rarest:40%'}\ncats: {improve: [cat, lion]}\n"
        "head: {protect: 'frequent:20%'}\nmiddle: {protect: others}\n"
    )
    assert parse_privileged(f"@{path}").resolve(targets, names) == found


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"tail": {"protect": "rarest:10%"}}, "hold one to improve"),
        ({"tail": "rarest:10%"}, "be improve: LABELS or protect: LABELS"),
        ({"tail": {"raise": "rarest:10%"}}, "be improve: LABELS or protect: LABELS"),
        ({"privileged": {"improve": "rarest:10%"}}, "the name of a group"),
        ({"all": {"improve": "rarest:10%"}}, "the name of a group must be text .*, got 'all'"),
        ({"difference": {"improve": "rarest:10%"}}, "the name of a group must be text"),
        ({"cats/dogs": {"improve": "rarest:10%"}}, "the name of a group must be text without '/'"),
        ({5: {"improve": "rarest:10%"}}, "the name of a group must be text"),
        (
            {"a": {"improve": "cat"}, "b": {"protect": "others"}, "c": {"protect": "others"}},
            "others must be written for one group at most, got b, c",
        ),
        ({"tail": {"improve": "rarest:200%"}}, "over 0% and up to 100%"),
    ],
)
def test_groups_that_cannot_be_are_refused(written, told):
    with pytest.raises(FairPOValueError, match=told):
        parse_privileged(written)


def test_a_file_of_groups_that_holds_none_is_refused(tmp_path):
    path = tmp_path / "groups.yaml"
    for text in ("- a\n- b\n", "a: [b\n"):
        path.write_text(text)
        with pytest.raises(FairPOFileError, match="groups"):
            parse_privileged(f"@{path}")
    with pytest.raises(FairPOFileError, match="groups"):
        parse_privileged(f"@{tmp_path / 'none.yaml'}")
