"""Figures as studies write them, made up; and how a page is read back."""

import json
import re
from html.parser import HTMLParser

import numpy as np

EVIL = "</script><script>alert('x')</script>"
THREE = ("bce", "bce-continued", "fairpo-dpo")
EIGHT = (*THREE, "bce-reweighted", "group-dro", "group-dro-excess", "fairpo-simpo", "fairpo-cpo")


def example(n_labels=8, evil=False, back=0.0, methods=THREE, steps=8):
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
    cut = max(2, n_labels // 5)
    aps = rng.uniform(0.2, 0.9, n_labels)
    weights = np.clip(0.5 + np.cumsum(rng.normal(0, 0.02, steps)), 0, 1)
    losses = rng.uniform(0.1, 0.7, steps)
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
            {"name": "privileged", "role": "improve", "labels": names[:cut]},
            {"name": "non_privileged", "role": "protect", "labels": names[cut:]},
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
                "groups": [groups[k >= cut]],
                "train_positives": 3 * k + 1,
                "test_positives": k,
                "reference_ap": None if k == 3 else float(aps[k]),
                "ap": {m: None if k == 3 else float(aps[k]) + 0.1 for m in methods},
                "ap_last": {m: None if k == 3 else float(aps[k]) - 0.1 for m in methods},
            }
            for k, name in enumerate(names)
        ],
        "trace": [
            {
                "method": m,
                "seed": s,
                "step": t,
                "epoch": t / 4,
                "group_weights": {groups[0]: float(weights[t]), groups[1]: 1 - float(weights[t])},
                "group_losses": {groups[0]: float(losses[t]), groups[1]: 0.0},
            }
            for m in methods[1:]
            for s in (0, 1)
            for t in range(steps)
        ],
        "undefined": {
            "n_labels_without_positives": 1,
            "labels_without_positives": [names[3]],
            "rows_without_ranking": {},
            "rows_without_f1": {"privileged": 3, "non_privileged": 0},
        },
        "notes": [f"a note on {names[0]}"],
    }


def with_evidence(metrics, seed=0, n_labels=6):
    """The same figures with evidence of their first labels, and tests of what they claim."""
    rng = np.random.default_rng(seed)
    methods = [row["method"] for row in metrics["rows"] if row["epoch"] == "selected"]
    names = [row["label"] for row in metrics["per_label"]][:n_labels]
    groups = [group["name"] for group in metrics["groups"]]

    def curve():
        places = np.linspace(0.03, 0.97, 8)
        return [[float(x), float(x * rng.uniform(0.8, 1)), 5] for x in places.round(3)]

    def calibration():
        return {"curve": curve(), "brier": 0.0512, "calibration_error": 0.0123}

    evidence = {
        "seed": 0,
        "models": [{"method": m, "epoch": "selected"} for m in methods],
        "labels": [
            {
                "label": name,
                "positives": 40 + k,
                "scores": [
                    {truth: rng.integers(0, 9, 20).tolist() for truth in "10"} for _ in methods
                ],
                "confusions": [[[names[-1 - k], 9, 4], [names[0], 2, 3]] for _ in methods[1:]],
            }
            for k, name in enumerate(names)
        ],
        "calibration": [
            {group: {"raw": calibration(), "recalibrated": calibration()} for group in groups}
            for _ in methods
        ],
        "slices": [
            {
                "column": "camera",
                "categories": [
                    {
                        "category": f"{place} {names[0]}",
                        "n_rows": 20 + k,
                        "positives": dict.fromkeys(groups, 7 + k),
                        "models": [
                            {
                                f"{metric}/{group}": 0.5 + 0.01 * number
                                for metric in ("map", "sample_f1")
                                for group in groups
                            }
                            for number, _ in enumerate(methods)
                        ],
                    }
                    for k, place in enumerate(("hall", "yard"))
                ],
            }
        ],
        "warnings": [],
    }
    test = {"difference": 0.02, "p": 0.001, "p_holm": 0.004}
    against = {f"map/{group}": test for group in groups}
    claims = {
        "n_permutations": 1000,
        "best_baseline": methods[1],
        "against": {
            "reference": dict.fromkeys(methods[1:], against),
            "best_baseline": dict.fromkeys(methods[2:], against),
        },
        "labels": {method: [0.5] * len(metrics["per_label"]) for method in methods[1:]},
    }
    return {**metrics, "evidence": evidence, "claims": claims}


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


def text_of(page):
    """What is read, without scripts and style."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    return " ".join("".join(outline(bare).text).split())


def study_of(names, kind="partitions", grid=None, **options):
    """Figures of a study with these variants."""
    return {
        "kind": kind,
        "title": f"example: {kind}, {len(names)} variants",
        "plan": {"data": "example", "kind": kind, "grid": grid or {}},
        "variants": [{"name": name, "metrics": example(**options)} for name in names],
        "notes": [],
        "command": "fairpo partitions example",
        "version": "0",
    }


def sweep_of(n_trials=6):
    """The entry of a sweep, one trial of which failed."""
    rng = np.random.default_rng(0)
    trials = [
        {
            "number": k,
            "state": "complete",
            "settings": {"beta": 0.1 * (k + 1), "weight_rule": "raw"},
            "values": [0.5 + 0.01 * k],
            "privileged": 0.5 + 0.01 * k,
            "non_privileged": 0.8,
            "non_privileged_change": float(rng.normal(0, 0.01)),
            "selected_epochs": [3],
            "error": None,
        }
        for k in range(n_trials - 1)
    ]
    failed = {**trials[0], "number": n_trials - 1, "state": "fail", "values": None}
    figures = ("privileged", "non_privileged", "non_privileged_change")
    trials.append({**failed, **dict.fromkeys(figures)})
    return {
        "method": "fairpo-dpo",
        "objective": "pareto",
        "search": {"beta": "0.1:1", "weight_rule": ["raw", "excess"]},
        "reference": {"privileged": 0.5, "non_privileged": 0.8},
        "trials": trials,
        "front": [2, 4],
        "chosen": [4],
        "importance": {"beta": 0.75, "weight_rule": 0.25},
        "notes": [],
    }
