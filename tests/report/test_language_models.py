"""The page of language models: what it claims, escapes, shows and leaves out."""

import json
import re

import pytest
import vl_convert

from fairpo._checks import FairPOFileError
from fairpo.report import render_report, write_figures, write_markdown, write_report
from fairpo.report.language_models import language_charts
from fairpo.report.language_rows import (
    LONGEST_TEXT,
    MOST_POINTS,
    MOST_TEXT,
    last_weights,
    rate_points,
    rate_rows,
    shown_samples,
    trace_panels,
)
from fairpo.report.language_verdicts import lead, method_verdicts, warning_signs
from fairpo.report.markdown import render_markdown
from tests.report.examples import EVIL, outline, specs, text_of
from tests.report.language_examples import METHODS, compared, write_folder

SEVEN = (
    *("sft", "dpo", "group-dro", "fairpo-dpo/fixed-weights"),
    *("fairpo-dpo", "fairpo-simpo", "fairpo-cpo"),
)
MANY = tuple(f"desire-for-attribute-{k}" for k in range(22))


def set_rate(figures, method, group, value, half, kind="win_rate"):
    rate = figures["methods"][method][kind]["groups"][group]
    rate |= {"value": value, "low": value - half, "high": value + half}


def test_every_picture_has_its_table():
    page = render_report(compared())
    found = outline(page)
    assert found.tags.count("table") == found.tags.count("caption")
    pictures = {"rates-win_rate", "rates-reward_accuracy", "drift"}
    pictures |= {f"{what}-{m}" for what in ("weight", "loss", "reward") for m in METHODS[1:]}
    places = [value for name, value in found.attributes if name == "data-chart"]
    assert set(specs(page)) == set(places) == pictures
    ids = ("win_rate", "reward_accuracy", "per_token_accuracy", "drift", "weights", "samples")
    where = [page.index(f'<h2 id="{name}"') for name in (*ids, "notes", "again")]
    assert where == sorted(where)
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", page)


def test_charts_are_sound():
    for chart in language_charts(compared()).values():
        chart.to_dict()  # held against the schema of Vega-Lite
        assert vl_convert.vegalite_to_svg(json.dumps({**chart.to_dict(), "width": 300}))


def test_what_was_done_is_told():
    text = text_of(render_report(compared()))
    assert (
        "3 methods were trained on verses with 2 seeds, each from that seed's sft model, all on "
        "one budget, to improve what the privileged attributes drive and to hold the others."
    ) in text
    assert "completions were judged by oracle." in text
    assert "non-privileged, to protect: length, topic, format, polite" in text
    assert "fairpo lm compare verses" in text


def test_the_headline_claims_what_its_interval_allows():
    figures = compared()
    set_rate(figures, "dpo", "privileged", 0.55, 0.03)
    set_rate(figures, "fairpo-dpo", "privileged", 0.61, 0.04)
    set_rate(figures, "fairpo-dpo", "non_privileged", 0.5, 0.04)
    gain = {"value": 0.06, "low": 0.01, "high": 0.11}
    (difference,) = [each for each in figures["differences"] if each["measure"] == "win_rate"]
    difference["keys"]["groups/privileged"] = gain
    text = text_of(render_report(figures))
    assert (
        "Of 2 methods, the highest win rate over sft on privileged attributes is that of "
        "fairpo-dpo: 61.0% (95% interval 57.0 to 65.0). On non-privileged ones it is 50.0% "
        "(46.0 to 54.0), not told from one half."
    ) in text
    assert "Against dpo, the next, the difference is +6.0 points, +1.0 to +11.0." in text
    assert "non-privileged 50.0% (46.0 to 54.0), not told from one half" in text
    set_rate(figures, "dpo", "privileged", 0.7, 0.03)  # now dpo leads: the difference turns
    after = lead(figures)
    assert after["method"] == "dpo"
    assert (
        "Against fairpo-dpo, the next, the difference is \u22126.0 points, \u221211.0 to \u22121.0."
    ) in after["after"]
    gain |= {"low": -0.01}
    assert "11.0 to +1.0, which cannot be told from chance." in lead(figures)["after"]


def test_nothing_is_claimed_of_coins():
    figures = compared()
    for method in METHODS[1:]:
        for group in ("privileged", "non_privileged"):
            set_rate(figures, method, group, 0.52, 0.04)
    assert lead(figures)["before"] == (
        "For none of the 2 methods can the win rate over sft on privileged attributes be told to "
        "be above one half."
    )
    lines = " ".join(each["text"] for each in method_verdicts(figures))
    assert "above one half" not in lines and "below one half" not in lines
    set_rate(figures, "dpo", "privileged", 0.4, 0.04)
    assert "privileged 40.0% (36.0 to 44.0), below one half" in method_verdicts(figures)[0]["text"]
    assert lead(figures)["method"] == ""


def test_the_worst_of_several_is_never_marked():
    figures = compared()
    worst = figures["methods"]["dpo"]["win_rate"]["worst_group"]
    worst |= {"value": 0.3, "low": 0.25, "high": 0.35}
    cells = {row["line"]: row["cells"]["dpo"] for row in rate_rows(figures, "win_rate")}
    assert not cells["worst group"]["told"]
    set_rate(figures, "dpo", "privileged", 0.3, 0.05)
    cells = {row["line"]: row["cells"]["dpo"] for row in rate_rows(figures, "win_rate")}
    assert cells["privileged"]["told"]
    lines = {point["line"] for point in rate_points(figures, "win_rate")}
    assert not any("worst" in line for line in lines)


def test_sft_whose_reward_is_another_measure_leads_nothing():
    figures = compared(judged=False)
    set_rate(figures, "sft", "privileged", 0.9, 0.02, "reward_accuracy")
    assert lead(figures)["method"] != "sft"
    assert lead(figures)["before"].startswith("Of 2 methods,")
    alone = compared(("sft",), judged=False)
    set_rate(alone, "sft", "privileged", 0.9, 0.02, "reward_accuracy")
    assert lead(alone)["before"].startswith("Only sft was trained")


def test_the_lead_names_no_privileged_attributes_where_there_are_none():
    figures = compared(("sft", "dpo")) | {"privileged": []}
    set_rate(figures, "dpo", "privileged", 0.7, 0.02)
    assert lead(figures)["before"] == "The win rate over sft on all attributes is, of "
    assert "privileged" not in lead(figures)["after"].replace("non-privileged", "")


def test_without_a_judge_the_accuracy_leads():
    figures = compared(judged=False)
    page = render_report(figures)
    assert "rates-win_rate" not in specs(page)
    assert '<h2 id="samples"' not in page
    assert "judged by" not in text_of(page)
    assert "reward accuracy on privileged attributes" in lead(figures)["before"]
    assert lead(figures)["method"] == "fairpo-dpo"


def test_without_a_judge_sft_is_not_ranked_by_another_reward():
    figures = compared(judged=False)
    set_rate(figures, "sft", "privileged", 0.9, 0.02, "reward_accuracy")
    assert lead(figures)["method"] == "fairpo-dpo"
    assert lead(figures)["before"].startswith("Of 2 methods")
    of_sft, of_dpo = (each["text"] for each in method_verdicts(figures)[:2])
    assert "which is not the reward of the others" in of_sft
    assert "not the reward" not in of_dpo
    alone = compared(methods=("sft",), judged=False)
    assert lead(alone)["before"] == "Only sft was trained: there is no reward accuracy against it."


def test_displacement_and_saturation_are_warned_of():
    figures = compared()
    signs = warning_signs(figures)
    assert [(sign["method"], sign["kind"]) for sign in signs] == [("fairpo-dpo", "displacement")]
    assert signs[0]["text"] == (
        "chosen completions of the test pairs lost 1.50 nats each, rejected ones 3.50: what gained "
        "is neither of them."
    )
    for record in figures["logs"]:
        if record["method"] != "sft" and "loss" in record:
            record |= {"group_weights/privileged": 0.97, "group_weights/non_privileged": 0.03}
    kinds = {(sign["method"], sign["kind"]): sign["text"] for sign in warning_signs(figures)}
    saturated = "the weight of privileged attributes ended at 0.97."
    assert kinds["fairpo-dpo", "saturation"] == saturated
    assert ("dpo", "saturation") not in kinds  # shares of pairs are no weights
    assert "Warning signs" in text_of(render_report(figures))
    assert last_weights(figures)["dpo"]["privileged"] == pytest.approx(0.97)


def test_lines_over_the_training_are_means_of_windows():
    figures = compared(steps=7, seeds=1)
    panel = trace_panels(figures)["fairpo-dpo"]
    logged = [r for r in figures["logs"] if r["method"] == "fairpo-dpo" and "loss" in r]
    drawn = [p["value"] for p in panel["weight"] if p["group"] == "privileged"]
    assert drawn == pytest.approx([r["group_weights/privileged"] for r in logged], rel=1e-3)
    assert [p["value"] for p in panel["reward"] if p["group"] == "chosen"] == pytest.approx(
        [r["rewards/chosen"] for r in logged]
    )
    assert "sft" not in trace_panels(figures)
    long = compared(SEVEN, seeds=3, steps=90)
    points = [p for panel in trace_panels(long).values() for what in panel.values() for p in what]
    assert len(points) <= 1.1 * MOST_POINTS
    weights = [
        p["value"]
        for p in trace_panels(long)["dpo"]["weight"]
        if (p["group"], p["seed"]) == ("privileged", 0)
    ]
    whole = [r["group_weights/privileged"] for r in long["logs"] if r["method"] == "dpo"][:90]
    assert sum(weights) / len(weights) == pytest.approx(sum(whole) / 90, abs=1e-3)


def test_samples_stand_side_by_side_with_their_verdicts():
    figures = compared()
    text = text_of(render_report(figures))
    for sample in figures["samples"]:
        assert sample["prompt"] in text
        assert all(" ".join(text_.split()) in text for text_ in sample["completions"].values())
    first = shown_samples(figures)[0]
    assert [cell["won"] for cell in first["cells"]] == [
        [],
        ["length", "rhyme"],
        ["length", "rhyme"],
    ]
    assert first["cells"][1]["lost"] == ["format", "clean"]
    assert first["cells"][1]["tied"] == 1
    assert "won length, rhyme" in text


def test_conversations_and_long_texts_are_shown():
    figures = compared(n_samples=2)
    figures["samples"][0]["prompt"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it open?"},
    ]
    figures["samples"][1]["completions"]["dpo"] = "x" * 2 * LONGEST_TEXT
    rows = shown_samples(figures)
    assert rows[0]["prompt"] == "system: Be brief.\nuser: Is it open?"
    assert rows[1]["cells"][1]["text"] == "x" * LONGEST_TEXT + " ..."


def test_completions_make_no_markup_in_markdown():
    figures = compared(n_samples=1)
    figures["samples"][0]["completions"]["dpo"] = "![x](http://x.y/z)\r| *a* | <b>\n# b"
    text = render_markdown(figures)
    assert r"| !\[x\](http://x.y/z) \| \*a\* \| &lt;b&gt; # b |" in text


def test_a_page_stays_small():
    large = compared(SEVEN, MANY, MANY[:4], seeds=3, steps=200, n_samples=200, words=60)
    page = render_report(large)
    assert len(page.encode()) < 1_500_000
    rows = shown_samples(large)
    assert 0 < len(rows) < 200
    assert f"the other {200 - len(rows)} are in samples.jsonl" in text_of(page)
    said = sum(len(cell["text"]) for row in rows for cell in row["cells"])
    assert said < MOST_TEXT


def test_text_from_data_is_escaped():
    plain, evil = (outline(render_report(compared(evil=flag))) for flag in (False, True))
    assert plain.tags.count("script") == evil.tags.count("script") == 3
    figures = compared(evil=True)
    figures["failed"] = [{"method": EVIL, "seed": 0, "error": EVIL}]
    page = render_report(figures)
    assert outline(page).tags.count("script") == 3
    assert EVIL not in page
    samples = page[page.index('id="sample-table"') :]
    assert samples.count("&lt;/script&gt;&lt;script&gt;alert(") >= 4  # a prompt and 3 completions
    text = render_markdown(figures)
    assert [line for line in text.splitlines() if EVIL in line] == [f"    fairpo lm compare {EVIL}"]


def test_a_group_of_each_attribute_and_groups_without_pairs():
    figures = compared()
    everything = {"value": None, "low": None, "high": None}
    for row in figures["methods"].values():
        for kind in ("win_rate", "reward_accuracy", "per_token_accuracy"):
            if row[kind]:
                row[kind]["groups"]["non_privileged"] |= everything
    figures["groups"][1]["attributes"] = []
    page = text_of(render_report(figures))
    assert "non-privileged, to protect: no attribute" in page
    assert "undefined" not in page
    rows = [row["line"] for row in rate_rows(figures, "win_rate")]
    assert rows == [
        *("all attributes", "privileged", "rhyme", "clean", "non-privileged"),
        *("worst group", "worst attribute"),
    ]


def test_a_failed_training_is_told():
    figures = compared()
    figures["failed"] = [{"method": "fairpo-cpo", "seed": 1, "error": "out of memory"}]
    for text in (text_of(render_report(figures)), render_markdown(figures)):
        assert "fairpo-cpo, seed 1 failed: out of memory" in text


def test_every_format_of_a_folder(tmp_path):
    folder = write_folder(compared(), tmp_path / "cmp")
    (folder / "samples.jsonl").write_text(  # a line separator is no end of a line of JSON
        (folder / "samples.jsonl").read_text().replace("number 0", "number\u2028zero")
    )
    page = write_report(folder).read_text()
    assert "number\u2028zero" in page
    text = write_markdown(folder).read_text()
    assert text.startswith("# verses: sft, dpo, fairpo-dpo\n")
    rates = compared()["methods"]["dpo"]["win_rate"]["groups"]["privileged"]
    assert f"{100 * rates['value']:.1f}" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 7  # three rates, two of differences, drift, samples
    for table in tables:
        assert len({line.replace(r"\|", "").count("|") for line in table.splitlines()}) == 1
    names = {path.name for path in write_figures(folder, "svg")}
    assert {"rates-win_rate.svg", "drift.svg", "reward-fairpo-dpo.svg"} <= names


@pytest.mark.parametrize("name", ["logs.jsonl", "samples.jsonl"])
def test_a_folder_that_lacks_a_file_says_which(tmp_path, name):
    folder = write_folder(compared(), tmp_path / "cmp")
    (folder / name).write_text("{")
    with pytest.raises(FairPOFileError, match=rf"{name}: does not hold the figures of a report"):
        write_report(folder)
    (folder / name).unlink()
    with pytest.raises(FairPOFileError, match=rf"{name}: cannot be read"):
        write_report(folder)
