"""Several groups of labels through the scikit-learn door."""

import numpy as np
from sklearn.base import clone

from fairpo import FairPOClassifier


def test_groups_may_be_several_and_overlap():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    Y = (X @ rng.normal(size=(5, 6)) + rng.normal(size=(300, 6)) > [0, 0, 1, 1, 2, 3]).astype(int)
    model = FairPOClassifier(
        privileged={
            "tail": {"improve": "rarest:33%"},
            "ours": {"improve": [0, 5]},
            "rest": {"protect": "others"},
        },
        training_settings={"reference_epochs": 3},
    ).fit(X, Y)
    assert model.groups_.names == ("tail", "ours", "rest")
    assert model.groups_.privileged.tolist() == [0, 4, 5]
    assert set(model.history_[-1]["group_weights"]) == {"tail", "ours", "rest"}
    assert clone(model).fit(X, Y).groups_ == model.groups_
