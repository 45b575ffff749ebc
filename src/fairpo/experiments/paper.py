"""The paper's experiments as studies, and its figures, to stand beside ours.

Source: FairPO (first version, May 2025), Tables 1 and 2; partitions and settings as the authors'
public code has them (github.com/soumenkm/FairPO, commits 4247df1 and 4bae24a).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fairpo._checks import build_settings, value_error
from fairpo.experiments.ledger import Ledger
from fairpo.experiments.study import Study
from fairpo.training.settings import training_preset

Benchmark = Literal["coco", "nuswide"]

N_LABELS: dict[Benchmark, int] = {"coco": 80, "nuswide": 81}

PARTITIONS: dict[Benchmark, dict[str, tuple[int, ...]]] = {
    "coco": {
        "first 20": tuple(range(20)),
        "tail": (
            *(78, 70, 12, 21, 76, 79, 52, 54, 68, 18),
            *(31, 47, 51, 10, 11, 49, 64, 22, 50, 19),
        ),
    },
    "nuswide": {"first 16": tuple(range(16))},
}
"""Privileged labels by their place in the order of category numbers."""

METRICS = ("map", "sample_f1", "label_accuracy", "exact_match")

PAPER: dict[tuple[str, str], dict[str, tuple[tuple[float, float], ...]]] = {
    ("coco", "first 20"): {
        "bce": ((84.32, 78.53), (54.36, 38.76), (97.54, 97.96), (65.92, 41.63)),
        "fairpo-dpo": ((86.12, 79.84), (56.87, 41.72), (97.89, 98.12), (69.72, 41.78)),
        "fairpo-simpo": ((77.67, 78.23), (53.42, 36.98), (96.43, 97.66), (58.84, 37.45)),
    },
    ("coco", "tail"): {
        "bce": ((79.12, 85.61), (45.68, 53.92), (96.21, 98.78), (43.87, 67.63)),
        "fairpo-dpo": ((75.11, 82.98), (41.98, 51.52), (95.34, 98.29), (38.12, 65.83)),
    },
}
"""Points of privileged and other labels, in the order of ``METRICS``; it has no other rows."""

_METHODS = (
    "bce",
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
)
_PRESETS = ("paper-v1", "paper-v2")


def reproduction(
    benchmark: Benchmark,
    source: str,
    label_names: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    changes: Mapping[str, Any] | None = None,
) -> Study:
    """Build the paper's study: its partitions under the settings of both versions.

    The epoch is selected by privileged validation mAP alone, as in the authors' code, and decisions
    are taken at 0.5 of the probabilities as they are.

    Parameters
    ----------
    benchmark : "coco" or "nuswide"
    source : str
        The data, embedded by a frozen ViT.
    label_names : sequence of str
        In the order of category numbers, as the readers give them.
    seeds : sequence of int
        The paper has one run.
    changes : mapping, optional
        Training settings over the presets', such as fewer epochs for a trial.

    Raises
    ------
    FairPOValueError
        The data have another number of labels.
    """
    if len(label_names) != N_LABELS[benchmark]:
        raise value_error(
            "DATA",
            must=f"have the {N_LABELS[benchmark]} labels of {benchmark}",
            got=f"{len(label_names)}",
            do="Give the store that `fairpo embed` made of the official folder.",
        )
    setups = {
        f"{name}, {preset}": {
            "privileged": ",".join(label_names[place] for place in places),
            "preset": preset,
            "training": {
                **training_preset(preset),
                "tolerance_points": 100.0,
                **(changes or {}),
            },
        }
        for name, places in PARTITIONS[benchmark].items()
        for preset in _PRESETS
    }
    return build_settings(
        Study,
        {
            "kind": "setups",
            "data": source,
            "methods": _METHODS,
            "seeds": tuple(seeds),
            "decisions": {"recalibration": "none"},
            "setups": setups,
        },
    )


def side_by_side(benchmark: Benchmark, metrics: dict[str, Any], ledger: Ledger) -> str:
    """Write the paper's tables beside ours, as Markdown; points, privileged / other labels.

    ``mAP, batch mean`` is the authors' mAP: the mean over batches of 32 rows of the AP within each.
    """
    parts = []
    for variant in metrics["variants"]:
        partition = variant["name"].partition(",")[0]
        paper = PAPER.get((benchmark, partition), {})
        lines = [
            "| method | mAP, paper | mAP, batch mean | mAP, whole set | sample-F1, paper "
            "| sample-F1 | accuracy, paper | accuracy | exact match, paper | exact match |",
            "|---|" + "--:|" * 9,
        ]
        for row in variant["metrics"]["rows"]:
            if row["epoch"] == "selected":
                theirs = paper.get(row["method"], ())
                batch = _batch_mean(ledger, variant["name"], row["method"])
                lines.append(f"| {row['method']} | {_cells(row['cells'], theirs, batch)} |")
        parts.append(f"## {variant['name']}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _cells(
    cells: dict[str, Any], theirs: tuple[tuple[float, float], ...], batch: tuple[float, float]
) -> str:
    found = []
    for place, metric in enumerate(METRICS):
        found.append(_pair(*theirs[place]) if theirs else "")
        if metric == "map":
            found.append(_pair(*batch))
        ours = [cells[f"{metric}/{group}"]["value"] for group in ("privileged", "non_privileged")]
        found.append(_pair(*(100 * value for value in ours)))
    return " | ".join(found)


def _pair(privileged: float, other: float) -> str:
    return f"{privileged:.1f} / {other:.1f}"


def _batch_mean(ledger: Ledger, variant: str, method: str) -> tuple[float, float]:
    """Mean over seeds, points."""
    of = [r for r in ledger.done().values() if (r["variant"], r["method"]) == (variant, method)]
    first, second = (
        100 * sum(record["selected"][f"map_batch_mean/{group}"] for record in of) / len(of)
        for group in ("privileged", "non_privileged")
    )
    return first, second
