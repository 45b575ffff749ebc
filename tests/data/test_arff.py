import io
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import arff as scipy_arff

from fairpo import load_data
from fairpo._checks import FairPOFileError
from fairpo.data.arff import read, read_label_xml
from fairpo.data.options import DataOptions

PLAIN = DataOptions()
ATTRIBUTES = ("x numeric", "y real", "a {0,1}", "b {0,1}")
ROWS = ("0.5,1,0,1", "-2,3e1,1,0", "0,0,1,1", "7,-1,0,0")


def document(attributes=ATTRIBUTES, rows=ROWS, relation="some"):
    declared = [f"@attribute {attribute}" for attribute in attributes]
    return "\n".join([f"@relation {relation}", "", *declared, "", "@data", *rows, ""])


def labels_xml(*names):
    labels = "\n".join(f'<label name="{name}"></label>' for name in names)
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return f'{head}\n<labels xmlns="http://mulan.sourceforge.net/labels">\n{labels}\n</labels>\n'


def write(folder, name="set.arff", text=None, xml=("a", "b"), **parts):
    path = folder / name
    path.write_text(document(**parts) if text is None else text, encoding="utf-8")
    if xml:
        path.with_suffix(".xml").write_text(labels_xml(*xml), encoding="utf-8")
    return path


def refused(path, *words, options=PLAIN, line=None):
    with pytest.raises(FairPOFileError) as caught:
        read(path, options)
    message = str(caught.value)
    place = "" if line is None else f"line {line}: "
    assert message.startswith(f"{path}: {place}"), message
    for word in words:
        assert word in message
    return message


def test_a_dense_file_with_an_xml_of_the_same_stem(tmp_path):
    data = read(write(tmp_path), PLAIN)
    assert data.label_names == ("a", "b")
    assert data.features.tolist() == [[0.5, 1], [-2, 30], [0, 0], [7, -1]]
    assert data.features.dtype == np.float32
    assert data.targets.tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]
    assert data.kind == "ARFF, dense; labels from set.xml"
    assert data.name == "set" and not data.split


def test_a_sparse_file_leaves_out_zeros(tmp_path):
    rows = ("{0 0.5, 1 1,3 1}", "{1 30,0 -2, 2 1 }", "{ 2 1,3 1}", "{}", "{1 -1,0 7}")
    data = read(write(tmp_path, rows=rows), PLAIN)
    assert data.features.tolist() == [[0.5, 1], [-2, 30], [0, 0], [0, 0], [7, -1]]
    assert data.targets.tolist() == [[0, 1], [1, 0], [1, 1], [0, 0], [0, 0]]
    assert data.kind.startswith("ARFF, sparse;")


def test_labels_come_in_the_order_of_the_xml(tmp_path):
    data = read(write(tmp_path, xml=("b", "a")), PLAIN)
    assert data.label_names == ("b", "a")
    assert data.targets.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize("form", ["", "-sparse"])
@pytest.mark.parametrize("given_part", ["train", "test"])
def test_the_sibling_becomes_the_other_split_whichever_is_given(tmp_path, form, given_part):
    write(tmp_path, f"set-train{form}.arff", xml=())
    write(tmp_path, f"set-test{form}.arff", rows=("9,9,1,1", "8,8,0,1"), xml=())
    (tmp_path / "set.xml").write_text(labels_xml("a", "b"))
    data = read(tmp_path / f"set-{given_part}{form}.arff", PLAIN)
    assert data.rows("train").tolist() == [0, 1, 2, 3]
    assert data.rows("test").tolist() == [4, 5]
    assert data.features[4:].tolist() == [[9, 9], [8, 8]]
    assert data.targets[4:].tolist() == [[1, 1], [0, 1]]
    assert data.name == "set"
    assert f"test split from set-test{form}.arff" in data.kind


def test_a_part_without_its_sibling_is_a_set_of_its_own(tmp_path):
    write(tmp_path, "set-train.arff", xml=())
    write(tmp_path, "set-test-sparse.arff", xml=())
    (tmp_path / "set.xml").write_text(labels_xml("a", "b"))
    data = read(tmp_path / "set-train.arff", PLAIN)
    assert data.n_rows == 4 and not data.split and data.name == "set-train"


def test_an_xml_of_the_part_goes_before_one_of_the_set(tmp_path):
    path = write(tmp_path, "set-train.arff", xml=("b",))
    (tmp_path / "set.xml").write_text(labels_xml("a"))
    assert read(path, PLAIN).label_names == ("b",)


def test_an_xml_named_by_the_option_goes_before_one_beside(tmp_path):
    path = write(tmp_path)
    (tmp_path / "other.xml").write_text(labels_xml("b"))
    data = load_data(path, label_xml=str(tmp_path / "other.xml"))
    assert data.label_names == ("b",)
    assert data.n_features == 3
    assert load_data(path, label_xml="other.xml", root=str(tmp_path)).label_names == ("b",)


def test_an_xml_named_by_the_option_that_is_missing_is_named(tmp_path):
    path = write(tmp_path)
    with pytest.raises(FairPOFileError, match=r"^gone\.xml: cannot be read"):
        read(path, DataOptions(label_xml="gone.xml"))


def test_nested_labels_are_all_read_in_document_order(tmp_path):
    path = tmp_path / "set.xml"
    path.write_text(
        '<labels xmlns="http://mulan.sourceforge.net/labels"><label name="root">'
        '<label name="b"><label name="leaf &amp; more"/></label></label><label name="a"/></labels>'
    )
    assert read_label_xml(path) == ["root", "b", "leaf & more", "a"]
    attributes = ("x numeric", *(f"'{name}' {{0,1}}" for name in ("a", "b", "root")))
    write(tmp_path, attributes=(*attributes, "'leaf & more' {0,1}"), rows=["1,1,0,0,1"], xml=())
    data = read(tmp_path / "set.arff", PLAIN)
    assert data.label_names == ("root", "b", "leaf & more", "a")
    assert data.targets.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("count", "labels", "first_row"),
    [(3, ("x", "y", "a"), [1]), (-3, ("y", "a", "b"), [0]), (1, ("x",), [1, 0, 1])],
)
def test_meka_says_in_the_relation_how_many_are_labels(tmp_path, count, labels, first_row):
    attributes = ("x {0,1}", "y {0,1}", "a {0,1}", "b {0,1}")
    path = write(
        tmp_path,
        attributes=attributes,
        rows=["0,1,0,1", "1,0,0,1"],
        relation=f"'music: -C {count} -split-number 7'",
        xml=(),
    )
    data = read(path, PLAIN)
    assert data.label_names == labels
    assert data.features[0].tolist() == first_row
    assert data.kind == f"ARFF, dense; labels from -C {count} of its header"


@pytest.mark.parametrize("count", ["4", "-4", "0", "99", "1234567890", "1" * 5000])
def test_a_count_of_labels_that_does_not_fit_is_refused(tmp_path, count):
    path = write(tmp_path, relation=f"'m: -C {count}'", xml=())
    refused(path, "-C")


def test_without_any_word_on_labels_the_remedy_is_told(tmp_path):
    refused(write(tmp_path, xml=()), "does not say which attributes are labels", "--label-xml FILE")


def test_quoted_names_keep_spaces_commas_and_quotes(tmp_path):
    attributes = (
        r"'the x, of it' numeric",
        r'"say \"hi\"" {0,1}',
        r"'it\'s {this}' {no, yes}",
        r"'100%'numeric",
    )
    path = write(
        tmp_path,
        attributes=attributes,
        rows=["1,'0',\"yes\",4", "2, 1 , 'no','5'"],
        relation="'two words -C 2 % and more'",
        xml=(),
    )
    (tmp_path / "set.xml").write_text(labels_xml("it's {this}", "say &quot;hi&quot;"))
    data = read(path, PLAIN)
    assert data.label_names == ("it's {this}", 'say "hi"')
    assert data.targets.tolist() == [[1, 0], [0, 1]]
    assert data.features.tolist() == [[1, 4], [2, 5]]


def test_categories_may_hold_commas_braces_and_quotes(tmp_path):
    attributes = (r"kind {'a, b', 'c}', 'd\'e'}", "a {0,1}")
    rows = ["'c}',1", r"'d\'e',0", "'a, b',1"]
    data = read(write(tmp_path, attributes=attributes, rows=rows, xml=("a",)), PLAIN)
    assert data.features.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_names_beyond_ascii_and_a_byte_order_mark(tmp_path):
    text = document(("größe numeric", "a {0,1}"), ["1,0", "2,1"])
    path = tmp_path / "set.arff"
    (tmp_path / "set.xml").write_text(labels_xml("a"))
    for encoded in (text.encode("utf-8-sig"), text.encode("latin-1")):
        path.write_bytes(encoded)
        assert read(path, PLAIN).targets.tolist() == [[0], [1]]
    (tmp_path / "set.xml").write_text(labels_xml("größe"), encoding="utf-8")
    assert "größe" in refused(path, line=8)


@pytest.mark.parametrize(
    "pair", ["{0,1}", "{1,0}", "{no,yes}", "{yes,no}", "{FALSE,TRUE}", "{True, False}", "{n,y}"]
)
def test_labels_of_every_spelling_mean_0_and_1(tmp_path, pair):
    positive = re.search("1|yes|true|y", pair, re.IGNORECASE)[0]
    negative = next(word for word in re.split(r"\W+", pair) if word not in ("", positive))
    rows = [f"5,{positive}", f"6,{negative}", f"7,{positive}"]
    path = write(tmp_path, attributes=("x numeric", f"a {pair}"), rows=rows, xml=("a",))
    assert read(path, PLAIN).targets.tolist() == [[1], [0], [1]]


def test_numeric_labels(tmp_path):
    path = write(tmp_path, attributes=("x numeric", "a numeric"), rows=["5,1", "6,0.0"], xml=("a",))
    assert read(path, PLAIN).targets.tolist() == [[1], [0]]


@pytest.mark.parametrize("pair", ["{red,blue}", "{1,no}", "{n,f}", "{no,yes,true}", "{a}"])
def test_labels_of_other_names_are_refused_where_they_are_declared(tmp_path, pair):
    path = write(tmp_path, attributes=("x numeric", f"a {pair}"), rows=["5,?"], xml=("a",))
    refused(path, "label 'a' has the categories", "they must be 0 and 1", line=4)


@pytest.mark.parametrize(
    ("kind", "value"), [("{0,1,2}", "2"), ("{-1,1}", "-1"), ("numeric", "-1"), ("real", "0.5")]
)
def test_a_label_that_is_neither_0_nor_1_is_refused_by_line(tmp_path, kind, value):
    path = write(tmp_path, attributes=("x numeric", f"a {kind}"), rows=["1,1", "1,1", f"2,{value}"])
    (tmp_path / "set.xml").write_text(labels_xml("a"))
    refused(path, f"label 'a' is {value}, not 0 or 1", line=9)


@pytest.mark.parametrize("rows", [["1,2,?,1", "1,2,0,1"], ["{2 ?,3 1}", "{0 1,3 1}"]])
def test_a_question_mark_in_a_label_is_missing(tmp_path, rows):
    assert read(write(tmp_path, rows=rows), PLAIN).targets.tolist() == [[-1, 1], [0, 1]]


@pytest.mark.parametrize("kind", ["numeric", "{0,1}", "{no,yes}", "{red,green,blue}", "{4,5,6}"])
def test_a_question_mark_in_a_feature_is_refused_by_line(tmp_path, kind):
    known = {"n": "1", "{0": "1", "{n": "no", "{r": "red", "{4": "4"}[kind[:2].removesuffix("u")]
    rows = [f"1,{known},1", "% between", "1,?,0", "?,?,0"]
    path = write(
        tmp_path, attributes=("x numeric", f"what {kind}", "a {0,1}"), rows=rows, xml=("a",)
    )
    refused(path, "the value of 'what' is missing, as are 2 others", line=10)


def test_categories_of_three_names_become_one_column_each(tmp_path):
    attributes = ("colour {red,green,blue}", "x numeric", "two {left,right}", "a {0,1}")
    rows = ["green,5,left,1", "red,6,right,0", "blue,7,left,1"]
    data = read(write(tmp_path, attributes=attributes, rows=rows, xml=("a",)), PLAIN)
    assert data.features.tolist() == [[5, 0, 0, 1, 0], [6, 1, 1, 0, 0], [7, 0, 0, 0, 1]]


def test_categories_of_numbers_are_their_values(tmp_path):
    attributes = ("n {4,-1,2.5}", "a {0,1}")
    rows = ["2.5,1", "4,0", "-1.0,0"]
    data = read(write(tmp_path, attributes=attributes, rows=rows, xml=("a",)), PLAIN)
    assert data.features.tolist() == [[2.5], [4], [-1]]


def test_letters_that_could_mean_no_are_kept_apart(tmp_path):
    attributes = ("near {n,f}", "level {n,f,t}", "a {0,1}")
    rows = ["n,n,1", "f,f,0", "n,t,0"]
    data = read(write(tmp_path, attributes=attributes, rows=rows, xml=("a",)), PLAIN)
    assert data.features.tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("kind", "value"), [("{red,green,blue}", "1"), ("{red,green}", "0"), ("{0,1}", "2")]
)
def test_a_value_that_is_not_a_category_is_refused_with_its_declaration(tmp_path, kind, value):
    path = write(tmp_path, attributes=(f"c {kind}", "a {0,1}"), rows=[f"{value},1"], xml=("a",))
    refused(path, f"{value!r} is not a category of 'c'", "Line 3 declares them.", line=7)


def test_comments_blank_lines_and_letter_case_do_not_matter(tmp_path):
    text = (
        "% a comment\n\n@RELATION r\n  % indented\n@Attribute x NUMERIC\n\n@ATTRIBUTE a{0,1}\n"
        "@DATA\n\n% one\n  1 ,\t0\n\n%two\r\n2,1\n\n"
    )
    data = read(write(tmp_path, text=text, xml=("a",)), PLAIN)
    assert data.features.tolist() == [[1], [2]] and data.targets.tolist() == [[0], [1]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_do_anywhere_and_nowhere_else(tmp_path, end):
    path = tmp_path / "set.arff"
    text = document(rows=["% a\x85b\x0cc\x1c", *ROWS, "1,2,x,1"]).replace("\n", end)
    path.write_bytes(text.encode("latin-1"))
    (tmp_path / "set.xml").write_text(labels_xml("a", "b"))
    refused(path, "'x' is not a category of 'a'", line=14)


def test_an_error_in_the_sibling_names_the_sibling(tmp_path):
    train = write(tmp_path, "set-train.arff", xml=())
    test = write(tmp_path, "set-test.arff", rows=["1,2,0,1", "oops,2,0,1"], xml=())
    (tmp_path / "set.xml").write_text(labels_xml("a", "b"))
    with pytest.raises(FairPOFileError, match="'oops' is not a finite number") as caught:
        read(train, PLAIN)
    assert str(caught.value).startswith(f"{test}: line 10: ")


@pytest.mark.parametrize("categories", ["{green,red}", "{red,green,blue}", "numeric"])
def test_parts_whose_categories_differ_are_refused(tmp_path, categories):
    first = write(
        tmp_path, "s-train.arff", attributes=("c {red,green}", "a {0,1}"), rows=["red,1"], xml=()
    )
    value = "1" if categories == "numeric" else "red"
    second = write(
        tmp_path,
        "s-test.arff",
        attributes=(f"c {categories}", "a {0,1}"),
        rows=[f"{value},1"],
        xml=(),
    )
    (tmp_path / "s.xml").write_text(labels_xml("a"))
    with pytest.raises(FairPOFileError, match="has other categories than in s-train") as caught:
        read(first, PLAIN)
    assert str(caught.value).startswith(f"{second}: line 3: ")


def test_parts_may_spell_yes_and_no_in_their_own_order(tmp_path):
    write(tmp_path, "s-train.arff", attributes=("x real", "a {no,yes}"), rows=["1,yes"], xml=())
    write(tmp_path, "s-test.arff", attributes=("x real", "a {yes,no}"), rows=["1,yes"], xml=())
    (tmp_path / "s.xml").write_text(labels_xml("a"))
    assert read(tmp_path / "s-test.arff", PLAIN).targets.tolist() == [[1], [1]]


def test_parts_whose_attributes_differ_are_refused(tmp_path):
    write(tmp_path, "s-train.arff", xml=())
    other = write(tmp_path, "s-test.arff", attributes=("z real", *ATTRIBUTES[1:]), xml=())
    (tmp_path / "s.xml").write_text(labels_xml("a", "b"))
    with pytest.raises(FairPOFileError, match="has other attributes than s-train") as caught:
        read(tmp_path / "s-train.arff", PLAIN)
    assert str(caught.value).startswith(f"{other}: ")


BROKEN = {
    "mixed forms": (None, ["1,2,0,1", "{0 1}"], 10, "sparse and dense rows are mixed"),
    "mixed the other way": (None, ["{0 1}", "1,2,0,1"], 10, "sparse and dense rows are mixed"),
    "too few": (None, ["1,2,0"], 9, "3 values for 4 attributes"),
    "too many": (None, ["1,2,0,1,1"], 9, "5 values for 4 attributes"),
    "trailing comma": (None, ["1,2,0,1,"], 9, "5 values for 4 attributes"),
    "beyond": (None, ["{0 1,4 1}"], 9, "index 4 is beyond the 4 attributes"),
    "far beyond": (None, ["{" + "9" * 5000 + " 1}"], 9, "is not an index and a value"),
    "twice": (None, ["{0 1,2 1,0 3}"], 9, "an index occurs twice"),
    "negative": (None, ["{-1 1}"], 9, "is not an index and a value"),
    "no value": (None, ["{0 1,2}"], 9, "is not an index and a value"),
    "cut row": (None, ["{0 1}", "{0 1,2"], 10, "does not end with a brace"),
    "open quote": (None, ["1,2,'0,1"], 9, "a quote is not closed"),
    "word": (None, ["1,two,0,1"], 9, "'two' is not a finite number, as 'y' must be"),
    "empty": (None, ["1,,0,1"], 9, "'' is not a finite number, as 'y' must be"),
    "nan": (None, ["1,nan,0,1"], 9, "'nan' is not a finite number"),
    "infinite": (None, ["1,-inf,0,1"], 9, "'-inf' is not a finite number"),
    "beyond 32 bits": (None, ["1,4e38,0,1"], 9, "'4e38' is not a finite number"),
    "underscore": (None, ["1_0,2,0,1"], 9, "'1_0' is not a finite number"),
    "duplicate": (("x real", "a {0,1}", "x real"), ["1"], 5, "'x' was declared in line 3"),
    "text": (("x string", "a {0,1}"), ["1"], 3, "'x' is of type 'string'"),
    "date": (("x date yyyy", "a {0,1}"), ["1"], 3, "'x' is of type 'date'"),
    "no type": (("x real", "abc"), ["1"], 4, "'@attribute abc' is not an attribute"),
    "open brace": (("x real", "a {0,1"), ["1"], 4, "do not end with a brace"),
    "same category": (("x real", "a {0,0}"), ["1"], 4, "not a list of different names"),
    "category quote": (("x real", "a {'0,1}"), ["1"], 4, "not a list of different names"),
    "first is yes": (("x real", "a {yes,no}"), ["{0 1}"], 4, "'yes', which sparse rows leave out"),
    "first is 1": (("x {1,2}", "a {0,1}"), ["{1 1}"], 3, "'1', which sparse rows leave out"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_line(tmp_path, name):
    attributes, rows, line, words = BROKEN[name]
    path = write(tmp_path, attributes=attributes or ATTRIBUTES, rows=rows)
    refused(path, words, line=line)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "line 1: the file ends before @data"),
        ("@relation r\n@attribute x real\n", None, "the file ends before @data. Is it whole?"),
        ("@relation r\n@data\n1\n", 2, "@data comes before any @attribute"),
        ("@relation r\n@attribute x real\nhello there\n", 3, "'hello there' is not @relation"),
        ("@attribute x real\n@attribute a {0,1}\n@data\n% nothing\n", None, "has no rows"),
        ("PK\x03\x04", 1, "is not @relation"),
    ],
)
def test_files_that_end_or_turn_too_early(tmp_path, text, line, words):
    refused(write(tmp_path, text=text), words, line=line)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_file_cut_within_a_row_is_refused_by_line(tmp_path, form):
    rows = ROWS if form == "dense" else ("{0 1,2 1}", "{1 1,3 1}")
    whole = document(rows=rows).rstrip("\n")
    path = write(tmp_path, text=whole[:-3])
    refused(path, line=whole.count("\n") + 1)


def test_a_folder_or_nothing_is_not_a_file(tmp_path):
    refused(tmp_path / "gone.arff", "cannot be read (No such file")
    refused(tmp_path, "cannot be read (Is a directory)")


def refused_xml(path, words):
    with pytest.raises(FairPOFileError) as caught:
        read_label_xml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<labels>\n<label name="a"/>\n<label name="b">\n</labels>', "line 4: not valid XML"),
        ("<labels>\n", "line 2: not valid XML"),
        ("", "line 1: not valid XML"),
        ("a\nb\n", "line 1: not valid XML"),
        ("<labels></labels>", "lists no label"),
        ('<labels><label name="a"/><label/></labels>', "label 2 has no name"),
        ('<labels><label name="a"/><label name="a"/></labels>', "label 'a' more than once"),
        ('<?xml version="1.0" encoding="nonsense"?><labels/>', "line 1: not valid XML"),
        ('<?xml version="1.0" encoding="big5"?><labels/>', "line 1: not valid XML"),
        ('<?xml version="1.0" encoding="rot13"?><labels/>', "line 1: not valid XML"),
    ],
)
def test_a_broken_xml_is_named(tmp_path, text, words):
    path = tmp_path / "set.xml"
    path.write_text(text)
    refused_xml(path, words)


def test_an_xml_that_names_an_unknown_attribute_is_named(tmp_path):
    path = write(tmp_path, xml=("a", "zebra"))
    with pytest.raises(FairPOFileError, match=r"label 'zebra' is not an attribute of set\.arff"):
        read(path, PLAIN)


def test_a_missing_xml_is_named(tmp_path):
    refused_xml(tmp_path / "gone.xml", "cannot be read (No such file")


@pytest.mark.parametrize("name", ["scene", "yeast", "emotions"])
def test_dense_sets_equal_what_scipy_reads(shared_data, name):
    folder = Path(shared_data) / "arff"
    data = load_data(folder / f"{name}-train.arff")
    labels = read_label_xml(folder / f"{name}.xml")
    assert list(data.label_names) == labels
    begin = 0
    for part in ("train", "test"):
        table, meta = scipy_arff.loadarff(folder / f"{name}-{part}.arff")
        features = [column for column in meta.names() if column not in labels]
        expected = np.column_stack([table[column] for column in features]).astype(np.float32)
        targets = np.column_stack([table[column].astype(int) for column in labels])
        rows = slice(begin, begin + len(table))
        assert np.array_equal(data.features[rows], expected)
        assert np.array_equal(data.targets[rows], targets)
        begin += len(table)
    assert begin == data.n_rows
    assert data.rows("test").tolist() == list(range(data.n_rows - len(table), data.n_rows))


def slow_parse(path):
    """Every cell by itself, as {row: {name: value}}; "0" where a sparse row leaves it out."""
    names, rows, in_data = [], [], False
    for line in path.read_text().splitlines():
        line = line.strip()
        if line.lower().startswith("@attribute"):
            names.append(line[len("@attribute") :].strip().rsplit(" ", 1)[0].strip().strip("'"))
        elif line.lower().startswith("@data"):
            in_data = True
        elif line.startswith("{") and in_data:
            cells = (cell.split() for cell in line.strip("{}").split(",") if cell.strip())
            rows.append({names[int(index)]: float(value) for index, value in cells})
        elif line and in_data:
            rows.append(
                {name: float(cell) for name, cell in zip(names, line.split(","), strict=True)}
            )
    return names, rows


@pytest.mark.parametrize(
    ("name", "form", "train", "test", "features", "labels"),
    [("bibtex", "", 4880, 2515, 1836, 159), ("Corel5k", "-sparse", 4500, 500, 499, 374)],
)
def test_sparse_sets_equal_a_slow_parse(shared_data, name, form, train, test, features, labels):
    folder = Path(shared_data) / "arff"
    data = read(folder / f"{name}-test{form}.arff", PLAIN)
    assert data.features.shape == (train + test, features)
    assert data.targets.shape == (train + test, labels)
    assert len(data.rows("train")) == train and len(data.rows("test")) == test
    label_names = re.findall(r'label name="([^"]*)"', (folder / f"{name}.xml").read_text())
    assert list(data.label_names) == label_names
    names, rows = slow_parse(folder / f"{name}-train{form}.arff")
    rows += slow_parse(folder / f"{name}-test{form}.arff")[1]
    assert len(rows) == data.n_rows
    known = set(label_names)
    place = {name: column for column, name in enumerate(n for n in names if n not in known)}
    label_place = {name: column for column, name in enumerate(label_names)}
    X = np.zeros(data.features.shape, dtype=np.float32)
    Y = np.zeros(data.targets.shape, dtype=np.int8)
    for row, cells in enumerate(rows):
        for cell, value in cells.items():
            if cell in known:
                Y[row, label_place[cell]] = value
            else:
                X[row, place[cell]] = value
    assert np.array_equal(data.features, X)
    assert np.array_equal(data.targets, Y)
    if name == "Corel5k":
        assert (data.targets[:train] == 1).sum(axis=0).tolist().count(0) == 3
        assert (data.targets[train:] == 1).sum(axis=0).tolist().count(0) == 111


def test_a_set_is_found_below_the_data_root_and_gets_its_validation_split(shared_data):
    data = load_data("arff/emotions-train.arff", root=shared_data)
    assert {name: len(rows) for name, rows in data.split.items()} == {
        "train": 313,
        "validation": 78,
        "test": 202,
    }


def outcome(folder, content):
    """Parse some bytes: the data, or the refusal, which names the file; nothing else may come."""
    path = folder / "fuzz.arff"
    path.write_bytes(content)
    (folder / "fuzz.xml").write_text(labels_xml("a", "b"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return read(path, PLAIN)
        except FairPOFileError as error:
            message = str(error)
    assert "fuzz.arff" in message
    return None


@pytest.fixture(scope="module")
def fuzz_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    yield folder
    shutil.rmtree(folder)


FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
VALID = [
    document(),
    document(rows=["{0 0.5,3 1}", "{}", "{1 -2, 2 1}"]),
    document(
        attributes=("'c, d' {red,'dark, green',blue}", "x numeric", "a {no,yes}", "b {0,1}"),
        rows=["red,1,no,1", "'dark, green',-2.5e3,yes,?", "% note", "", 'blue,0,"no",0'],
        relation="'m: -C -2'",
    ),
]


@FUZZ
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_arbitrary_content_is_refused_by_name(fuzz_folder, content):
    assert outcome(fuzz_folder, content) is None


@FUZZ
@given(
    body=st.text(
        st.sampled_from("@%{}'\"\\,? 01ab.-e\n\t\r\x0b\x85İ²٣_") | st.characters(codec="utf-8")
    ),
    head=st.sampled_from(["", "@relation r\n", document(rows=[]), document(rows=["{0 1}"])]),
)
def test_arbitrary_rows_parse_or_are_refused_by_name(fuzz_folder, head, body):
    data = outcome(fuzz_folder, (head + body).encode())
    if data is not None:
        assert np.isfinite(data.features).all() and np.isin(data.targets, (-1, 0, 1)).all()


@FUZZ
@given(data=st.data(), text=st.sampled_from(VALID))
def test_mutated_files_parse_or_are_refused_by_name(fuzz_folder, data, text):
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["drop", "replace", "cut", "double"]))
        if kind == "cut":
            text = text[: data.draw(st.integers(0, len(text)))]
        elif kind == "replace" and text:
            at = data.draw(st.integers(0, len(text) - 1))
            new = data.draw(st.sampled_from("{}'\",?%@\\ 019-.xe\n\0\u0663"))
            text = text[:at] + new + text[at + 1 :]
        else:
            lines = text.split("\n")
            at = data.draw(st.integers(0, len(lines) - 1))
            lines[at : at + 1] = [] if kind == "drop" else [lines[at]] * 2
            text = "\n".join(lines)
    parsed = outcome(fuzz_folder, text.encode())
    if parsed is not None:
        assert parsed.n_rows > 0 and parsed.label_names == ("a", "b")
        assert np.isfinite(parsed.features).all() and np.isin(parsed.targets, (-1, 0, 1)).all()


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@FUZZ
@given(
    rows=st.lists(
        st.tuples(numbers, numbers, st.sampled_from("01"), st.sampled_from("01")),
        min_size=1,
        max_size=6,
    )
)
def test_dense_and_sparse_forms_of_the_same_rows_are_equal_and_equal_scipys(fuzz_folder, rows):
    dense = document(rows=[f"{x!r},{y!r},{a},{b}" for x, y, a, b in rows])
    sparse_rows = ["{" + f"3 {b}, 1 {y!r},2 {a},0 {x!r}" + "}" for x, y, a, b in rows]
    first = outcome(fuzz_folder, dense.encode())
    second = outcome(fuzz_folder, document(rows=sparse_rows).encode())
    table, _ = scipy_arff.loadarff(io.StringIO(dense))
    assert np.array_equal(first.features, np.column_stack([table["x"], table["y"]]).astype("f4"))
    assert np.array_equal(first.targets, np.column_stack([table["a"], table["b"]]).astype(int))
    assert np.array_equal(first.features, second.features)
    assert np.array_equal(first.targets, second.targets)
