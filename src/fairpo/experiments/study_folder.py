"""The folder of a study or sweep: whether it may be used, and whether it is finished."""

from __future__ import annotations

import re
from contextlib import suppress
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
from fairpo.models.checkpoint import CHECKSUMS, read_json, verify_checksums, write_checksums
from fairpo.training.run import CONFIG, METRICS, check_output, check_writable

DATABASE = "sweep.db"

_BEGUN: tuple[type[Study] | type[Sweep], ...] = (Sweep, Study)
"""A sweep writes the study of what it chose beside itself."""

_PLANS = tuple(kind.file_name for kind in _BEGUN)
_SEALED = (*_PLANS, METRICS, RESULTS, DATABASE)
"""The folder is one that people put files of their own into: these alone are ours."""

_REPORTS = ("report.html", "report.md", "reproduction.md")
_OF_TRIALS = re.compile(r"\.?[0-9a-f]{16}\.(npz|safetensors)(\.\d+\.tmp)?")
_PICTURES = re.compile(
    r"\.?(trade-off|labels|labels-of-variant|trials"
    r"|(weight|loss|scores|calibration|variants|setting)-.*)\.(svg|png)(\.\d+\.tmp)?"
)
"""Names that :func:`fairpo.report.write_figures` gives."""


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
    if isinstance(plan, begun):
        before = _before(folder, begun)
        if more or (before is not None and plan.continues(before)):
            return
        others = _differences(plan, before) if before is not None else []
    else:
        others = []
    raise file_error(
        folder,
        f"holds another {'sweep' if begun is Sweep else 'study'}"
        + (f", with other {', '.join(others)}" if others else ""),
        "Choose another folder, or say --overwrite.",
    )


def _before(folder: Path, kind: type[Study] | type[Sweep]) -> Study | Sweep | None:
    try:
        return read_plan(folder / kind.file_name, kind)
    except FairPOError:  # of a version that had other settings
        return None


def _differences(plan: Plan, before: Plan) -> list[str]:
    """Names of the settings that differ."""
    names = []
    theirs = before.model_dump()
    for name, own in plan.model_dump().items():
        other = theirs[name]
        if isinstance(own, dict):
            names += [key for key in own | other if own.get(key) != other.get(key)]
        elif own != other:
            names.append(name)
    return names


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


def seal_folder(folder: Path) -> None:
    """Seal what is ours of a finished study or sweep, but for its report."""
    write_checksums(folder, _SEALED)


def empty_folder(ledger: Ledger) -> None:
    """Delete a study, a sweep or a run from its folder; nothing that is not ours.

    What says whose folder it is goes last: stopped in between, it can be called again.
    """
    folder = ledger.folder
    for part, ours in (
        (ledger.scores("").parent, _OF_TRIALS),
        (ledger.reference("").parent, _OF_TRIALS),
        (folder / "figures", _PICTURES),
    ):
        _empty(part, ours)
    of_run: list[str] = []
    if (folder / CONFIG).is_file() and (folder / CHECKSUMS).is_file():
        # All of its files: a run is put in place whole.
        of_run = [Path(name).name for name in read_json(folder / CHECKSUMS)]
    marks = (METRICS, CONFIG, *_PLANS)
    inside = [name for name in (*of_run, RESULTS, DATABASE, *_REPORTS) if name not in marks]
    for name in (*inside, CHECKSUMS, *marks):
        (folder / name).unlink(missing_ok=True)


def _empty(folder: Path, ours: re.Pattern[str]) -> None:
    """Delete files by their names, and the folder, unless something else is in it."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_file() and ours.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
