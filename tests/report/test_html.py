import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from fairpo._checks import FairPOFileError
from fairpo.report import render_report, write_report
from fairpo.report.charts import MANY_LABELS
from fairpo.report.markdown import render_markdown
from fairpo.report.rows import LONGEST_LINE, trade_off_points
from tests.report.examples import (
    EIGHT,
    EVIL,
    THREE,
    example,
    outline,
    specs,
    text_of,
    with_evidence,
)


def all_cells(metrics):
    return [cell for row in metrics["rows"] for cell in row["cells"].values()]


def row_of(metrics, method, epoch="selected"):
    return next(r for r in metrics["rows"] if (r["method"], r["epoch"]) == (method, epoch))


def test_every_picture_has_its_table():
    page = render_report(example())
    found = outline(page)
    assert found.tags.count("table") == found.tags.count("caption")
    pictures = {"trade-off", "labels"}
    pictures |= {f"{what}-{method}" for what in ("weight", "loss") for method in THREE[1:]}
    places = [value for name, value in found.attributes if name == "data-chart"]
    assert set(specs(page)) == set(places) == pictures
    assert page.count('role="img" aria-label="') >= len(pictures)
    for words in ("What each method did", "The same as a table", "Some of it as a table"):
        assert words in page


def test_sections_stand_in_their_order():
    page = render_report(example())
    ids = ("table", "trade-off", "labels", "weights", "notes", "again")
    places = [page.index(f'<h2 id="{name}"') for name in ids]
    assert places == sorted(places)
    assert page.index('class="lead"') < places[0]


def test_headings_of_tables_have_a_scope():
    page = render_report(example())
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", page)


def test_nothing_is_fetched():
    page = render_report(example())
    found = outline(page)
    assert "link" not in found.tags
    assert "img" not in found.tags
    assert "iframe" not in found.tags
    places = [value for name, value in found.attributes if name in ("src", "href")]
    assert all(place.startswith("#") for place in places)
    assert "default-src 'none'" in page  # the browser itself refuses what a script might try
    assert "http" not in json.dumps(specs(page))
    assert "@import" not in page
    assert "url(http" not in page


def test_the_runtime_stands_once_and_the_page_stays_small():
    page = render_report(example(30, methods=EIGHT, steps=40))
    assert page.count("window.vegaEmbed=") == 1
    assert len(page.encode()) < 1_300_000


def test_text_from_data_is_escaped():
    plain, evil = (outline(render_report(example(evil=flag))) for flag in (False, True))
    assert plain.tags.count("script") == evil.tags.count("script") == 3
    page = render_report(example(evil=True))
    assert EVIL not in page
    assert EVIL in json.dumps(specs(page)["labels"])  # the chart shows the name, as text
    assert "&lt;/script&gt;&lt;script&gt;alert(" in page  # and so does the table


def test_text_from_elsewhere_is_escaped_too():
    metrics = example()
    metrics["title"] = metrics["notes"][0] = metrics["data"]["name"] = EVIL
    metrics["settings"] = {EVIL: {EVIL: [EVIL]}}
    for row in metrics["rows"]:
        row["summary"] = EVIL
    found = outline(render_report(metrics))
    assert found.tags.count("script") == 3
    assert found.tags.count("h1") == 1


def test_claims_need_an_interval_that_excludes_zero():
    metrics = example()
    for cell in all_cells(metrics):
        cell["excludes_zero"] = False
    page = render_report(metrics)
    text = text_of(page)
    assert "For none of the 2 methods can a rise of privileged mAP be told from chance." in text
    assert "privileged mAP shows no change that can be told from chance (" in text
    assert not re.search(r"\b(rose|fell|better|worse|improved)\b", text)
    assert '<span class="marked">' not in page
    assert 'class="sign"' not in page


def test_the_headline_names_the_largest_rise():
    metrics = example()
    for method, change in (("bce-continued", 0.031), ("fairpo-dpo", 0.042)):
        cells = row_of(metrics, method)["cells"]
        cells["map/privileged"] |= {
            "difference": change,
            "low": 0.01,
            "high": 0.06,
            "excludes_zero": True,
        }
        cells["map/non_privileged"] |= {
            "difference": -0.02,
            "low": -0.03,
            "high": -0.01,
            "excludes_zero": True,
        }
    text = text_of(render_report(metrics))
    assert (
        "Of 2 methods, the largest rise of privileged mAP that can be told from chance is that of "
        "fairpo-dpo: +4.2 points "
        "(95% interval +1.0 to +6.0). "
        "Its non-privileged mAP fell (\u22122.0 points, \u22123.0 to \u22121.0)."
    ) in text


def test_a_fall_is_never_the_headline():
    metrics = example()
    for row in metrics["rows"]:
        row["cells"]["map/privileged"] |= {
            "difference": -0.02,
            "low": -0.03,
            "high": -0.01,
            "excludes_zero": True,
        }
    assert "For none of the 2 methods" in text_of(render_report(metrics))


@pytest.mark.parametrize(
    ("low", "text"),
    [
        (0.0006, "(+0.7 points, +0.1 to +1.1)"),
        (0.0003, "(+0.70 points, +0.03 to +1.10)"),
        (0.00002, "(+0.700 points, +0.002 to +1.100)"),
    ],
)
def test_an_end_that_excludes_zero_is_not_rounded_to_it(low, text):
    metrics = example()
    cell = row_of(metrics, "fairpo-dpo")["cells"]["map/privileged"]
    cell |= {"difference": 0.007, "low": low, "high": 0.011, "excludes_zero": True}
    assert text in text_of(render_report(metrics))


def test_a_change_that_rounds_to_zero_has_no_sign():
    metrics = example()
    cell = row_of(metrics, "fairpo-dpo")["cells"]["map/privileged"]
    cell |= {"difference": -0.0001, "low": -0.002, "high": 0.0019, "excludes_zero": False}
    assert "(0.0 points, \u22120.2 to +0.2)" in text_of(render_report(metrics))


def test_undefined_cells_are_dashes():
    metrics = example()
    for row in metrics["rows"]:
        row["cells"]["map/privileged"] = {
            "value": None,
            "difference": None,
            "low": None,
            "high": None,
            "excludes_zero": False,
        }
    page = render_report(metrics)
    assert "privileged mAP undefined" in page
    assert "trade-off" not in specs(page)
    assert "<td>\u2013 </td>" in page


def test_a_last_epoch_that_scores_the_same_is_not_repeated():
    metrics = example()
    last, selected = (row_of(metrics, "fairpo-dpo", epoch) for epoch in ("last", "selected"))
    last["cells"] = selected["cells"]
    page = render_report(metrics)
    assert page.count("selected, last") == 1
    assert [(p["method"], p["epoch"]) for p in trade_off_points(metrics)] == [
        ("bce-continued", "selected"),
        ("bce-continued", "last"),
        ("fairpo-dpo", "selected"),
    ]


def test_the_last_epoch_is_drawn_where_the_reference_was_returned():
    metrics = example(back=1.0)
    page = render_report(metrics)
    assert "fairpo-dpo, last epoch (the reference was returned)" in page
    assert "no gain found on validation, so the reference was returned" in page
    assert ">fairpo-dpo (last)</button>" in page
    assert "2 of 2" in page
    for row in specs(page)["labels"]["data"]["values"]:
        assert row["after"] == pytest.approx([row["before"] - 10] * 2, abs=0.011)
    assert {point["epoch"] for point in trade_off_points(metrics)} == {"last"}


def test_a_share_of_seeds_is_said():
    text = text_of(render_report(example(back=0.5)))
    assert "the reference was returned in 1 of 2 seeds" in text


def test_files_without_last_epochs_of_labels_are_read():
    metrics = example(back=1.0)
    for row in metrics["per_label"]:
        del row["ap_last"]
    row = specs(render_report(metrics))["labels"]["data"]["values"][0]
    assert row["after"] == pytest.approx([row["before"] + 10] * 2, abs=0.011)


def test_undefined_labels_are_named_and_not_drawn():
    page = render_report(example())
    assert "1 label without a test positive, in no mAP: label 3." in page
    text = json.dumps(specs(page)["labels"])
    assert '"label 4"' in text
    assert '"label 3"' not in text
    assert "3 test rows have neither a true nor a predicted privileged label" in page
    assert "0 test rows" not in page


def test_many_labels_are_drawn_as_points():
    few, many = (render_report(example(n)) for n in (MANY_LABELS, MANY_LABELS + 5))
    assert "symlog" not in json.dumps(specs(few)["labels"])
    assert "symlog" in json.dumps(specs(many)["labels"])
    assert 'class="scroll tall"' in many
    for page in (few, many):
        assert 'id="find"' in page  # every table of labels can be searched


def test_a_thousand_labels_still_make_a_page():
    page = render_report(example(1000, methods=EIGHT))
    assert len(page.encode()) < 1_800_000
    assert "800 labels" in page


def test_long_traces_are_averaged_over_windows():
    metrics = example(steps=5 * LONGEST_LINE)
    page = render_report(metrics)
    rows = specs(page)["weight-bce-continued"]["data"]["values"]
    assert len(rows) == LONGEST_LINE * 2 * 2  # seeds, groups
    assert "averaged over windows" in page
    drawn = np.mean([row["value"] for row in rows if row["group"] == "privileged"])
    given = np.mean([point["group_weights"]["privileged"] for point in metrics["trace"]])
    assert drawn == pytest.approx(given, abs=1e-4)


def test_a_best_baseline_that_nothing_was_compared_with_has_no_columns():
    metrics = with_evidence(example())
    assert "against bce-continued" in text_of(render_report(metrics))
    assert "against bce-continued" in render_markdown(metrics)
    metrics["claims"]["against"]["best_baseline"] = {}  # it is the only method
    assert "against bce-continued" not in text_of(render_report(metrics))
    assert "against bce-continued" not in render_markdown(metrics)


def test_intervals_over_seeds_are_shown_where_there_are_some():
    metrics = example()
    assert "seeds: " not in render_report(metrics)
    for row in metrics["rows"]:
        for cell in row["cells"].values():
            cell |= {"seeds_low": -0.01, "seeds_high": 0.02}
    assert "seeds: \u22121.00 to +2.00" in render_report(metrics)


def test_one_group_has_no_trade_off():
    metrics = example()
    metrics["groups"] = metrics["groups"][:1]
    for row in metrics["per_label"][1:]:
        row["groups"] = []
    page = render_report(metrics)
    assert "trade-off" not in specs(page)
    assert 'id="trade-off"' not in page
    assert "no group" in page


def test_more_than_two_groups():
    metrics = example()
    metrics["groups"].append({"name": "third", "role": "protect", "labels": []})
    for row in metrics["rows"]:
        row["cells"] |= {
            f"{metric}/third": {**row["cells"]["map/non_privileged"]}
            for metric in metrics["metrics"]
        }
    page = render_report(metrics)
    assert page.count(">third</th>") >= 4
    assert "no label" in page


def test_a_run_of_one_method_says_its_verdict_first():
    metrics = example(methods=("bce", "fairpo-dpo"))
    text = text_of(render_report({**metrics, "kind": "run", "seeds": [0]}))
    against = "One method was trained on example with 1 seed, against the reference model (bce), to"
    assert against in text
    assert text.count("fairpo-dpo: privileged mAP") == 1


def test_no_method_is_said_to_start_from_the_reference_that_may_not():
    methods = ("bce", "kernel-ridge", "fairpo-crossfit")
    text = text_of(render_report(example(methods=methods)))
    assert "each against that seed's reference model (bce), to improve" in text
    assert "starting from" not in text


def test_a_run_without_a_trained_method():
    metrics = example()
    metrics["rows"] = metrics["rows"][:2]
    metrics["trace"] = []
    page = render_report({**metrics, "kind": "run"})
    assert "The reference, bce, was trained" in page
    assert "there is no change to report" in page
    assert 'id="labels"' not in page


def test_files(tmp_path):
    with pytest.raises(FairPOFileError, match="does not hold the figures of a report"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(
        FairPOFileError, match=r"metrics\.json: does not hold the figures of a report"
    ):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(example()))
    page = write_report(tmp_path)
    assert page == tmp_path / "report.html"
    assert page.stat().st_size < 1_300_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "report.html"]


@pytest.mark.parametrize("broken", ["", "[]", "null", "not json", '{"rows": 3}', "NaN"])
def test_broken_files_are_named_and_leave_nothing_behind(tmp_path, broken):
    (tmp_path / "metrics.json").write_text(broken)
    with pytest.raises(FairPOFileError, match=r"metrics\.json: does not hold the figures"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("key", sorted(set(example()) - {"kind"}))
def test_every_missing_part_is_a_file_error(tmp_path, key):
    metrics = example()
    del metrics[key]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(FairPOFileError, match=rf"metrics\.json: .*{key}"):
        write_report(tmp_path)


def test_text_that_is_not_utf8_is_a_file_error(tmp_path):
    (tmp_path / "metrics.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FairPOFileError, match=r"metrics\.json: cannot be read"):
        write_report(tmp_path)


def test_a_failed_write_keeps_the_old_report(tmp_path, monkeypatch):
    (tmp_path / "metrics.json").write_text(json.dumps(example()))
    (tmp_path / "report.html").write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_figures_make_the_same_page():
    assert render_report(example()) == render_report(example())


def test_figures_are_not_changed():
    metrics = example(evil=True)
    before = json.dumps(metrics)
    render_report(metrics)
    assert json.dumps(metrics) == before


def test_rendering_needs_no_torch(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(example()))
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from fairpo.report import write_report\n"
        "write_report(Path(sys.argv[1]))\n"
        "names = {name for name in sys.modules if name.startswith('fairpo')}\n"
        "low = {'_checks', '_files', '_markdown', '_titles', 'pareto'}\n"
        "print(sorted(names - {'fairpo', *('fairpo.' + name for name in low)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    loaded = done.stdout.strip()
    assert re.sub(r"'fairpo\.report[.a-z_]*'(, )?", "", loaded) == "[]"
