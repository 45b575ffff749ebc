"""Markdown tables hold the numbers of the page."""

import re

from fairpo.report.markdown import render_markdown
from tests.report.examples import example, study_of, with_evidence


def tables(text):
    """Lists of rows of cells, header first."""
    found = []
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.M):
        lines = [
            line.removeprefix("| ").removesuffix(" |").split(" | ")
            for line in block.strip().split("\n")
        ]
        found.append([lines[0], *lines[2:]])
    return found


def test_tables_of_a_comparison():
    metrics = with_evidence(example())
    metrics["evidence"]["warnings"] = [
        {"kind": "saturation", "method": "fairpo-dpo", "text": "the weight ended at 0.99."}
    ]
    text = render_markdown(metrics)
    main, tests, labels, calibration, slices = tables(text)
    assert [row[0] for row in main[1:]] == ["bce", "", "bce-continued", "", "fairpo-dpo", ""]
    for table in (main, tests, labels, calibration, slices):
        assert {len(row) for row in table} == {len(table[0])}
    assert tests[1][1] == "+2.00 (p = 0.004)"
    rows = {row[0]: row for row in labels[1:]}
    first = metrics["per_label"][0]
    before, after = 100 * first["reference_ap"], 100 * first["ap"]["fairpo-dpo"]
    assert rows["label 0"][4] == f"{before:.1f}"
    assert rows["label 0"][6] == f"{after:.1f} +10.0"
    assert rows["label 3"][4:] == ["-", "-", "-"]
    assert len(rows) == 8
    assert calibration[1][1:3] == ["5.12", "5.12"]
    assert slices[0][:5] == ["camera", "model", "rows", "positives P", "positives N"]
    assert slices[1][1:6] == ["reference (bce)", "20", "7", "7", "50.0"]
    assert slices[3][1:6] == ["fairpo-dpo", "20", "7", "7", "52.0 +2.0"]
    assert len(slices) == 7
    assert "- **fairpo-dpo**, saturation: the weight ended at 0.99." in text


def test_tables_of_a_study():
    study = study_of(["rarest:10%", "a|b"])
    overview, *variants = tables(render_markdown(study).replace(r"\|", "/"))
    assert len(variants) == 2
    assert [row[0] for row in overview[1:]] == ["rarest:10%", "rarest:10%", "a/b", "a/b"]
    cell = study["variants"][1]["metrics"]["rows"][4]["cells"]["map/privileged"]
    assert overview[4][4].startswith(f"{100 * cell['value']:.1f} {100 * cell['difference']:+.1f}")


def test_changes_of_labels_that_a_test_told_are_marked():
    metrics = with_evidence(example())
    metrics["claims"]["labels"]["fairpo-dpo"][0] = 0.01
    text = render_markdown(metrics)
    rows = {row[0]: row for row in tables(text)[2]}
    assert rows["label 0"][5:] == [rows["label 0"][5], rf"{rows['label 0'][5]}\*"]
    assert not any(cell.endswith("*") for cell in rows["label 1"])
    metrics["claims"] = None
    assert "corrected over labels" in text
    assert "corrected over labels" not in render_markdown(metrics)


def test_the_spread_over_seeds_stands_beside_the_changes():
    metrics = example()
    assert "## Over seeds" not in render_markdown(metrics)
    for row in metrics["rows"]:
        row["cells"]["map/privileged"] |= {"seeds_sd": 0.0123}
        row["cells"]["map/non_privileged"] |= {"seeds_low": -0.01, "seeds_high": 0.02}
    metrics["rows"][4]["cells"]["map/privileged"] |= dict.fromkeys(("difference", "low", "high"), 0)
    _, spread, _ = tables(render_markdown(metrics))
    changes = [row["cells"]["map/privileged"]["difference"] for row in metrics["rows"]]
    assert spread[0] == ["method", "epoch", "P", "N"]
    assert [row[:2] for row in spread[1:3]] == [
        ["bce-continued", "selected"],
        ["bce-continued", "last"],
    ]
    assert spread[1][2] == f"{100 * changes[2]:+.2f} (s.d. 1.23)".replace("-", "\u2212")
    assert spread[1][3].endswith("(\u22121.00 to +2.00)")
    assert spread[3][2] == "reference"


def test_a_variant_that_returned_the_reference_shows_its_last_epoch():
    study = study_of(["one"], back=1.0)
    first = study["variants"][0]["metrics"]
    first |= {"claims": with_evidence(first)["claims"]}
    for row in first["rows"]:
        if row["method"] == "bce-continued":
            row["fell_back_share"] = 0.5
    overview = tables(render_markdown(study))[0]
    selected, last = (row["cells"]["map/privileged"] for row in first["rows"][4:6])
    assert overview[1][2] == "1 of 2"
    assert overview[1][4].endswith("], p = 0.004")
    assert overview[2][2] == "2 of 2"
    assert overview[2][4].startswith(
        f"{100 * selected['value']:.1f}, reference; last epoch {100 * last['difference']:+.1f}"
    )


def test_a_name_cannot_end_its_cell():
    metrics = example()
    metrics["per_label"][1]["label"] = "one | two\nthree"
    assert r"| one \| two three |" in render_markdown(metrics)
