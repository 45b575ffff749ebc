"""The sections behind the figures: tests, warning signs, one label at a time, calibration."""

import json
import re

import numpy as np
import pytest

from fairpo.report import render_report
from fairpo.report.charts import front_line
from fairpo.report.evidence import score_rows
from tests.report.examples import EIGHT, EVIL, example, outline, specs, text_of, with_evidence


def told(metrics, method, key, p, difference=0.03):
    """The same figures with an interval that excludes 0, and this p of its test."""
    for row in metrics["rows"]:
        if row["method"] == method:
            row["cells"][key] |= {
                "difference": difference,
                "low": difference - 0.01,
                "high": difference + 0.01,
                "excludes_zero": True,
            }
    cell = {"difference": difference, "p": p, "p_holm": p}
    against = metrics["claims"]["against"]["reference"]
    against[method] = {**against[method], key: cell}
    return metrics


def test_every_new_picture_has_its_table():
    page = render_report(with_evidence(example()))
    found = outline(page)
    pictures = {
        "scores-true",
        "scores-other",
        "calibration-privileged",
        "calibration-non-privileged",
    }
    places = {value for name, value in found.attributes if name == "data-chart"}
    assert pictures <= places
    assert set(specs(page)) == places
    assert found.tags.count("table") == found.tags.count("caption")
    for name in ("score-table", "confusion-table", "curve-table"):
        assert f'id="{name}"' in page
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", page)


def test_figures_without_evidence_have_no_such_sections():
    for metrics in (example(), {**example(), "evidence": None, "claims": None}):
        page = render_report(metrics)
        assert 'id="scores"' not in page
        assert 'id="calibration"' not in page
        assert "Tests: can the change" not in page


def test_a_run_of_the_reference_alone_shows_its_calibration():
    metrics = with_evidence(example(methods=("bce", "fairpo-dpo")))
    metrics["rows"] = metrics["rows"][:2]
    metrics["trace"] = []
    metrics["evidence"]["models"] = metrics["evidence"]["models"][:1]
    metrics["evidence"]["calibration"] = metrics["evidence"]["calibration"][:1]
    metrics["evidence"]["slices"] = []
    metrics["claims"] = {
        "n_permutations": 100,
        "best_baseline": None,
        "against": {"reference": {}, "best_baseline": {}},
        "labels": {},
    }
    page = render_report(metrics)
    assert 'id="calibration"' in page
    assert 'id="scores"' not in page


def test_a_rise_that_its_test_does_not_support_is_no_claim():
    metrics = told(with_evidence(example()), "fairpo-dpo", "map/privileged", 0.2)
    metrics = told(metrics, "bce-continued", "map/privileged", 0.06)
    text = text_of(render_report(metrics))
    assert "For none of the 2 methods can a rise of privileged mAP be told from chance." in text
    assert (
        "fairpo-dpo: privileged mAP shows no change that can be told from chance "
        "(+3.0 points, +2.0 to +4.0, p = 0.200)"
    ) in text
    metrics = told(metrics, "fairpo-dpo", "map/privileged", 0.0004)
    text = text_of(render_report(metrics))
    assert "chance is that of fairpo-dpo: +3.0 points (95% interval +2.0 to +4.0)" in text
    assert "privileged mAP rose (+3.0 points, +2.0 to +4.0, p < 0.001)" in text


def test_last_epochs_of_returned_methods_are_not_tested():
    metrics = with_evidence(example(back=1.0))
    found = re.findall(r"where it ended, (.*?tested)\.", text_of(render_report(metrics)))
    assert len(found) == 2
    for words in found:
        assert words.count("not tested") == 2
        assert not re.search(r"rose|fell|better|worse|improved", words)


def test_labels_that_a_test_tells_from_chance_are_marked():
    metrics = with_evidence(example())
    page = render_report(metrics)
    assert 'aria-label="told from chance"' not in page
    metrics["claims"]["labels"]["fairpo-dpo"][2] = 0.01
    page = render_report(metrics)
    row = re.search(r'<tr><th scope="row" class="name">label 2</th>.*?</tr>', page, re.S).group()
    assert page.count('aria-label="told from chance"') == row.count("told from chance") == 1
    # of very many labels only some are listed: their tests cannot be told apart
    metrics["data"]["n_labels"] += 1
    assert 'aria-label="told from chance"' not in render_report(metrics)


def test_warning_signs_stand_first_or_are_said_to_be_missing():
    metrics = with_evidence(example())
    assert "Looked for and not found" in text_of(render_report(metrics))
    metrics["evidence"]["warnings"] = [
        {"kind": "saturation", "method": EVIL, "text": f"the weight of {EVIL} ended at 0.99."}
    ]
    page = render_report(metrics)
    assert page.index('id="signs"') < page.index('id="table"')
    assert "Looked for and not found" not in page
    assert outline(page).tags.count("script") == 4


def test_labels_are_escaped_wherever_they_are_named():
    page = render_report(with_evidence(example(evil=True)))
    assert outline(page).tags.count("script") == 4
    assert EVIL not in page
    stored = re.search(r'id="evidence">(.*?)</script>', page, re.S).group(1)
    assert json.loads(stored)[0]["label"] == EVIL
    assert page.count("&lt;/script&gt;&lt;script&gt;alert(") >= 4  # tables and a select


def test_slices_stand_beside_the_reference():
    metrics = with_evidence(example())
    metrics["evidence"]["slices"][0]["categories"][1]["models"][2]["map/privileged"] = None
    page = render_report(metrics)
    text = text_of(page.replace("</td>", " </td>").replace("</th>", " </th>"))
    changed = " ".join(["52.0 +2.0"] * 4)
    assert f"hall label 0 fairpo-dpo 20 7 7 {changed}" in text
    assert f"yard label 0 fairpo-dpo 21 8 8 \u2013 {changed[10:]}" in text
    assert "hall label 0 reference (bce) 20 7 7 50.0 50.0" in text
    del metrics["evidence"]["slices"]
    assert 'id="slices"' not in render_report(metrics)


def test_score_rows_are_shares_of_the_rows_of_their_truth():
    evidence = with_evidence(example())["evidence"]
    evidence["labels"][1]["scores"][0]["1"] = [0] * 20
    rows = score_rows(evidence, 1, 0)
    assert [row["from"] for row in rows] == pytest.approx(np.arange(20) / 20)
    assert [row["n_after_0"] for row in rows] == evidence["labels"][1]["scores"][1]["0"]
    assert sum(row["after_1"] for row in rows) == pytest.approx(1, abs=1e-3)
    assert {row["before_1"] for row in rows} == {0}


def test_the_method_that_rose_most_is_shown_first():
    metrics = told(with_evidence(example(methods=EIGHT)), "group-dro", "map/privileged", 0.001, 0.2)
    page = render_report(metrics)
    place = EIGHT.index("group-dro")
    assert f'<option value="{place - 1}" selected>group-dro</option>' in page
    assert f'<option value="{place}" selected>group-dro</option>' in page  # after the reference
    parameters = specs(page)["calibration-privileged"]["params"]
    assert {"name": "model", "value": place} in parameters


def test_a_page_with_all_evidence_stays_below_a_megabyte_and_a_half():
    metrics = with_evidence(example(80, methods=EIGHT, steps=40), n_labels=40)
    assert len(render_report(metrics).encode()) < 1_500_000


def test_the_front_is_what_nothing_beats_in_both():
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 40):
        points = [{"x": float(x), "y": float(y)} for x, y in rng.integers(-4, 5, (count, 2))]
        everything = [*points, {"x": 0.0, "y": 0.0}]

        def beaten(a, others):
            return any(
                b["x"] >= a["x"] and b["y"] >= a["y"] and (b["x"] > a["x"] or b["y"] > a["y"])
                for b in others
            )

        slow = {(p["x"], p["y"]) for p in everything if not beaten(p, everything)}
        front = [(p["x"], p["y"]) for p in front_line(points)]
        assert front == sorted(slow)
