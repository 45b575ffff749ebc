"""Render the report of large studies, on made figures: seconds and MB.

    python benchmarks/report.py

50 runs of 1,000 labels, once as 50 variants of one method and once as 10 methods with 5 seeds.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from fairpo.report import render_report

N_LABELS = 1_000
METRICS = ("map", "sample_f1", "label_accuracy", "exact_match")
GROUPS = ("privileged", "non_privileged")
STEPS = 400


def figures(methods: list[str], seeds: int, rng: np.random.Generator) -> dict[str, Any]:
    names = [f"a label with the number {k}" for k in range(N_LABELS)]
    aps = rng.random(N_LABELS)
    return {
        "kind": "comparison",
        "title": "made figures",
        "plan": {"data": "made"},
        "data": {
            "name": "made",
            "n_rows": {"train": 80_000, "validation": 10_000, "test": 40_000},
            "n_features": 768,
            "n_labels": N_LABELS,
        },
        "privileged": {"spec": "rarest:20%"},
        "groups": [
            {"name": GROUPS[0], "role": "improve", "labels": names[:200]},
            {"name": GROUPS[1], "role": "protect", "labels": names[200:]},
        ],
        "reference_method": "bce",
        "preset": "paper-v1",
        "seeds": list(range(seeds)),
        "version": "0",
        "command": "none",
        "settings": {"training": {"epochs": 10}},
        "claims": claims(methods),
        "metrics": METRICS,
        "interval": {"level": 0.95, "kind": "paired bootstrap", "n_resamples": 1000},
        "rows": [row(m, e, rng) for m in ("bce", *methods) for e in ("selected", "last")],
        "per_label": [
            {
                "label": name,
                "groups": [GROUPS[k >= 200]],
                "train_positives": 10 * k,
                "test_positives": 5 * k,
                "reference_ap": float(ap),
                "ap": {m: float(0.9 * ap) for m in ("bce", *methods)},
                "ap_last": {m: float(0.8 * ap) for m in ("bce", *methods)},
            }
            for k, (name, ap) in enumerate(zip(names, aps, strict=True))
        ],
        "trace": [
            {
                "method": method,
                "seed": seed,
                "step": step,
                "epoch": step / 40,
                "group_weights": dict(zip(GROUPS, (0.4, 0.6), strict=True)),
                "group_losses": dict(zip(GROUPS, rng.random(2).tolist(), strict=True)),
            }
            for method in methods
            for seed in range(seeds)
            for step in range(STEPS)
        ],
        "undefined": {
            "n_labels_without_positives": 0,
            "labels_without_positives": [],
            "rows_without_f1": {},
            "rows_without_ranking": {},
        },
        "notes": [],
        "evidence": evidence(names[:40], ["bce", *methods], rng),
    }


def row(method: str, epoch: str, rng: np.random.Generator) -> dict[str, Any]:
    def cell() -> dict[str, Any]:
        value, change = rng.random(), rng.normal(0, 0.02)
        known = {"difference": change, "low": change - 0.01, "high": change + 0.01}
        if method == "bce" and epoch == "selected":
            known = dict.fromkeys(known)
        return {"value": value, **known, "excludes_zero": abs(change) > 0.01}

    keys = [f"{metric}/{group}" for metric in METRICS for group in GROUPS]
    return {
        "method": method,
        "summary": "made",
        "epoch": epoch,
        "fell_back_share": None if method == "bce" else 0.0,
        "seconds": 1.0,
        "cells": {key: cell() for key in keys},
    }


def claims(methods: list[str]) -> dict[str, Any]:
    test = {"difference": 0.01, "p": 0.001, "p_holm": 0.01}
    against = {f"map/{group}": test for group in GROUPS}
    return {
        "n_permutations": 1000,
        "best_baseline": methods[0],
        "against": {
            "reference": dict.fromkeys(methods, against),
            "best_baseline": dict.fromkeys(methods[1:], against),
        },
        "labels": {method: [0.04] * N_LABELS for method in methods},
    }


def evidence(names: list[str], models: list[str], rng: np.random.Generator) -> dict[str, Any]:
    def calibration() -> dict[str, Any]:
        curve = [[x, x, 10_000] for x in np.linspace(0.03, 0.97, 15).round(4).tolist()]
        return {"curve": curve, "brier": 0.05, "calibration_error": 0.01}

    kinds = ("raw", "recalibrated")
    return {
        "seed": 0,
        "models": [{"method": model, "epoch": "selected"} for model in models],
        "labels": [
            {
                "label": name,
                "positives": 500,
                "scores": [
                    {truth: rng.integers(0, 5000, 20).tolist() for truth in "10"} for _ in models
                ],
                "confusions": [[[n, 100, 90] for n in names[:7]] for _ in models[1:]],
            }
            for name in names
        ],
        "calibration": [
            {group: {kind: calibration() for kind in kinds} for group in GROUPS} for _ in models
        ],
        "warnings": [],
    }


def variants(count: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "kind": "partitions",
        "title": "made figures",
        "plan": {"data": "made"},
        "variants": [
            {"name": f"rarest:{k + 1}%", "metrics": figures(["fairpo-dpo"], 1, rng)}
            for k in range(count)
        ],
        "notes": [],
        "command": "none",
        "version": "0",
    }


def render(name: str) -> str:
    rng = np.random.default_rng(0)
    methods = [f"method-{k}" for k in range(10)]
    made = {
        "1 run": lambda: figures(methods[:1], 1, rng),
        "10 methods x 5 seeds": lambda: figures(methods, 5, rng),
        "50 variants": lambda: variants(50, rng),
    }[name]()
    start = time.perf_counter()
    page = render_report(made)
    seconds = time.perf_counter() - start
    return f"{name:>22}: {seconds:5.1f} s  {len(page.encode()) / 1e6:5.2f} MB"


def main() -> None:
    print(f"reports of {N_LABELS:,} labels")
    for name in ("1 run", "10 methods x 5 seeds", "50 variants"):
        # A process each: the runtime of the pictures is made once in a process.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            print(alone.submit(render, name).result())


if __name__ == "__main__":
    main()
