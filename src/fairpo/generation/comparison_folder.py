"""The folder of a comparison of language models: what is done in it, and what was found.

- ``plan.json``: the options, written when it begins;
- ``models/seed-<n>/<method>/``: a run folder for each method and seed (``/`` in a method's name is
  ``-``), as ``fairpo lm train`` writes them;
- ``trials/seed-<n>/<method>.json``: what that model says of the test pairs, and what it writes;
- ``comparison.json``: figures, see :mod:`~fairpo.generation.comparison_figures`;
- ``logs.jsonl``: a line for each method, seed and logged step, with every metric that was logged;
- ``samples.jsonl``: of seed 0, at most 200 prompts, each with ``prompt``, ``completions`` (method
  to text) and ``verdicts`` (method to attribute to verdict over sft: 1 won, 0 lost, 0.5 tied, null
  none);
- ``report.html``: made of the three, by the command line.

A trial is there whole or not at all, and is known by digests of what it and its model depend on:
what was done is not done again, and a comparison that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairpo._checks import FairPOError, file_error
from fairpo._files import write_atomic
from fairpo.generation.plans import ComparePlan
from fairpo.generation.preferences import PreferencePairs
from fairpo.models.checkpoint import read_json, write_json
from fairpo.training.run import check_output, check_writable

PLAN, COMPARISON, LOGS, SAMPLES = "plan.json", "comparison.json", "logs.jsonl", "samples.jsonl"
MODELS, TRIALS = "models", "trials"

_MAY_DIFFER = ("out", "methods", "seeds", "judge", "n_resamples", "batch_size", "overrides")
"""What a comparison may be continued with: trials are the same, or have another digest."""


def begin_folder(plan: ComparePlan, *, overwrite: bool) -> None:
    """Look at the folder of a comparison before any work, and write its plan.

    Raises
    ------
    FairPOFileError
        The folder holds something else, or another comparison and ``overwrite`` is false.
    """
    folder = plan.out
    if not (folder / PLAN).is_file():
        check_output(folder, overwrite=overwrite, marks=(PLAN,))
    elif overwrite:
        empty_folder(folder)
    elif is_other(plan):
        raise file_error(
            folder, "holds another comparison", "Choose another folder, or say --overwrite."
        )
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLAN, plan.model_dump(mode="json"))


def is_other(plan: ComparePlan) -> bool:
    """Whether the folder holds a comparison that this plan does not go on with."""
    return (plan.out / PLAN).is_file() and not _continues(plan, plan.out)


def _continues(plan: ComparePlan, folder: Path) -> bool:
    try:
        before = dict(read_json(folder / PLAN))
    except (FairPOError, TypeError, ValueError):
        return False
    now = plan.model_dump(mode="json")
    return all(before.get(name) == now[name] for name in now if name not in _MAY_DIFFER)


def empty_folder(folder: Path) -> None:
    """Delete a comparison; nothing that is not ours. What says whose folder it is goes last."""
    for name in (MODELS, TRIALS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (COMPARISON, LOGS, SAMPLES, "report.html", "report.md", PLAN):
        (folder / name).unlink(missing_ok=True)


def model_folder(folder: Path, method: str, seed: int) -> Path:
    """Where the model of a trial is."""
    return folder / MODELS / f"seed-{seed}" / method.replace("/", "-")


def trial_file(folder: Path, method: str, seed: int) -> Path:
    """Where a trial's scores and completions are."""
    return folder / TRIALS / f"seed-{seed}" / f"{method.replace('/', '-')}.json"


def read_trial(folder: Path, method: str, seed: int, **digests: str) -> dict[str, Any] | None:
    """What a trial found; None where it is not done, or was done of other things.

    ``digests`` are ``key``, of all that it depends on, or ``trained``, of what its model does.
    """
    path = trial_file(folder, method, seed)
    if not path.is_file():
        return None
    trial: dict[str, Any] = read_json(path)
    same = all(trial.get(name) == digest for name, digest in digests.items())
    return trial if same else None


def write_trial(folder: Path, method: str, seed: int, trial: dict[str, Any]) -> None:
    """Keep what a trial found."""
    path = trial_file(folder, method, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, trial)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    write_atomic(path, "".join(lines).encode())


def digest_of(value: Any) -> str:
    """Digest of what JSON can hold."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of_pairs(parts: dict[str, PreferencePairs]) -> str:
    """Digest of the texts and attributes of all splits."""
    digest = hashlib.sha256()
    for name, pairs in sorted(parts.items()):
        columns = (pairs.prompts, pairs.chosen, pairs.rejected, pairs.attributes.tolist())
        told = [name, pairs.attribute_names, *columns]
        digest.update(json.dumps(told, ensure_ascii=False).encode())
    return digest.hexdigest()[:16]
