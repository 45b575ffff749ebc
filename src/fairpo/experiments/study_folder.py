"""The folder of a study or sweep: whether it may be used, and whether it is finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fairpo
from fairpo._checks import FairPOError, file_error
from fairpo.data.base import MultiLabelData, fingerprint
from fairpo.experiments.given_reference import given_digest
from fairpo.experiments.ledger import RESULTS, Ledger
from fairpo.experiments.plan import Plan
from fairpo.experiments.study import Study, read_plan
from fairpo.experiments.sweep_plan import Sweep
from fairpo.models.checkpoint import CHECKSUMS, read_json, verify_checksums
from fairpo.training.run import METRICS, check_output, check_writable

DATABASE = "sweep.db"

_BEGUN: tuple[type[Study] | type[Sweep], ...] = (Sweep, Study)
"""A sweep writes the study of what it chose beside itself."""


def check_folder(
    folder: Path, plan: Study | Sweep, *, overwrite: bool = False, more: bool = False
) -> None:
    """Look at a folder before any work: whether a study or sweep may be run there.

    Parameters
    ----------
    folder : Path
    plan : Study or Sweep
    overwrite : bool
        Whether what is there is to be replaced.
    more : bool
        Whether a study may differ from the one begun there, whose trials are used where they are
        the same.

    Raises
    ------
    FairPOFileError
        The folder holds something else, or cannot be written.
    """
    begun = next((kind for kind in _BEGUN if (folder / kind.file_name).is_file()), None)
    if begun is None:
        check_output(folder, overwrite=overwrite)
        return
    check_writable(folder)
    if overwrite:
        return
    word = "sweep" if begun is Sweep else "study"
    if not (isinstance(plan, begun) and (more or _continues(plan, folder))):
        raise file_error(
            folder,
            f"holds another {word}",
            "Choose another folder, or say --overwrite.",
        )


def _continues(plan: Study | Sweep, folder: Path) -> bool:
    try:
        return plan.continues(read_plan(folder / plan.file_name, type(plan)))
    except FairPOError:  # of a version that had other settings
        return False


def inputs_of(plan: Plan, data: MultiLabelData) -> dict[str, str]:
    """What results depend on beside the plan and the version: digests of data and reference."""
    return {"data": fingerprint(data), "reference": given_digest(plan)}


def finished(folder: Path, plan: Study | Sweep, inputs: dict[str, str]) -> dict[str, Any] | None:
    """Return the results of a folder, if there is nothing left to do for a plan.

    That is, if they are of this very plan, these inputs and this version, no trial of them failed,
    and their files are whole.

    Returns
    -------
    dict, the content of ``metrics.json``, or None
    """
    try:
        verify_checksums(folder)
        metrics: dict[str, Any] = read_json(folder / METRICS)
        same = read_plan(folder / plan.file_name, type(plan)) == plan
    except FairPOError:
        return None
    current = metrics["version"] == fairpo.__version__ and metrics.get("inputs") == inputs
    return metrics if same and current and not metrics["failed"] else None


def empty_folder(ledger: Ledger) -> None:
    """Delete a study, a sweep or a run from its folder; nothing that is not ours."""
    folder = ledger.folder
    if (folder / CHECKSUMS).is_file():
        for name in read_json(folder / CHECKSUMS):
            (folder / Path(name).name).unlink(missing_ok=True)
    of_plans = (kind.file_name for kind in _BEGUN)
    for name in (CHECKSUMS, METRICS, RESULTS, DATABASE, *of_plans):
        (folder / name).unlink(missing_ok=True)
    for part in (ledger.scores(""), ledger.reference("")):
        shutil.rmtree(part.parent, ignore_errors=True)
    ledger.make_folders()
