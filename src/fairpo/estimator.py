"""The scikit-learn door: ``FairPOClassifier`` and its scorers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from fairpo._checks import (
    build_settings,
    check_same_length,
    type_error,
    value_error,
)
from fairpo.data.base import Missing, MultiLabelData, dense_targets
from fairpo.data.labels import read_labels
from fairpo.decisions import DecisionSettings
from fairpo.groups import parse_privileged
from fairpo.metrics import LabelFrame
from fairpo.models.head import HeadSettings, Policy
from fairpo.objectives.catalogue import (
    DEFAULT,
    REFERENCE,
    reference_method,
    trial_objective,
)
from fairpo.training.estimator_base import MultiLabelEstimator
from fairpo.training.fit import (
    Method,
    choose_groups,
    fit_decisions,
    make_reference,
    train_method,
)
from fairpo.training.reference import Reference, as_logits, head_reference
from fairpo.training.run import Run, exact_logits, load
from fairpo.training.settings import TrainingSettings


class FairPOClassifier(MultiLabelEstimator):
    """Multi-label classifier that improves privileged labels and holds the others.

    ``fit`` makes a reference (or takes yours), trains a policy against it with a method of the
    catalogue, and judges it on held-out rows, where its non-privileged mAP must be within a
    tolerance of the reference's. Of a method that goes on from the reference the epoch with the
    best privileged mAP is kept, and the reference if none beats it. What the default method makes
    beside the reference is kept unless its privileged mAP is lower by more than a standard error.

    Parameters
    ----------
    privileged : str, sequence, boolean vector or mapping, default "rarest:20%"
        ``"rarest:20%"``, ``"worst:10"``, names ``"cat,dog"``, ``"@file.txt"``, or a list of names,
        indices or booleans; groups as ``{"tail": {"improve": "rarest:33%"}, "head": {"protect":
        "frequent:33%"}}``.
    method : str or callable, default "fairpo-crossfit"
        See :func:`fairpo.method_names`; or a function from label groups to an objective.
    preset : "paper-v1" or "paper-v2"
        Bundle of objective settings.
    reference : None, fitted estimator or path, default None
        The model that must not get worse: made here, another fitted classifier (a
        ``FairPOClassifier`` or anything with ``decision_function`` or ``predict_proba``), or a run
        folder. Made here, it is kernel ridge regression for the default method and a head trained
        by cross-entropy for the others, which start as its copy; from another classifier's scores
        they are a residual that starts at zero, and the default method weighs them.
    missing : -1, "nan" or None, default None
        Mark of entries of ``y`` that are not known; they are masked in every loss and metric.
    validation_fraction : float, default 0.2
        Share of the rows held out, stratified by label, to choose the epoch. Below 10 rows nothing
        is held out and the training rows choose.
    epochs : int, default 10
        Extra budget of the method after the reference, where it starts from one. The default
        method does not: ``training_settings={"reference_epochs": 100}`` is for its network.
    learning_rate : float, default 5e-4
        In these epochs; else ``reference_learning_rate``.
    batch_size : int, default 256
    hidden : tuple of int, optional
        Widths of the hidden layers; ``()`` is a linear head. Without it (512,) for the network of
        the default method, (256,) for the others.
    dropout : float, optional
        Share of hidden units dropped in training; without it 0.5 and 0.3.
    recalibration : "platt", "isotonic" or "none", default "platt"
        Strictly increasing map of each label's logits, fitted on the held-out rows, that makes
        probabilities true. Average precision does not change.
    threshold : str or float, default "0.5"
        Probability above which a label is predicted; or, for each label on the held-out rows,
        ``"f1"``, ``"precision:0.9"``, ``"recall:0.8"``, ``"cost:5"``.
    random_state : int, RandomState or None, default 0
        ``None`` draws a seed.
    objective_settings : mapping, optional
        Over the preset's: ``beta``, ``slack``, ``floor``, ... (``FairPOSettings``), or the options
        of a baseline, such as ``gamma_negative``.
    training_settings : mapping, optional
        Over the arguments above: ``patience``, ``schedule``, ... (``TrainingSettings``).
    head_settings : mapping, optional
        Over the arguments above: ``kind``, ``scaling`` (``HeadSettings``).

    Attributes
    ----------
    classes_ : array
        Column numbers, or the names where ``y`` lists them; for 1-d ``y`` the two classes.
    label_names_ : tuple of str
        Column names of a DataFrame, listed names, or ``label_0``, ...
    groups_ : LabelGroups
    n_features_in_ : int
    history_ : list of dict
        One record an epoch of the method: losses, group weights, validation figures.
    reference_history_ : list of dict
    selected_epoch_ : int
        0 means the reference; of the reference's own method, its epoch, 0 where it is solved for.
    fell_back_ : bool
        Whether the reference was returned, as nothing beat it; ``False`` for its own method.
    validation_rows_ : int array
        The rows that chose the epoch and fitted the decisions.
    decision_rule_ : DecisionRule
        Recalibration and thresholds; the identity where labels are sampled.
    notes_ : list of str
        What the user should know about this fit.

    Notes
    -----
    ``score`` is exact match, as scikit-learn's multi-label accuracy. Rows are held out and
    batches are drawn, so weighting a row by 2 is not the same as repeating it: the two
    ``check_sample_weight_equivalence`` checks of scikit-learn do not hold.

    Examples
    --------
    >>> import numpy as np
    >>> from fairpo import FairPOClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 5))                  # (rows, features)
    >>> y = (X[:, :3] + rng.normal(size=(200, 3)) > [0, 0.5, 2]).astype(int)  # (rows, labels)
    >>> model = FairPOClassifier(privileged="rarest:20%").fit(X, y)
    >>> model.groups_.privileged.tolist()
    [2]
    >>> model.predict(X).shape
    (200, 3)
    """

    def __init__(
        self,
        privileged: str | Sequence[Any] | Mapping[str, Any] = "rarest:20%",
        *,
        method: Method = DEFAULT,
        preset: str = "paper-v1",
        reference: Any = None,
        missing: Missing = None,
        validation_fraction: float = 0.2,
        epochs: int = 10,
        learning_rate: float = 5e-4,
        batch_size: int = 256,
        hidden: tuple[int, ...] | None = None,
        dropout: float | None = None,
        recalibration: str = "platt",
        threshold: str | float = "0.5",
        random_state: int | np.random.RandomState | None = 0,
        objective_settings: Mapping[str, Any] | None = None,
        training_settings: Mapping[str, Any] | None = None,
        head_settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.privileged = privileged
        self.method = method
        self.preset = preset
        self.reference = reference
        self.missing = missing
        self.validation_fraction = validation_fraction
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.hidden = hidden
        self.dropout = dropout
        self.recalibration = recalibration
        self.threshold = threshold
        self.random_state = random_state
        self.objective_settings = objective_settings
        self.training_settings = training_settings
        self.head_settings = head_settings

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train the reference, unless given, and the policy.

        Parameters
        ----------
        X : array, sparse matrix or DataFrame, shape (rows, features)
        y : indicator matrix (rows, labels), dense, sparse or DataFrame; lists of names; or 1-d
        sample_weight : array, shape (rows,), optional

        Raises
        ------
        FairPOValueError
            Bad input or options, told before any work.
        """
        features = self._features(X, reset=True)
        targets, self._form = read_labels(y, self.missing)
        check_same_length({"X": features.shape[0], "y": targets.shape[0]})
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, features, dtype=np.float64)
        rule = parse_privileged(self.privileged)
        training, head = self._training_settings(), self._head_settings()
        decisions = build_settings(
            DecisionSettings, {"recalibration": self.recalibration, "threshold": self.threshold}
        )
        data, notes = self._hold_out(features, targets, self._form.names, training.seed)
        if not callable(self.method):  # every mistake is told before the reference is trained
            trial_objective(self.method, self.preset, **(self.objective_settings or {}))
        groups = None if rule.needs_reference_ap else choose_groups(rule, data, None)
        reference = self._reference(data, head, training, weight)
        self.groups_ = groups or choose_groups(rule, data, reference)
        fitted = train_method(
            data,
            reference,
            self.groups_,
            self.method,
            training,
            preset=self.preset,
            options=self.objective_settings,
            head=head,
            sample_weight=weight,
        )
        self.decision_rule_ = fit_decisions(data, reference, fitted.policy, training, decisions)
        self._keep_policy(fitted.policy, reference)
        self.classes_ = self._form.classes
        self.label_names_ = self._form.names
        self.history_ = fitted.training.epochs
        self.reference_history_ = reference.training.epochs if reference.training else []
        self.selected_epoch_ = fitted.training.selector.best_epoch
        self.fell_back_ = fitted.fell_back
        self.validation_rows_ = data.rows("validation")
        self.notes_ = [*notes, *reference.notes, *fitted.notes]
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Recalibrated logit minus the threshold's, (rows, labels), or (rows,) if ``y`` was 1-d.

        A label is predicted where it is above 0. At ``threshold="0.5"`` it is the logit of
        :meth:`predict_proba`; at other thresholds it is that less a constant for each label.
        """
        recalibrated = self._recalibrated(X)
        return recalibrated - self._shaped(self.decision_rule_.threshold_logits[None])

    def _recalibrated(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        features = self._features(X, reset=False)
        scores = None
        if self._residual:
            scores = reference_scores(self.reference, features, len(self._form.names))
        logits = exact_logits(self._policy(), features, scores)
        return self._shaped(self.decision_rule_.apply(logits))

    def _shaped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[:, 0] if self._form.form == "binary" else values

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (rows, labels); for 1-d ``y`` of the two classes."""
        probabilities: NDArray[np.float64] = expit(self._recalibrated(X))
        if self._form.form == "binary":
            return np.column_stack([1 - probabilities, probabilities])
        return probabilities

    def predict(self, X: Any) -> Any:
        """Labels whose probability is over their threshold, in the form ``y`` had."""
        positive = self.decision_function(X) > 0
        return self._form.decode(positive.reshape(len(positive), -1))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Share of rows whose labels are all predicted exactly, over observed entries.

        The same as scikit-learn's accuracy where nothing is missing.
        """
        positive = self.decision_function(X) > 0
        targets = dense_targets(self._form.encode(y, self.missing))
        check_same_length({"X": len(positive), "y": len(targets)})
        right = (targets == positive.reshape(targets.shape)) | (targets < 0)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(np.average(right.all(1), weights=weight))

    def _training_settings(self) -> TrainingSettings:
        values = {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "seed": self._seed(),
            **(self.training_settings or {}),
        }
        return build_settings(TrainingSettings, values)

    def _head_settings(self) -> HeadSettings:
        values = {
            "hidden": self.hidden,
            "dropout": self.dropout,
            "kind": "linear" if self.hidden is not None and not self.hidden else "mlp",
            **(self.head_settings or {}),
        }
        return build_settings(HeadSettings, values)

    def _reference(
        self,
        data: MultiLabelData,
        head: HeadSettings,
        training: TrainingSettings,
        weight: NDArray[np.float64] | None,
    ) -> Reference:
        if self.reference is None:
            method = REFERENCE if callable(self.method) else reference_method(self.method)
            return make_reference(method, data, head, training, sample_weight=weight)
        network = _reference_network(self.reference)
        if network is None:
            scores = reference_scores(self.reference, data.features, data.n_labels)
            return Reference(scores)
        _check_fits(network, data)
        return head_reference(network, data, training)

    def _keep_policy(self, policy: Policy, reference: Reference) -> None:
        """Keep weights as NumPy arrays: they pickle, copy and compare like any attribute."""
        self._residual = policy.residual
        self._shape = policy.settings
        self.weights_ = {name: value.numpy().copy() for name, value in policy.state_dict().items()}

    def _policy(self) -> Policy:
        return Policy.from_state(
            {name: torch.from_numpy(values) for name, values in self.weights_.items()},
            self.n_features_in_,
            len(self._form.names),
            self._shape,
            residual=self._residual,
        )


def _reference_network(reference: Any) -> Policy | None:
    """The network of a reference that has one; None for any other fitted classifier."""
    if isinstance(reference, str | Path):
        reference = load(reference)
    if isinstance(reference, Run):
        return None if reference.config.residual else reference.policy
    if isinstance(reference, FairPOClassifier):
        check_is_fitted(reference)
        return None if reference._residual else reference._policy()
    return None


def reference_scores(reference: Any, features: Any, n_labels: int) -> NDArray[np.float32]:
    """Logits (rows, labels) of any fitted classifier.

    Parameters
    ----------
    reference : fitted estimator
        With ``decision_function`` or ``predict_proba``; the latter may return one array a label,
        as scikit-learn's forests do.
    features : array, shape (rows, features)
    n_labels : int

    Raises
    ------
    FairPOTypeError
        It has neither method.
    FairPOValueError
        Its scores have another shape.
    """
    shape = (features.shape[0], n_labels)
    if hasattr(reference, "decision_function"):
        scores = np.asarray(reference.decision_function(features))
        return as_logits(scores.reshape(len(scores), -1), shape, "logits")
    if not hasattr(reference, "predict_proba"):
        raise type_error(
            "reference",
            must="be None, a run folder, or a fitted classifier with decision_function or "
            "predict_proba",
            got=type(reference).__name__,
        )
    probabilities = reference.predict_proba(features)
    if isinstance(probabilities, list):
        probabilities = np.column_stack([part[:, 1] for part in probabilities])
    elif n_labels == 1 and probabilities.shape[1] == 2:
        probabilities = probabilities[:, 1:]
    return as_logits(np.asarray(probabilities), shape, "probs")


def _check_fits(policy: Policy, data: MultiLabelData) -> None:
    got = (policy.n_features, policy.n_labels)
    if got != (data.n_features, data.n_labels):
        raise value_error(
            "reference",
            must=f"have been fitted on {data.n_features} features and {data.n_labels} labels",
            got=f"{got[0]} and {got[1]}",
        )


def scorer(metric: str, group: str) -> Callable[[FairPOClassifier, Any, Any], float]:
    """Return a scikit-learn scorer of one metric over one label group.

    Parameters
    ----------
    metric : str
        ``map``, ``sample_f1``, ``label_accuracy`` or ``exact_match``.
    group : str
        ``privileged`` or ``non_privileged``: the groups the estimator was fitted with.

    Returns
    -------
    callable ``(estimator, X, y) -> float``; NaN where the metric is undefined
    """

    def score(estimator: FairPOClassifier, X: Any, y: Any) -> float:
        fitted = estimator[-1] if hasattr(estimator, "steps") else estimator
        logits = estimator.decision_function(X).reshape(_n_rows(X), -1)
        targets = dense_targets(fitted._form.encode(y, fitted.missing))
        frame = LabelFrame.from_scores(logits, targets, fitted.groups_.judged())
        return frame.by_group[metric][group]

    score.__name__ = f"fairpo_{metric}_{group}"
    return score


def _n_rows(X: Any) -> int:
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


fairpo_map_privileged = scorer("map", "privileged")
fairpo_map_non_privileged = scorer("map", "non_privileged")
fairpo_sample_f1_privileged = scorer("sample_f1", "privileged")
fairpo_sample_f1_non_privileged = scorer("sample_f1", "non_privileged")
