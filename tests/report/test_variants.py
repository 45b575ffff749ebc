"""The page of a study of several variants, and the section of a sweep."""

import json
import re

import pytest

from fairpo.report import render_report
from fairpo.report.comparison import comparison_charts
from fairpo.report.markdown import render_markdown
from fairpo.report.variants import labels_of_variants, variant_rows, variants_charts
from tests.report.examples import (
    EVIL,
    example,
    outline,
    specs,
    study_of,
    sweep_of,
    text_of,
    with_evidence,
)

GROUPS = ("privileged", "non-privileged")
NAMES = ["rarest:10%", "rarest:20%", "worst:5"]
GRID = {"beta": [0.1, 1, 10], "head": ["mlp", "linear"]}


def sensitivity():
    names = ["as given", *(f"{name}={value}" for name, values in GRID.items() for value in values)]
    return study_of(names, "sensitivity", GRID)


def test_every_picture_has_its_place_and_every_table_a_caption():
    pictures = {f"variants-{group}" for group in GROUPS} | {"labels-of-variant"}
    along = {f"setting-{name}-{group}" for name in GRID for group in GROUPS} | {"labels-of-variant"}
    for study, wanted in ((study_of(NAMES), pictures), (sensitivity(), along)):
        page = render_report(study)
        found = outline(page)
        places = [value for name, value in found.attributes if name == "data-chart"]
        assert set(places) == set(specs(page)) == wanted
        assert page.count('role="img" aria-label="Change of') == len(wanted)
        assert found.tags.count("table") == found.tags.count("caption")
        assert not re.findall(r"<th(?![^>]*scope=)[ >]", page)
        assert not [v for n, v in found.attributes if n in ("src", "href") and v[0] != "#"]


def test_methods_are_against_the_reference():
    text = text_of(render_report(study_of(NAMES)))
    assert "each against that seed's reference model (bce)." in text


def test_every_picture_keeps_to_the_schema():
    made = with_evidence(example(70))
    pages = [comparison_charts(made), comparison_charts({**example(), "sweep": sweep_of()})]
    for drawn in (*pages, variants_charts(study_of(NAMES)), variants_charts(sensitivity())):
        for chart in drawn.values():
            chart.to_dict(validate=True)


def test_a_row_for_each_variant_and_method_leads_to_its_section():
    study = study_of(NAMES)
    page = render_report(study)
    rows = variant_rows(study)
    assert [(row["variant"], row["method"]) for row in rows] == [
        (name, method) for name in NAMES for method in ("bce-continued", "fairpo-dpo")
    ]
    for place, name in enumerate(NAMES):
        assert page.count(f'<a href="#variant-{place}">{name}</a>') == 2
        assert f'id="variant-{place}"' in page
    assert {row["labels"] for row in rows} == {2}


def test_only_what_can_be_told_from_chance_is_counted():
    study = study_of(NAMES)
    for variant in study["variants"]:
        variant["metrics"] = with_evidence(variant["metrics"])
        against = variant["metrics"]["claims"]["against"]["reference"]
        for place, row in enumerate(variant["metrics"]["rows"]):
            cell = row["cells"]["map/privileged"]
            cell |= {"difference": 0.03, "low": 0.02, "high": 0.04, "excludes_zero": True}
            row["cells"]["map/non_privileged"] |= {"excludes_zero": False}
            assert place < 6
        against["fairpo-dpo"] = {"map/privileged": {"difference": 0.03, "p": 0.9, "p_holm": 0.9}}
    text = text_of(render_report(study))
    told = "bce-continued: of 3 variants, privileged mAP rose in 3; non-privileged mAP changed in"
    assert told in text
    assert "fairpo-dpo: of 3 variants, privileged mAP changed in none;" in text


def test_the_last_epoch_is_shown_where_the_reference_was_returned():
    study = study_of(NAMES, back=1.0)
    for variant in study["variants"]:
        for row in variant["metrics"]["rows"]:
            if row["epoch"] == "selected" and row["method"] != "bce":
                for cell in row["cells"].values():
                    cell |= {"difference": 0.0, "low": 0.0, "high": 0.0, "excludes_zero": False}
    page = render_report(study)
    assert "the reference was returned in every seed in 3." in text_of(page)
    drawn = json.dumps(specs(page)["variants-privileged"])
    assert '"epoch": "last"' in drawn
    assert '"epoch": "selected"' not in drawn
    last = study["variants"][0]["metrics"]["rows"][3]["cells"]["map/privileged"]["difference"]
    assert f'"difference": {round(100 * last, 3)}' in drawn
    assert "reference; last epoch" in text_of(page)


def test_values_of_a_setting_lie_on_a_scale_that_fits_them():
    page = specs(render_report(sensitivity()))
    assert '"type": "log"' in json.dumps(page["setting-beta-privileged"])
    assert '"type": "nominal"' in json.dumps(page["setting-head-privileged"])
    along = [
        point["value"]
        for layer in page["setting-beta-privileged"]["layer"]
        for point in layer.get("data", {}).get("values", [])
        if "value" in point
    ]
    assert set(along) == {0.1, 1, 10}


def test_labels_of_all_variants_are_stored_once():
    study = study_of(NAMES)
    study["variants"][1]["metrics"]["per_label"][0]["groups"] = []
    del study["variants"][1]["metrics"]["per_label"][5]  # not listed there
    found = labels_of_variants(study)
    assert [label for label, *_ in found["labels"]] == [f"label {k}" for k in range(8)]
    assert found["methods"] == ["bce-continued", "fairpo-dpo"]
    row = study["variants"][2]["metrics"]["per_label"][4]
    assert found["variants"][2]["after"][1][4] == pytest.approx(100 * row["ap"]["fairpo-dpo"], 0.01)
    assert found["variants"][2]["before"][3] is None
    assert found["variants"][1]["before"][5] is None
    assert found["variants"][1]["group"][:2] == [-1, 0]


def test_a_method_without_a_result_in_a_variant_is_left_out_there():
    study = study_of(NAMES)
    metrics = study["variants"][1]["metrics"]
    metrics["rows"] = [row for row in metrics["rows"] if row["method"] != "fairpo-dpo"]
    for row in metrics["per_label"]:
        del row["ap"]["fairpo-dpo"]
    assert len(variant_rows(study)) == 5
    assert set(labels_of_variants(study)["variants"][1]["after"][1]) == {None}
    assert "of 2 variants" in text_of(render_report(study))


def test_names_are_escaped():
    study = study_of([EVIL, f"a={EVIL}"], evil=True)
    study["notes"] = [EVIL]
    page = render_report(study)
    assert outline(page).tags.count("script") == 4
    assert EVIL not in page


def test_a_sweep_shows_its_trials():
    for metrics in (example(), study_of(["as given", "trial 4"], "sweep")):
        page = render_report({**metrics, "sweep": sweep_of()})
        assert "trials" in specs(page)
        text = text_of(page)
        assert "The search: 6 trials of fairpo-dpo" in text
        assert "4, chosen, on the front" in text
        assert "5, fail" in text
        assert "beta 75%, weight-rule 25%" in text
        assert 'id="sweep"' not in render_report(metrics)


def test_a_sweep_that_chose_nothing_says_why():
    metrics = {**example(), "sweep": sweep_of()}
    assert "<b>Note:</b>" not in render_report(metrics)
    reason = "no trial beat the reference on validation within tolerance."
    metrics["sweep"] |= {"chosen": [], "notes": [reason, EVIL]}
    page = render_report(metrics)
    assert f"Note: {reason}" in text_of(page)
    assert "as given" not in text_of(page)
    assert EVIL not in page
    assert f"- {reason}\n" in render_markdown(metrics)


def test_a_sweep_in_which_nothing_could_be_compared_has_no_picture():
    sweep = sweep_of()
    sweep["reference"]["privileged"] = None
    page = render_report({**example(), "sweep": sweep})
    assert "trials" not in specs(page)
    assert 'id="trial-table"' in page
