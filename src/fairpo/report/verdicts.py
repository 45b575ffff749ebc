"""What happened, in sentences that claim what their intervals and tests allow."""

from __future__ import annotations

from typing import Any

from fairpo.report.rows import can_be_told, changed_rows, improve_and_protect, is_reference, p_value
from fairpo.report.wording import interval, probability, signed, words


def lead(metrics: dict[str, Any], best: dict[str, Any] | None) -> dict[str, str]:
    """The main result as ``before``, ``method``, ``after``, claiming what its interval allows."""
    changed = changed_rows(metrics)
    if not changed:
        text = "Only the reference was trained: there is no change to report."
        return {"before": text, "method": "", "after": ""}
    improve, protect = improve_and_protect(metrics)
    if len(changed) == 1:
        verdict = method_verdict(metrics, changed[0])
        return {"before": "", "method": verdict["method"], "after": f": {verdict['text']}"}
    if best is None:
        text = (
            f"For none of the {len(changed)} methods can a rise of {words(improve)} mAP "
            "be told from chance."
        )
        return {"before": text, "method": "", "after": ""}
    figures = interval(best["cells"][f"map/{improve}"], metrics["interval"]["level"])
    after = f": {figures}."
    if protect is not None:
        after += f" Its {words(protect)} mAP {_verdict(metrics, best, f'map/{protect}')}."
    after += _against_baseline(metrics, best["method"], f"map/{improve}")
    start = (
        f"Of {len(changed)} methods, the largest rise of {words(improve)} mAP that can be told "
        "from chance is that of "
    )
    return {"before": start, "method": best["method"], "after": after}


def _against_baseline(metrics: dict[str, Any], method: str, key: str) -> str:
    """How it compares with the best baseline, so that no one reads the rise as the method's own."""
    claims = metrics.get("claims")
    if not claims or claims["best_baseline"] is None:
        return ""
    baseline = claims["best_baseline"]
    if method == baseline:
        return " It is the best baseline itself."
    test = claims["against"]["best_baseline"].get(method, {}).get(key)
    if test is None or test["p_holm"] is None:
        return ""
    sign = " " if test["p_holm"] < 0.001 else " = "
    return (
        f" Against {baseline}, the best baseline, the difference is "
        f"{signed(test['difference'])} points, p{sign}{probability(test['p_holm'])}."
    )


def method_verdict(metrics: dict[str, Any], row: dict[str, Any]) -> dict[str, str]:
    """What happened to each group's mAP under a method, in one line."""
    share, seeds = row["fell_back_share"], len(metrics["seeds"])
    if share == 1:
        last = next(
            (
                other
                for other in metrics["rows"]
                if other["method"] == row["method"] and other["epoch"] == "last"
            ),
            None,
        )
        text = "no gain found on validation, so the reference was returned"
        if last is not None:
            text += f"; where it ended, {_group_verdicts(metrics, last)}"
    else:
        text = _group_verdicts(metrics, row)
        if share:
            text += f"; the reference was returned in {round(share * seeds)} of {seeds} seeds"
    return {"method": row["method"], "text": f"{text}."}


def _group_verdicts(metrics: dict[str, Any], row: dict[str, Any]) -> str:
    names = [group["name"] for group in metrics["groups"]]
    return ", ".join(f"{words(name)} mAP {_verdict(metrics, row, f'map/{name}')}" for name in names)


def _verdict(metrics: dict[str, Any], row: dict[str, Any], key: str) -> str:
    cell = row["cells"][key]
    difference = cell["difference"]
    if difference is None:
        return "undefined"
    if cell["low"] is None:
        return f"differs by {signed(difference)} points, without an interval"
    if is_reference(cell):
        return "unchanged"
    figures, p = interval(cell), p_value(metrics, row, key)
    if metrics.get("claims") and p is None:
        return f"differs by {figures}, not tested"
    if p is not None:
        sign = " " if p < 0.001 else " = "
        figures += f", p{sign}{probability(p)}"
    if not can_be_told(metrics, row, key):
        return f"shows no change that can be told from chance ({figures})"
    return f"{'rose' if difference > 0 else 'fell'} ({figures})"
