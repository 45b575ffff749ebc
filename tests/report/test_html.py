import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fairpo._checks import FairPOFileError
from fairpo.report import render_report, write_report
from fairpo.report.charts import MANY_LABELS

EVIL = "</script><script>alert('x')</script>"


def example(n_labels=8, evil=False, back=0.0):
    rng = np.random.default_rng(0)
    names = [f"label {k}" for k in range(n_labels)]
    if evil:
        names[0] = EVIL
    groups = ["privileged", "non_privileged"]

    def cell(reference):
        if reference:
            return {
                "value": 0.5,
                "difference": None,
                "low": None,
                "high": None,
                "excludes_zero": False,
            }
        d = float(rng.normal(0, 0.02))
        low, high = d - 0.01, d + 0.01
        return {
            "value": 0.5 + d,
            "difference": d,
            "low": low,
            "high": high,
            "excludes_zero": low > 0 or high < 0,
        }

    metrics = ["map", "sample_f1", "label_accuracy", "exact_match"]
    methods = ["bce", "bce-continued", "fairpo-dpo"]
    return {
        "kind": "comparison",
        "title": "example",
        "data": {
            "name": "example",
            "n_rows": {"train": 9, "validation": 5, "test": 7},
            "n_features": 3,
            "n_labels": n_labels,
            "clusters": None,
        },
        "privileged": {"spec": "rarest:20%"},
        "groups": [
            {"name": "privileged", "role": "improve", "labels": names[:2]},
            {"name": "non_privileged", "role": "protect", "labels": names[2:]},
        ],
        "reference_method": "bce",
        "preset": "paper-v1",
        "seeds": [0, 1],
        "version": "0",
        "command": f"fairpo compare {EVIL if evil else 'x'}",
        "settings": {"training": {"epochs": 2}},
        "metrics": metrics,
        "interval": {"level": 0.95, "kind": "paired bootstrap over test rows", "n_resamples": 100},
        "rows": [
            {
                "method": m,
                "summary": m,
                "epoch": e,
                "fell_back_share": None if m == "bce" else back,
                "seconds": 1.0,
                "cells": {
                    f"{k}/{g}": cell(m == "bce" and e == "selected")
                    for k in metrics
                    for g in groups
                },
            }
            for m in methods
            for e in ("selected", "last")
        ],
        "per_label": [
            {
                "label": name,
                "groups": [groups[k > 1]],
                "train_positives": k + 1,
                "test_positives": k,
                "reference_ap": None if k == 3 else 0.4,
                "ap": {m: None if k == 3 else 0.5 for m in methods},
                "ap_last": {m: None if k == 3 else 0.3 for m in methods},
            }
            for k, name in enumerate(names)
        ],
        "trace": [
            {
                "method": m,
                "seed": s,
                "step": t,
                "epoch": t / 4,
                "group_weights": dict(zip(groups, (0.5, 0.5), strict=True)),
                "group_losses": dict(zip(groups, (0.7, 0.0), strict=True)),
            }
            for m in methods[1:]
            for s in (0, 1)
            for t in range(8)
        ],
        "undefined": {
            "labels_without_positives": [names[3]],
            "rows_without_f1": {"privileged": 3, "non_privileged": 0},
        },
        "notes": [f"a note on {names[0]}"],
    }


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def outline(page):
    parser = Outline()
    parser.feed(page)
    return parser


def specs(page):
    return json.loads(re.search(r'id="specs">(.*?)</script>', page, re.S).group(1))


def test_every_picture_has_its_table():
    page = render_report(example())
    found = outline(page)
    assert found.tags.count("table") == found.tags.count("caption") == 4
    assert set(specs(page)) == {"trade-off", "labels-0", "labels-1", "weights", "losses"}
    places = [value for name, value in found.attributes if name == "data-chart"]
    assert places == ["trade-off", "weights", "losses"]


def test_nothing_is_fetched():
    found = outline(render_report(example()))
    assert "link" not in found.tags and "img" not in found.tags and "iframe" not in found.tags
    assert not [name for name, _ in found.attributes if name in ("src", "href")]


def test_text_from_data_is_escaped():
    plain, evil = (outline(render_report(example(evil=flag))) for flag in (False, True))
    assert plain.tags.count("script") == evil.tags.count("script") == 3
    page = render_report(example(evil=True))
    assert EVIL not in page
    rows = specs(page)["labels-0"]
    assert EVIL in json.dumps(rows)  # the chart shows the name, as text


def test_claims_need_an_interval_that_excludes_zero():
    metrics = example()
    for row in metrics["rows"]:
        for cell in row["cells"].values():
            cell["excludes_zero"] = False
    page = render_report(metrics)
    assert "cannot be told apart" in page
    assert " rose (" not in page and " fell (" not in page
    assert '<span class="marked">' not in page


def test_the_last_epoch_is_drawn_where_the_reference_was_returned():
    page = render_report(example(back=1.0))
    assert "fairpo-dpo, last epoch (the reference was returned)" in page
    assert "no gain found on validation, so the reference was returned" in page
    assert (
        {row["after"] for row in specs(page)["labels-0"]["layer"][0]["data"]["values"]} == {30.0}
        if "data" in specs(page)["labels-0"]["layer"][0]
        else True
    )


def test_undefined_labels_are_named_and_not_drawn():
    page = render_report(example())
    assert "1 labels have no test positive and are in no mAP: label 3" in page
    text = json.dumps(specs(page)["labels-0"])
    assert '"label 4"' in text and '"label 3"' not in text


def test_many_labels_are_drawn_as_points():
    page = render_report(example(MANY_LABELS + 5))
    assert "symlog" in json.dumps(specs(page)["labels-0"])
    assert 'id="find"' in page


def test_a_run_without_a_trained_method():
    metrics = example()
    metrics["rows"] = metrics["rows"][:2]
    metrics["trace"] = []
    page = render_report({**metrics, "kind": "run"})
    assert "bce was trained" in page


def test_files(tmp_path):
    with pytest.raises(FairPOFileError, match=r"metrics\.json: cannot be read"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(
        FairPOFileError, match=r"metrics\.json: does not hold the figures of a report"
    ):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(example()))
    page = write_report(tmp_path)
    assert page.stat().st_size < 1_300_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "report.html"]
