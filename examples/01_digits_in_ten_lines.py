"""Privileged labels on scenes of handwritten digits, in ten lines.

Run: python examples/01_digits_in_ten_lines.py
"""

from fairpo import FairPOClassifier, LabelFrame, load_data

data = load_data("digits")  # scenes of real handwriting: "red 7", "blue 4", ...
X, y = data.features[data.rows("train")], data.targets_of(data.rows("train"))
X_test, y_test = data.features[data.rows("test")], data.targets_of(data.rows("test"))

for method in ("bce", "bce-reweighted", "fairpo-dpo", "fairpo-crossfit"):
    model = FairPOClassifier(method=method, privileged="rarest:20%").fit(X, y)
    frame = LabelFrame.from_scores(
        model.decision_function(X_test), y_test, model.groups_.as_mapping()
    )
    p, n = (100 * frame.by_group["map"][g] for g in ("privileged", "non_privileged"))
    back = " (the reference was returned)" if model.fell_back_ else ""
    print(f"{method:15} privileged mAP {p:.1f}   non-privileged mAP {n:.1f}{back}")
