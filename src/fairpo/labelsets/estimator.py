"""The scikit-learn door to set generation: ``FairPOLabelSetGenerator``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from fairpo._checks import build_settings, check_same_length, value_error
from fairpo.data.base import Missing, dense_targets
from fairpo.data.embedded import embed_texts
from fairpo.data.labels import LabelForm, read_labels
from fairpo.groups import LabelGroups, parse_privileged
from fairpo.labelsets.beam import WIDTH
from fairpo.labelsets.constraints import SetConstraints
from fairpo.labelsets.fit import fit_label_sets
from fairpo.labelsets.folder import SetRun, SetRunConfig, load_set_run, save_set_run
from fairpo.labelsets.generator import GeneratorSettings, LabelSetGenerator
from fairpo.labelsets.inference import NetworkSets
from fairpo.labelsets.sets import GeneratedSets
from fairpo.labelsets.settings import SetTrainingSettings
from fairpo.models.backbone import Backbone
from fairpo.models.backbones import backbone_of, load_backbone
from fairpo.training.alignment import check_same_backbone
from fairpo.training.estimator_base import MultiLabelEstimator

Constraints = SetConstraints | Mapping[str, Any] | None


class FairPOLabelSetGenerator(MultiLabelEstimator):
    """Generate label sets for inputs that several of them fit, each with its probability.

    ``fit`` trains a generator of sets by maximum likelihood, in no order of the labels, and, with
    a method other than ``"likelihood"``, a policy from it that prefers true sets to confusing
    ones, with privileged labels to improve and the others held.

    Parameters
    ----------
    privileged : str, sequence or boolean vector, default "rarest:20%"
        As for :class:`~fairpo.estimator.FairPOClassifier`; rules that need a classifier
        (``"worst:10"``) are refused.
    method : str, default "likelihood"
        Or a method over pairs, such as ``"fairpo-dpo"``. Likelihood is the default because it
        keeps set probabilities true; preferences sharpen them (docs/labelsets.md).
    missing : -1, "nan" or None, default None
        Mark of entries of ``y`` that are not known. Rows that hold one are left out of the
        training: a set known in part has no probability.
    validation_fraction : float, default 0.2
        Share of the rows held out to choose the epoch. Below 10 rows the training rows choose.
    epochs : int, default 10
        Of the method, after the reference.
    reference_epochs : int, default 60
        Most epochs of the reference.
    batch_size : int, default 256
    width : int, default 128
        Units of every hidden layer.
    backbone : str or Backbone, optional
        What turns texts into features: a folder or a name in the local cache of the hub, loaded
        at each call; or one that :func:`fairpo.models.backbones.load_backbone` loaded. ``X`` may
        then be a list of texts, in ``fit`` and everywhere else. Frozen: it is not trained.
    random_state : int, RandomState or None, default 0
        Of training and of draws; ``None`` draws a seed.
    objective_settings : mapping, optional
        ``beta``, ``slack``, ... (``PairSettings``).
    training_settings : mapping, optional
        Over the arguments above: ``learning_rate``, ... (``SetTrainingSettings``).
    generator_settings : mapping, optional
        Over the arguments above: ``layers``, ``dropout`` (``GeneratorSettings``).

    Attributes
    ----------
    classes_ : array
    label_names_ : tuple of str
    groups_ : LabelGroups
    n_features_in_ : int
        Width of the embeddings, where ``X`` was texts.
    backbone_ : dict or None
        What made the features, where ``X`` was texts.
    history_ : list of dict
        One record an epoch.
    notes_ : list of str
        What the user should know about this fit.

    Notes
    -----
    ``score`` is the mean log-probability of the true sets in nats, as of scikit-learn's density
    estimators: higher is better, and only true probabilities maximise it.

    Examples
    --------
    >>> import numpy as np
    >>> from fairpo.labelsets import FairPOLabelSetGenerator
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))                         # (rows, features)
    >>> coin = rng.integers(0, 2, 300)
    >>> y = np.column_stack([coin, 1 - coin, X[:, 0] > 0])     # one of the first two, and a third
    >>> model = FairPOLabelSetGenerator(reference_epochs=20).fit(X, y)
    >>> found = model.predict_sets(X[:1], k=2)
    >>> found.sets.shape, bool(found.probs.sum() > 0.9)        # two sets hold nearly everything
    ((1, 2, 3), True)
    """

    def __init__(
        self,
        privileged: str | Sequence[Any] = "rarest:20%",
        *,
        method: str = "likelihood",
        missing: Missing = None,
        validation_fraction: float = 0.2,
        epochs: int = 10,
        reference_epochs: int = 60,
        batch_size: int = 256,
        width: int = 128,
        backbone: str | Backbone | None = None,
        random_state: int | np.random.RandomState | None = 0,
        objective_settings: Mapping[str, Any] | None = None,
        training_settings: Mapping[str, Any] | None = None,
        generator_settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.privileged = privileged
        self.method = method
        self.missing = missing
        self.validation_fraction = validation_fraction
        self.epochs = epochs
        self.reference_epochs = reference_epochs
        self.batch_size = batch_size
        self.width = width
        self.backbone = backbone
        self.random_state = random_state
        self.objective_settings = objective_settings
        self.training_settings = training_settings
        self.generator_settings = generator_settings

    def fit(self, X: Any, y: Any) -> Self:
        """Train the generator.

        Parameters
        ----------
        X : array, sparse matrix or DataFrame, shape (rows, features); or list of texts
        y : indicator matrix (rows, labels), dense, sparse or DataFrame; lists of names; or 1-d

        Raises
        ------
        FairPOValueError
            Bad input or options, told before any work; texts without a backbone.
        """
        features = self._features(X, reset=True)
        targets, self._form = read_labels(y, self.missing)
        check_same_length({"X": features.shape[0], "y": targets.shape[0]})
        rule = parse_privileged(self.privileged)
        told = {
            "epochs": self.epochs,
            "reference_epochs": self.reference_epochs,
            "batch_size": self.batch_size,
            "seed": self._seed(),
            **(self.training_settings or {}),
        }
        training = build_settings(SetTrainingSettings, told)
        settings = build_settings(
            GeneratorSettings, {"width": self.width, **(self.generator_settings or {})}
        )
        data, notes = self._hold_out(features, targets, self._form.names, training.seed)
        data = replace(data, backbone=self.backbone_)
        run = fit_label_sets(
            data, rule, self.method, settings, training, options=self.objective_settings
        )
        self._take(run)
        self.notes_ = [*notes, *run.notes]
        return self

    def predict(self, X: Any, *, constraints: Constraints = None) -> Any:
        """Most probable set of each row, in the form ``y`` had."""
        found = self.predict_sets(X, 1, constraints=constraints)
        return self._form.decode(found.sets[:, 0])

    def predict_sets(
        self, X: Any, k: int = 5, *, width: int = WIDTH, constraints: Constraints = None
    ) -> GeneratedSets:
        """Find the k most probable sets of each row, all different, by beam search.

        Parameters
        ----------
        X : array, shape (rows, features)
        k : int
        width : int
            Sets kept at each size.
        constraints : SetConstraints or mapping, optional
            Such as ``{"must_have": ["cat"], "must_not": [3], "exclusive": [["day", "night"]]}``.
        """
        features = self._features(X, reset=False)
        return self._model(constraints).most_probable(features, k, width=width)

    def sample(
        self,
        X: Any,
        k: int = 5,
        *,
        temperature: float = 1.0,
        random_state: int | None = None,
        constraints: Constraints = None,
    ) -> GeneratedSets:
        """Draw k different sets for each row.

        Parameters
        ----------
        X : array, shape (rows, features)
        k : int
        temperature : float > 0
            Below 1 the likely becomes likelier.
        random_state : int, optional
            The fitted one when not given.
        constraints : SetConstraints or mapping, optional
        """
        features = self._features(X, reset=False)
        seed = self.seed_ if random_state is None else random_state
        return self._model(constraints).sample(features, k, seed, temperature=temperature)

    def log_proba(self, X: Any, y: Any) -> NDArray[np.float64]:
        """Log-probability of each row's set ``y``, (rows,), in nats.

        Raises
        ------
        FairPOValueError
            A label of ``y`` is not known.
        """
        features = self._features(X, reset=False)
        targets = dense_targets(self._form.encode(y, self.missing))
        check_same_length({"X": features.shape[0], "y": len(targets)})
        unknown = (targets < 0).any(axis=1)
        if unknown.any():
            raise value_error(
                "y",
                must="be known whole: a set known in part has no probability",
                got=f"{int(unknown.sum())} rows with unknown labels",
                do="Leave these rows out.",
            )
        return self._model(None).log_probs(features, (targets == 1)[:, None])[:, 0]

    def score(self, X: Any, y: Any) -> float:
        """Mean log-probability of the true sets, in nats; higher is better."""
        return float(self.log_proba(X, y).mean())

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the generator into a folder, without pickle; :meth:`load` reads it."""
        check_is_fitted(self)
        save_set_run(folder, self._run(), overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a generator that :meth:`save` or ``fairpo labelsets train`` wrote.

        It predicts as the saved one did, on indicator matrices.
        """
        run = load_set_run(folder)
        training = run.config.training
        model = cls(
            run.groups.privileged.tolist(),
            method=run.config.method,
            epochs=training.epochs,
            reference_epochs=training.reference_epochs,
            batch_size=training.batch_size,
            width=run.config.generator.width,
            backbone=run.backbone["name"] if run.backbone else None,
            random_state=training.seed,
            objective_settings=run.config.options or None,
            training_settings=training.model_dump(),
            generator_settings=run.config.generator.model_dump(),
        )
        names = run.label_names
        model._form = LabelForm("indicator", names, np.arange(len(names)), np.dtype(int))
        model.n_features_in_ = run.config.n_features
        model.backbone_ = run.backbone
        model._take(run)
        return model

    def _features(self, X: Any, *, reset: bool) -> NDArray[np.float64]:
        """Check features; embed texts on the way."""
        made: dict[str, Any] | None = None
        if is_texts(X):
            if not reset:
                check_is_fitted(self)
            backbone = self._loaded_backbone(None if reset else self.backbone_)
            made = backbone.identity
            if not reset and self.backbone_ is not None:
                check_same_backbone("X", made, self.backbone_)
            X = embed_texts(list(X), backbone)
        features = super()._features(X, reset=reset)
        if reset:
            self.backbone_: dict[str, Any] | None = made
        return features

    def _loaded_backbone(self, known: dict[str, Any] | None) -> Backbone:
        """Load what embeds texts, as it was in training where that is known."""
        if self.backbone is None:
            raise value_error(
                "X",
                must="be features",
                got="texts",
                do="Name what embeds them, such as backbone='path/to/model'.",
            )
        if not isinstance(self.backbone, str):
            return self.backbone
        device = (self.training_settings or {}).get("device", "auto")
        if known is None:
            return load_backbone(self.backbone, kind="text", device=device)
        return backbone_of(known, name=self.backbone, device=device)

    def _take(self, run: SetRun) -> None:
        """Keep weights as NumPy arrays: they pickle, copy and compare like any attribute."""
        self.classes_ = self._form.classes
        self.label_names_ = self._form.names
        self.groups_: LabelGroups = run.groups
        self.history_ = run.history
        self.notes_ = run.notes
        self.seed_ = run.config.training.seed
        self._config = run.config
        self.weights_ = _arrays(run.generator)
        self.reference_weights_ = _arrays(run.reference)

    def _run(self) -> SetRun:
        return SetRun(
            self._config,
            self.label_names_,
            self.groups_,
            self._network(self.weights_),
            self._network(self.reference_weights_),
            backbone=self.backbone_,
            history=self.history_,
            notes=self.notes_,
        )

    def _network(self, weights: Mapping[str, NDArray[Any]]) -> LabelSetGenerator:
        config: SetRunConfig = self._config
        network = LabelSetGenerator(config.n_features, config.n_labels, config.generator)
        network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        return network.eval()

    def _model(self, constraints: Constraints) -> NetworkSets:
        if isinstance(constraints, Mapping):
            constraints = SetConstraints.from_names(self.label_names_, **constraints)
        return NetworkSets(self._network(self.weights_), constraints)


def is_texts(X: Any) -> bool:
    """Whether these are texts: one dimension, and each entry a str."""
    if isinstance(X, str) or getattr(X, "ndim", 1) != 1 or not hasattr(X, "__len__"):
        return False
    return len(X) > 0 and all(isinstance(text, str) for text in X)


def _arrays(network: LabelSetGenerator) -> dict[str, NDArray[Any]]:
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}
