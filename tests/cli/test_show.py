"""What the terminal shows of figures: a claim stands beside its test."""

import pytest

from fairpo.cli.show import print_study
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
    study = study_of(["one", "two"])
    study["variants"][0]["metrics"] |= {"claims": tested["claims"]}
    study["variants"][1]["metrics"] |= {"claims": None}
    print_study(study)
    found = [row for row in cells(capsys.readouterr().out) if "fairpo-dpo" in row]
    assert [row[6] for row in found] == ["0.040", "-"]
