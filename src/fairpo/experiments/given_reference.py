"""A model that exists already as the reference: a run folder, or scores in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import FairPOFileError, file_error, value_error
from fairpo.data.base import MultiLabelData
from fairpo.experiments.plan import Plan
from fairpo.training.reference import Reference, as_logits, head_reference, scores_reference
from fairpo.training.run import Run, load
from fairpo.training.unfinished import digest_reference


def given_reference(plan: Plan, data: MultiLabelData) -> Reference | None:
    """Read the reference that a plan names; None where it is to be trained.

    Raises
    ------
    FairPOFileError
        It is neither a run folder nor an ``.npy`` file.
    FairPOValueError
        It does not fit the data.
    """
    if plan.reference is None:
        return None
    path = Path(plan.reference)
    if not path.is_dir():
        return scores_reference(_scores(path), data, plan.reference_kind)
    run = load(path)
    _check_fits(run, data)
    return head_reference(run.policy, data, plan.training)


def given_digest(plan: Plan) -> str:
    """Digest of the reference that a plan names, and of how it is read; "" if it is to be trained.

    Raises
    ------
    FairPOFileError
        It cannot be read.
    """
    if plan.reference is None:
        return ""
    path = Path(plan.reference)
    try:
        found = digest_reference(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return found if path.is_dir() else f"{found} {plan.reference_kind}"


def read_scores(path: str, kind: str) -> NDArray[np.float32]:
    """Read the scores of another model from an ``.npy`` file, as logits.

    Parameters
    ----------
    path : str
    kind : "logits" or "probs"

    Raises
    ------
    FairPOFileError
        It is not such a file.
    FairPOValueError
        ``kind`` is another word, or the scores are not of that kind.
    """
    if kind not in ("logits", "probs"):
        raise value_error("--reference-kind", must="be logits or probs", got=repr(kind))
    known: Literal["logits", "probs"] = kind  # type: ignore[assignment]
    if Path(path).is_dir():
        raise file_error(
            path,
            "is a folder, not an .npy file of scores",
            "A run stands beside the reference that it was trained from.",
        )
    scores = _scores(Path(path))
    return as_logits(scores, (len(scores), scores.shape[1]), known)


def _scores(path: Path) -> NDArray[Any]:
    try:
        scores = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error
    if not (isinstance(scores, np.ndarray) and scores.ndim == 2):
        raise _unreadable(path, "it must hold one matrix, a row for each row of the data")
    return scores


def _unreadable(path: Path, why: object) -> FairPOFileError:
    return file_error(path, f"is not a run folder or an .npy file of scores ({why})")


def _check_fits(run: Run, data: MultiLabelData) -> None:
    if run.config.residual:
        raise value_error(
            "the reference",
            must="be a run with a network of its own",
            got=f"{run.config.method} trained on the scores of another model",
        )
    same_features = (run.feature_names or data.feature_names) == data.feature_names
    same_labels = run.label_names == data.label_names
    if not same_labels or not same_features or run.config.n_features != data.n_features:
        raise value_error(
            "the reference",
            must="be a run on the same features and labels as DATA",
            got=f"{run.config.n_features} features and {len(run.label_names)} labels",
        )
