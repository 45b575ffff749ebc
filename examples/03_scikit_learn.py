"""A pipeline and a grid search over methods, scored on the privileged labels.

Run: python examples/03_scikit_learn.py
"""

import numpy as np
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairpo import FairPOClassifier, fairpo_map_non_privileged, fairpo_map_privileged

X, y = make_multilabel_classification(600, n_features=20, n_classes=8, random_state=0)
order = np.argsort(y.sum(0))  # X (600, 20), y (600, 8)

search = GridSearchCV(
    make_pipeline(StandardScaler(), FairPOClassifier(privileged=order[:2].tolist())),
    {"fairpoclassifier__method": ["bce", "bce-reweighted", "fairpo-dpo"]},
    scoring={"privileged": fairpo_map_privileged, "others": fairpo_map_non_privileged},
    refit="privileged",
    cv=3,
).fit(X, y)
for parameters, p, n in zip(
    search.cv_results_["params"],
    search.cv_results_["mean_test_privileged"],
    search.cv_results_["mean_test_others"],
    strict=True,
):
    print(f"{parameters['fairpoclassifier__method']:15} P {100 * p:.1f}  N {100 * n:.1f}")
