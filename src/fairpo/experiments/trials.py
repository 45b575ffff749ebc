"""A trial: one method of one plan under one seed, from its reference to its record.

The trial of the reference's own method trains the reference; the others start from its weights on
disk. A trial writes its scores and returns its record; it runs the same in any process.
"""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fairpo
from fairpo.data.base import MultiLabelData
from fairpo.experiments.ledger import Ledger, digest
from fairpo.experiments.plan import NOT_ITS_RESULT, Plan
from fairpo.experiments.references import (
    holds_reference,
    read_closed_form,
    read_reference,
    write_closed_form,
    write_reference,
)
from fairpo.experiments.runner import ProgressFactory, SeedRunner, silent
from fairpo.experiments.scores import write_scores
from fairpo.experiments.summary import result_row
from fairpo.groups import LabelGroups
from fairpo.objectives.catalogue import CLOSED_FORM, REFERENCE, get_method
from fairpo.training.fit import make_reference, train_reference
from fairpo.training.reference import Reference

_OF_METHODS = {"epochs", "learning_rate", "tolerance_points", "reference_is_candidate"}


@dataclass(frozen=True)
class Trial:
    """One method of one plan under one seed.

    Parameters
    ----------
    variant : str
        Name of the plan within its study.
    plan : Plan
    method : str
    seed : int
    """

    variant: str
    plan: Plan
    method: str
    seed: int

    @property
    def name(self) -> str:
        """What it is called in a progress line or an error."""
        return f"{self.method} {self.place}"

    @property
    def place(self) -> str:
        """Its seed and variant."""
        return f"{self.seed}" + (f" ({self.variant})" if self.variant else "")

    def reference_key(self, data: str, given: str) -> str:
        """Digest of all that its reference depends on.

        Parameters
        ----------
        data : str
            Fingerprint.
        given : str
            Digest of a given reference; "" where it is trained.
        """
        training = self.plan.training.model_dump(mode="json", exclude=NOT_ITS_RESULT | _OF_METHODS)
        return digest(
            {
                "data": data,
                "given": given,
                "head": self.plan.head.model_dump(mode="json"),
                "training": {**training, "seed": self.seed},
                "version": fairpo.__version__,
            }
        )

    def key(self, data: str, given: str, groups: LabelGroups) -> str:
        """Digest of all that its result depends on."""
        training = self.plan.training_for(self.method)
        return digest(
            {
                "reference": self.reference_key(data, given),
                "groups": {group.name: list(group.indices) for group in groups.groups},
                "method": self.method,
                "preset": self.plan.preset,
                "options": self.plan.options_for(self.method),
                "decisions": self.plan.decisions.model_dump(mode="json"),
                "training": training.model_dump(mode="json", exclude=NOT_ITS_RESULT | {"seed"}),
            }
        )


@dataclass
class Bench:
    """Where trials run: the data, the study's folder, and the reference used last.

    Parameters
    ----------
    data : MultiLabelData
    fingerprint : str
        Of the data.
    ledger : Ledger
    given : Reference or None
        An existing model as the reference of all.
    given_digest : str
    progress : callable
    """

    data: MultiLabelData
    fingerprint: str
    ledger: Ledger
    given: Reference | None = None
    given_digest: str = ""
    progress: ProgressFactory = silent
    _kept: tuple[str, Reference] | None = field(default=None, repr=False)

    def run(self, task: tuple[Trial, LabelGroups | None]) -> dict[str, Any]:
        """Do a task, in whatever process: a trial, or, without groups, the reference of one."""
        trial, groups = task
        return self.train_reference(trial) if groups is None else self.run_trial(trial, groups)

    def train_reference(self, trial: Trial) -> dict[str, Any]:
        """Train the reference of a trial and write it."""
        training = trial.plan.training.model_copy(update={"seed": trial.seed})
        start = time.perf_counter()
        reference = train_reference(
            self.data,
            trial.plan.head,
            training,
            on_epoch=self.progress(f"reference {trial.seed}", training.reference_epochs),
        )
        seconds = time.perf_counter() - start
        key = trial.reference_key(self.fingerprint, self.given_digest)
        write_reference(self.ledger.reference(key), reference, seconds)
        self._kept = key, reference
        return {"seconds": seconds}

    def run_trial(self, trial: Trial, groups: LabelGroups) -> dict[str, Any]:
        """Train and score a method, write the scores, return the record."""
        began = time.time()
        reference = self.reference(trial)
        runner = SeedRunner(
            self.data,
            trial.plan,
            trial.seed,
            reference=reference,
            closed_form=self.closed_form(trial),
            groups=groups,
            progress=self.progress,
        )
        result, _ = runner.run(trial.method)
        key = trial.key(self.fingerprint, self.given_digest, groups)
        models = {"selected": result.selected, "last": result.last}
        if result.last is result.selected:
            del models["last"]
        own = {name: scores for name, scores in models.items() if scores is not runner.start}
        start = {"start": runner.start} if trial.method == REFERENCE else {}
        write_scores(self.ledger.scores(key), own | start, self.data, trial.plan.decisions)
        return {
            "key": key,
            "status": "done",
            "variant": trial.variant,
            **result_row(self.data, trial.plan, groups, result),
            "reference_notes": reference.notes,
            "trace": result.trace,
            "data_fingerprint": self.fingerprint,
            "reference_digest": self.given_digest or None,
            "began": round(began, 1),
            "versions": versions(),
            "commit": commit(),
        }

    def has_reference(self, trial: Trial) -> bool:
        """Whether the reference of a trial is given, or was trained and is whole."""
        key = trial.reference_key(self.fingerprint, self.given_digest)
        return self.given is not None or holds_reference(self.ledger.reference(key))

    def reference(self, trial: Trial) -> Reference:
        """Return the reference of a trial: the given one, or what was trained for its seed."""
        if self.given is not None:
            return self.given
        key = trial.reference_key(self.fingerprint, self.given_digest)
        if self._kept is None or self._kept[0] != key:
            training = trial.plan.training.model_copy(update={"seed": trial.seed})
            path = self.ledger.reference(key)
            self._kept = key, read_reference(path, self.data, trial.plan.head, training)
        return self._kept[1]

    def closed_form(self, trial: Trial) -> Reference | None:
        """Return the closed form that a trial needs, solved for once a seed; None if it needs none.

        Processes that need it at the same moment each solve for it, and find the same.
        """
        if not get_method(trial.method).needs_closed_form:
            return None
        key = trial.reference_key(self.fingerprint, self.given_digest)
        path, head = self.ledger.reference(digest({CLOSED_FORM: key})), trial.plan.head
        if not holds_reference(path):
            training = trial.plan.training.model_copy(update={"seed": trial.seed})
            write_closed_form(path, make_reference(CLOSED_FORM, self.data, head, training))
        return read_closed_form(path, self.data, head)


def failed(trial: Trial, key: str, error: str) -> dict[str, Any]:
    """Record of a trial that did not end."""
    return {
        "key": key,
        "status": "failed",
        "variant": trial.variant,
        "method": trial.method,
        "seed": trial.seed,
        "error": error,
    }


@cache
def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    return {
        "fairpo": fairpo.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


@cache
def commit() -> str | None:
    """Commit of the checkout this runs from; None outside one."""
    here = Path(fairpo.__file__).parent
    command: Sequence[str] = ("git", "-C", str(here), "rev-parse", "--verify", "HEAD")
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
