"""What happened to language models, in sentences that claim what their intervals allow."""

from __future__ import annotations

from typing import Any

from fairpo.report.language_rows import (
    BASELINE,
    DISPLACED,
    MEAN,
    RATES,
    SATURATED,
    difference_cell,
    group_names,
    improved,
    last_weights,
    measured_by,
    methods_by,
    told_from_half,
)
from fairpo.report.wording import interval, words


def lead(compared: dict[str, Any]) -> dict[str, str]:
    """The main result as ``before``, ``method``, ``after``, claiming what its interval allows."""
    kinds = measured_by(compared)
    if not kinds:
        return {"before": "Nothing was measured.", "method": "", "after": ""}
    kind, group = kinds[0], improved(compared)
    # The reward of sft is another measure than that of the others: it ranks with none of them.
    ranked = [method for method in methods_by(compared, kind) if method != BASELINE]
    rates = {method: compared["methods"][method][kind]["groups"][group] for method in ranked}
    if not rates:
        text = f"Only {BASELINE} was trained: there is no {RATES[kind]} against it."
        return {"before": text, "method": "", "after": ""}
    which = f"{words(group)} attributes" if compared["privileged"] else "all attributes"
    what = f"{RATES[kind]} on {which}"
    above = [method for method, rate in rates.items() if told_from_half(rate) and _is_high(rate)]
    if not above:
        text = f"For none of the {len(rates)} methods can the {what} be told to be above one half."
        if len(rates) == 1:
            text = f"The {what} of {next(iter(rates))} cannot be told to be above one half."
        return {"before": text, "method": "", "after": ""}
    best = max(above, key=lambda method: float(rates[method]["value"]))
    found = compared["methods"][best][kind]
    after = f": {share(rates[best], compared['level'])}."
    for name in group_names(compared):
        if name != group and found["groups"][name]["value"] is not None:
            rate = found["groups"][name]
            after += f" On {words(name)} ones it is {share(rate)}, {_told(rate)}."
    worst = found["worst_group"]
    if worst["name"] is not None and compared["privileged"]:
        after += f" Its worst group is {words(worst['name'])}: {share(worst)}."
    after += _against_next(compared, kind, group, best, rates)
    before = f"Of {len(rates)} methods, the highest {what} is that of "
    if len(rates) == 1:
        before = f"The {what} is, of "
    return {"before": before, "method": best, "after": after}


def _against_next(
    compared: dict[str, Any], kind: str, group: str, best: str, rates: dict[str, dict[str, Any]]
) -> str:
    """How the best compares with the next, so that no one reads a rank into chance."""
    others = {
        method: rate["value"]
        for method, rate in rates.items()
        if method != best and rate["value"] is not None
    }
    if not others:
        return ""
    following = max(others, key=lambda method: float(others[method]))
    for each in compared["differences"]:
        if each["measure"] != kind or {each["first"], each["second"]} != {best, following}:
            continue
        found = each["keys"][f"groups/{group}"]
        if found["value"] is None or found["low"] is None:
            return ""
        if each["first"] != best:
            turned = {"value": "value", "low": "high", "high": "low"}
            found = {key: -found[other] for key, other in turned.items()}
        cell = difference_cell(found)
        told = "" if cell["excludes_zero"] else ", which cannot be told from chance"
        return f" Against {following}, the next, the difference is {interval(cell)}{told}."
    return ""


def method_verdicts(compared: dict[str, Any]) -> list[dict[str, str]]:
    """One line a method: its rates on each group, and what they can be told from."""
    kinds = measured_by(compared)
    lines = []
    for method in methods_by(compared, kinds[0]) if kinds else ():
        found = compared["methods"][method][kinds[0]]
        parts = [
            f"{words(name)} {share(rate)}, {_told(rate)}"
            for name, rate in found["groups"].items()
            if rate["value"] is not None
        ]
        worst = found["worst_attribute"]
        if worst["name"] is not None:
            parts.append(f"worst attribute {worst['name']} {share(worst)}")
        if method == BASELINE:
            parts.append("by log-probability per token, which is not the reward of the others")
        lines.append({"method": method, "text": "; ".join(parts) + "."})
    return lines


def warning_signs(compared: dict[str, Any]) -> list[dict[str, str]]:
    """What a reader should look at before believing a figure."""
    signs = []
    for method, row in compared["methods"].items():
        chosen, rejected = (
            row["drift"][side]["overall"] if row["drift"] else None
            for side in ("chosen", "rejected")
        )
        if chosen is not None and chosen < -DISPLACED:
            text = f"chosen completions of the test pairs lost {-chosen:.2f} nats each"
            if rejected is not None and rejected < 0:
                text += f", rejected ones {-rejected:.2f}: what gained is neither of them"
            signs.append({"method": method, "kind": "displacement", "text": f"{text}."})
    for method, weights in last_weights(compared).items():
        name = max(weights, key=lambda group: weights[group])
        if method != MEAN and len(weights) > 1 and weights[name] > SATURATED:
            text = f"the weight of {words(name)} attributes ended at {weights[name]:.2f}."
            signs.append({"method": method, "kind": "saturation", "text": text})
    return signs


def notes(compared: dict[str, Any]) -> list[str]:
    """What the comparison says of itself, trainings that failed first."""
    failed = [
        f"{each['method']}, seed {each['seed']} failed: {each['error']}"
        for each in compared["failed"]
    ]
    return [*failed, *compared["notes"], *compared["data"]["notes"]]


def share(rate: dict[str, Any], level: float | None = None) -> str:
    """A rate in percent, with its interval."""
    if rate["value"] is None:
        return "undefined"
    text = f"{100 * rate['value']:.1f}%"
    if rate["low"] is None:
        return text
    kind = "" if level is None else f"{round(100 * level)}% interval "
    return f"{text} ({kind}{100 * rate['low']:.1f} to {100 * rate['high']:.1f})"


def _is_high(rate: dict[str, Any]) -> bool:
    return rate["value"] is not None and rate["value"] > 0.5


def _told(rate: dict[str, Any]) -> str:
    if not told_from_half(rate):
        return "not told from one half"
    return "above one half" if _is_high(rate) else "below one half"
