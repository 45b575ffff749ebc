"""What the terminal shows of figures: a claim stands beside its test."""

import pytest

from fairpo.cli.show import print_gate, print_study
from tests.report.examples import example, study_of, with_evidence


def cells(text):
    return [[cell.strip() for cell in line.split("│")] for line in text.splitlines()]


@pytest.fixture
def tested():
    metrics = with_evidence(example())
    claims = metrics["claims"]
    assert claims["best_baseline"] == "bce-continued"
    key = "map/privileged"
    for opponent, difference, p in (("reference", 0.031, 0.0402), ("best_baseline", -0.02, 2e-4)):
        found = {"difference": difference, "p": p / 2, "p_holm": p}
        claims["against"][opponent]["fairpo-dpo"] = {key: found}
    return metrics


def test_a_comparison_shows_the_tests_of_privileged_map(tested, capsys):
    print_study(tested)
    text = capsys.readouterr().out
    (row,) = (row for row in cells(text.partition("mAP P, tested")[2]) if "fairpo-dpo" in row)
    assert row[1:4] == ["fairpo-dpo", "+3.10, p = 0.040", "-2.00, p < 0.001"]
    assert "the best baseline, bce-continued" in text
    assert "Holm over 2 methods" in text
    tests = text.partition("mAP P, tested")[2].partition("Tested:")[0]
    assert max(map(len, tests.splitlines())) <= 100


def test_without_tests_there_is_no_table_of_them(tested, capsys):
    tested["claims"] = None
    print_study(tested)
    assert "tested" not in capsys.readouterr().out.lower()
    tested["claims"] = {"against": {"reference": {}, "best_baseline": {}}, "best_baseline": None}
    print_study(tested)
    assert "tested" not in capsys.readouterr().out.lower()


def test_variants_show_the_p_of_their_own_methods(tested, capsys):
    study = study_of(["one", "a [/b] name"])
    study["variants"][0]["metrics"] |= {"claims": tested["claims"]}
    study["variants"][1]["metrics"] |= {"claims": None}
    print_study(study)
    found = [row for row in cells(capsys.readouterr().out) if "fairpo-dpo" in row]
    assert [row[7] for row in found] == ["0.040", "-"]


def test_variants_show_what_a_method_did_where_the_reference_was_returned(capsys):
    study = study_of(["one", "two"])
    for variant, share in zip(study["variants"], (1.0, 0.5), strict=True):
        for row in variant["metrics"]["rows"]:
            row["fell_back_share"] = share if row["method"] == "fairpo-dpo" else None
    (last,) = (
        row["cells"]["map/privileged"]
        for row in study["variants"][0]["metrics"]["rows"]
        if (row["method"], row["epoch"]) == ("fairpo-dpo", "last")
    )
    print_study(study)
    found = cells(capsys.readouterr().out)
    place, other = (k for k, row in enumerate(found) if "fairpo-dpo" in row)
    assert [found[place][4], found[other][4]] == ["100%", "50%"]
    assert found[place + 1][2] == "its last epoch"
    assert found[place + 1][5].startswith(
        f"{100 * last['value']:.1f} {100 * last['difference']:+.1f}"
    )
    assert [row[2] for row in found if len(row) > 2].count("its last epoch") == 1


@pytest.mark.parametrize("columns", [None, "90"])
def test_the_figures_of_the_gate_are_whole_beside_a_long_label(columns, capsys, monkeypatch):
    if columns:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("COLUMNS", columns)
    name = "a label [/b] whose name says all that can be said of it, [red]and then says it again"
    figures = {"margin": -0.005, "difference": -0.1234, "low": -0.2345, "high": -0.0123}
    result = {
        "run": "run",
        "n_rows": 9,
        "clusters": None,
        "data": "example",
        "checks": [],
        "labels": [
            {
                "label": name,
                "positives": 30,
                "reference_ap": 0.5,
                "ap": 0.4,
                "outcome": "too few positives",
                **figures,
            }
        ],
        "settings": {"level": 0.95},
        "outcome": "fail",
        "failed": [],
    }
    print_gate(result)
    text = capsys.readouterr().out
    assert "-23.45 to -1.23" in text
    assert "[/b]" in text
    assert "too few positives" in text
    assert "…" not in text
