"""Pages in a real browser: they draw, sort, find and choose, and ask the network for nothing."""

import json
import re
import shutil
from html import unescape

import pytest

from fairpo.report import render_report
from fairpo.report.evidence import confusion_rows, score_rows
from tests.report.examples import EVIL, example, study_of, sweep_of, with_evidence
from tests.report.language_examples import compared

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser here: {', '.join(NAMES)} are not on the path"
)

A4_WIDTH = 703
"""Pixels, without margins of 12 mm."""

STUDY = {
    **study_of(["rarest:10%", "rarest:20%", f"a={EVIL}"], "partitions"),
    "sweep": sweep_of(),
}
SENSITIVITY = study_of(["as given", "beta=0.1", "beta=1"], "sensitivity", {"beta": [0.1, 1]})
PAGES = {
    "comparison": with_evidence(example(40, evil=True), n_labels=12),
    "many labels": with_evidence(example(90)),
    "without evidence": example(),
    "study": STUDY,
    "sensitivity": SENSITIVITY,
    "language models": compared(evil=True),
    "many language models": compared(
        ("sft", "dpo", "group-dro", "fairpo-dpo/fixed-weights", "fairpo-dpo", "fairpo-cpo"),
        [f"desire-for-attribute-{k}" for k in range(12)],
        ["desire-for-attribute-1", "desire-for-attribute-5"],
    ),
}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open the page of some figures; at the end, nothing was said, asked for or thrown."""
    heard, contexts = [], []

    def show(metrics, **options):
        path = tmp_path / "report.html"
        path.write_text(render_report(metrics), encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("ready.then(() => new Promise(requestAnimationFrame))")
        return page

    yield show
    for context in contexts:
        context.close()
    assert [text for text in heard if not re.match(r"file:.*/report\.html$", text)] == []


def column(page, table, place):
    script = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => !row.hidden)"
    return page.evaluate(f"{script}.map(row => row.cells[{place}].textContent.trim())")


def sort_by(page, table, heading):
    page.locator(f"#{table} th button", has_text=re.compile(f"^{heading}$")).click()


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_drawn(opened, name):
    page = opened(PAGES[name])
    places = page.locator("[data-chart]").count()
    assert places > 2
    assert page.locator("[data-chart] svg").count() == places
    assert page.locator("[data-chart]", has_text="could not be drawn").count() == 0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 1280])
def test_a_page_is_never_wider_than_its_window(opened, name, width):
    page = opened(PAGES[name], viewport={"width": width, "height": 800})
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_heading_sorts_by_mouse_and_keyboard(opened):
    page = opened(PAGES["comparison"])
    open_all(page)
    sort_by(page, "label-table", "training positives")
    counts = [int(text) for text in column(page, "label-table", 2)]
    assert counts == sorted(counts)
    heading = page.locator("#label-table th[aria-sort=ascending]")
    assert heading.inner_text().startswith("training positives")
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert [int(text) for text in column(page, "label-table", 2)] == counts[::-1]
    assert page.locator("#label-table th[aria-sort=descending]").count() == 1
    sort_by(page, "label-table", "label")
    names = [text for text in column(page, "label-table", 0) if text != EVIL]
    assert names == [f"label {k}" for k in range(1, 40)]  # 2 before 10
    sort_by(page, "label-table", "reference")
    values = column(page, "label-table", 4)
    assert values[-1] == "\u2013"  # undefined comes last, up or down
    assert [float(value) for value in values[:-1]] == sorted(map(float, values[:-1]))


def test_labels_are_found(opened):
    page = opened(PAGES["comparison"])
    open_all(page)
    page.fill("#find", "LABEL 1")
    wanted = {"label 1", *(f"label {k}" for k in range(10, 20))}
    assert set(column(page, "label-table", 0)) == wanted
    assert page.inner_text("#found") == "11 of 40"
    page.fill("#find", "</script>")
    assert column(page, "label-table", 0) == [EVIL]
    page.fill("#find", "")
    assert len(column(page, "label-table", 0)) == 40
    assert page.inner_text("#found") == ""


def test_a_label_is_chosen(opened):
    metrics = PAGES["comparison"]
    page = opened(metrics)
    open_all(page)
    evidence = metrics["evidence"]
    for label, method in ((0, 0), (5, 1), (0, 1)):
        page.select_option("#label", str(label))
        page.select_option("#method", str(method))
        row = evidence["labels"][label]
        assert page.inner_text("#chosen").startswith(
            f"{row['label']} under {evidence['models'][method + 1]['method']}: "
            f"{row['positives']} test rows"
        )
        scores = score_rows(evidence, label, method)
        assert column(page, "score-table", 4) == [str(each["n_after_0"]) for each in scores]
        drawn = page.evaluate("views['scores-true'].data('scores').map(row => row.after_1)")
        assert drawn == pytest.approx([each["after_1"] for each in scores], abs=1e-5)
        confusions = confusion_rows(evidence, label, method)
        assert column(page, "confusion-table", 0) == [each["label"] for each in confusions]
        changes = [each["after"] - each["before"] for each in confusions]
        shown = column(page, "confusion-table", 3)
        assert [int(text.replace("\u2212", "-")) for text in shown] == changes


def test_the_first_view_is_what_the_page_says_without_scripts(opened):
    metrics = PAGES["comparison"]
    tables = ("score-table", "confusion-table", "curve-table")
    page = opened(metrics)
    html = render_report(metrics)
    for table in tables:
        block = re.search(rf'id="{table}">.*?<tbody>(.*?)</tbody>', html, re.S).group(1)
        static = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", block, re.S)
        plain = [unescape(re.sub(r"<[^>]*>", "", cell)).split() for cell in static]
        script = f"[...document.querySelectorAll('#{table} tbody th, #{table} tbody td')]"
        drawn = page.evaluate(f"{script}.map(cell => cell.textContent)")
        assert [cell.split() for cell in drawn] == plain


def test_a_model_is_chosen(opened):
    page = opened(PAGES["comparison"])
    open_all(page)
    page.select_option("#model", "0")
    assert page.evaluate("views['calibration-privileged'].signal('model')") == 0
    curve = PAGES["comparison"]["evidence"]["calibration"][0]["privileged"]["raw"]["curve"]
    shown = column(page, "curve-table", 3)[: len(curve)]
    assert [float(text) for text in shown] == pytest.approx([y for _, y, _ in curve], abs=6e-4)


def test_a_method_is_chosen_for_the_labels(opened):
    page = opened(PAGES["many labels"])
    page.select_option("#view", "1")
    assert page.evaluate("views.labels.signal('view')") == 1


def test_a_variant_is_chosen_found_and_reached(opened):
    page = opened(STUDY)
    open_all(page)
    page.fill("#find-variant", "rarest:20%")
    assert column(page, "variant-table", 0) == ["rarest:20%"] * 2
    page.fill("#find-variant", "fairpo")
    assert column(page, "variant-table", 1) == ["fairpo-dpo"] * 3
    page.fill("#find-variant", "")
    sort_by(page, "variant-table", "privileged mAP")
    cells = [
        row["cells"]["map/privileged"]["difference"]
        for variant in STUDY["variants"]
        for row in variant["metrics"]["rows"]
        if row["epoch"] == "selected" and row["method"] != "bce"
    ]
    shown = page.evaluate(
        "[...document.querySelectorAll('#variant-table tbody tr')]"
        ".map(row => Number(row.cells[4].dataset.value))"
    )
    assert shown == pytest.approx(sorted(cells, reverse=True), abs=1e-5)
    page.select_option("#variant", "2")
    page.select_option("#variant-method", "1")
    assert page.inner_text("#chosen-variant") == f"a={EVIL}, fairpo-dpo"
    labels = STUDY["variants"][2]["metrics"]["per_label"]
    assert column(page, "label-table", 0) == [row["label"] for row in labels]
    after = [row["ap"]["fairpo-dpo"] for row in labels]
    values = [None if text == "\u2013" else float(text) for text in column(page, "label-table", 5)]
    assert values == [pytest.approx(100 * v, abs=0.051) if v is not None else None for v in after]
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false; })")
    page.locator("#variant-table a", has_text="rarest:20%").first.click()
    page.wait_for_function("document.getElementById('variant-1').open")


def test_samples_are_found_and_run_nothing(opened):
    page = opened(PAGES["language models"])
    assert EVIL in page.inner_text("#sample-table tbody tr:first-child th")
    assert EVIL in page.inner_text("#sample-table tbody tr:nth-child(2) td")
    page.fill("#find-sample", "NUMBER 3")
    assert column(page, "sample-table", 0) == ["write about the cat, number 3 :"]
    completion = PAGES["language models"]["samples"][3]["completions"]["fairpo-dpo"]
    assert column(page, "sample-table", 3)[0].startswith(completion)
    page.fill("#find-sample", "")
    assert len(column(page, "sample-table", 0)) == 8


def test_every_control_and_picture_has_a_name(opened):
    for metrics in (PAGES["comparison"], STUDY, PAGES["language models"]):
        page = opened(metrics)
        open_all(page)
        unnamed = page.evaluate(
            "[...document.querySelectorAll('select, input, button, [role=img], [role=region]')]"
            ".filter(e => !(e.getAttribute('aria-label') || e.textContent.trim()"
            " || (e.labels && e.labels.length))).map(e => e.outerHTML)"
        )
        assert unnamed == []
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.matches('a, summary, select, button')")
        assert focused


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["comparison", "language models"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(opened, scheme, name):
    page = opened(PAGES[name], color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) < 0.1) == (scheme == "dark")
    for place in ("p", ".soft", "caption", "td", "figcaption", ".role-axis-label text"):
        of = "fill" if place.endswith("text") else "color"
        ink = page.evaluate(f"getComputedStyle(document.querySelector({json.dumps(place)})).{of}")
        low, high = sorted([luminance(ground), luminance(ink)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, place


@pytest.mark.parametrize("name", PAGES)
def test_print_fits_a_page(opened, name):
    page = opened(PAGES[name], viewport={"width": A4_WIDTH, "height": 1000})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH


def test_print_is_dark_on_white_and_opens_short_tables(opened):
    page = opened(PAGES["without evidence"], color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("#view").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
