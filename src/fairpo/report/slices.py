"""The section of slices: metrics on the test rows of each category, model beside model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def slice_tables(evidence: dict[str, Any], models: Sequence[str]) -> list[dict[str, Any]]:
    """A table for each column by which rows were told apart; none where no column was named.

    Parameters
    ----------
    evidence : dict
        As in ``metrics.json``; files of before there were slices have none.
    models : sequence of str
        Names of its models, the reference first.

    Returns
    -------
    list of dict
        ``column``; ``keys``, such as ``map/privileged``; ``rows``, for each category the models
        one after the other: ``category``, ``n_rows``, ``positives`` by group, ``model``,
        ``is_reference`` and, by key, ``cells`` of ``value`` and ``change`` against the reference
        (fractions; None where undefined).
    """
    return [_table(one, models) for one in evidence.get("slices", [])]


def _table(one: dict[str, Any], models: Sequence[str]) -> dict[str, Any]:
    rows = [
        {
            "category": category["category"],
            "n_rows": category["n_rows"],
            "positives": category["positives"],
            "model": model,
            "is_reference": place == 0,
            "cells": {
                key: {"value": value, "change": _minus(value, category["models"][0][key])}
                for key, value in values.items()
            },
        }
        for category in one["categories"]
        for place, (model, values) in enumerate(zip(models, category["models"], strict=True))
    ]
    return {"column": one["column"], "keys": list(rows[0]["cells"]), "rows": rows}


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
