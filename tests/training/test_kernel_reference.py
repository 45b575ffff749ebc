import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge as TheirKernelRidge

from fairpo._checks import FairPOValueError
from fairpo.data.base import MultiLabelData
from fairpo.metrics import average_precision
from fairpo.training.kernel_reference import KernelSettings, fit_kernel_ridge

ONE = KernelSettings(widths=(1.0,), scalings=("standard",), penalties=(1.0,), landmarks=10_000)


def made(n_rows=160, n_features=5, n_labels=4, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    pulls = rng.normal(size=(n_features, n_labels))
    targets = (np.tanh(features @ pulls) + 0.3 * rng.normal(size=(n_rows, n_labels)) > 0.6).astype(
        np.int8
    )
    rows = np.arange(n_rows)
    names = tuple(f"label {k}" for k in range(n_labels))
    train = 3 * n_rows // 4
    return MultiLabelData(features, targets, names, {"train": rows[:train], "test": rows[train:]})


def logits_of(model, features):
    with torch.no_grad():
        return model(torch.from_numpy(features)).double().numpy()


def theirs(fit, data, fitted, scored):
    """scikit-learn's exact kernel ridge regression, centred as an intercept does."""
    scale = fit.model.scaling
    rows = [
        ((data.features[part] - scale.mean.numpy()) / scale.scale.numpy())
        for part in (fitted, scored)
    ]
    gamma = float(1 / fit.model.width**2)
    kernel = [np.exp(-gamma * ((part[:, None] - rows[0][None]) ** 2).sum(2)) for part in rows]
    middle = kernel[0].mean(0)
    centred = [part - part.mean(1, keepdims=True) - middle + kernel[0].mean() for part in kernel]
    truth = data.targets[fitted].astype(np.float64)
    model = TheirKernelRidge(alpha=fit.penalty, kernel="precomputed")
    model.fit(centred[0], truth - truth.mean(0))
    return model.predict(centred[1]) + truth.mean(0)


def assert_same_up_to_a_line(logits, values):
    """Each label's logits are an increasing line of its values."""
    for ours, other in zip(logits.T, values.T, strict=True):
        slope, shift = np.polyfit(other, ours, 1)
        assert slope > 0
        np.testing.assert_allclose(ours, slope * other + shift, atol=2e-3 * np.ptp(ours))


def test_it_is_scikit_learns_kernel_ridge():
    data = made()
    fit = fit_kernel_ridge(data, data.rows("train"), ONE, seed=0)
    test = data.rows("test")
    assert_same_up_to_a_line(
        logits_of(fit.model, data.features[test]), theirs(fit, data, data.rows("train"), test)
    )


def test_left_out_is_what_a_fit_to_the_other_rows_says():
    data = made(n_rows=60)
    rows = data.rows("train")
    weight = np.random.default_rng(5).uniform(0.2, 3, size=data.n_rows)
    for sample_weight in (None, weight):
        fit = fit_kernel_ridge(data, rows, ONE, seed=3, sample_weight=sample_weight)
        own = np.ones(len(rows)) if sample_weight is None else weight[rows] / weight[rows].mean()
        # Landmarks, scale and width are those of all rows: only the regression leaves one out.
        expected = np.concatenate(
            [
                landmarked(fit, data, rows, np.delete(rows, at), rows[[at]], np.delete(own, at))
                for at in range(len(rows))
            ]
        )
        assert_same_up_to_a_line(fit.left_out.astype(np.float64), expected)


def landmarked(fit, data, spanning, fitted, scored, weight):
    """Ridge regression over bumps around all rows, fitted to some, solved in float64."""
    scale = fit.model.scaling

    def bumps(part):
        centred = (data.features[part] - scale.mean.numpy()) / scale.scale.numpy()
        centres = (data.features[spanning] - scale.mean.numpy()) / scale.scale.numpy()
        distances = ((centred[:, None].astype(np.float64) - centres[None]) ** 2).sum(2)
        return np.exp(-distances / float(fit.model.width) ** 2)

    kernel = bumps(spanning) + 1e-5 * np.eye(len(spanning))
    design, truth = bumps(fitted), data.targets[fitted].astype(np.float64)
    middle, share = weight @ design / weight.sum(), weight @ truth / weight.sum()
    weighted = (design - middle).T * weight
    normal = weighted @ (design - middle) + fit.penalty * kernel
    return (bumps(scored) - middle) @ np.linalg.solve(normal, weighted @ (truth - share)) + share


def test_rows_it_was_fitted_to_look_better_than_they_are():
    data = made(seed=1)
    rows = data.rows("train")
    fit = fit_kernel_ridge(data, rows, ONE.model_copy(update={"penalties": (0.03,)}), seed=0)
    truth = data.targets[rows]
    inside = average_precision(logits_of(fit.model, data.features[rows]), truth).mean()
    assert inside > average_precision(fit.left_out, truth).mean() + 0.02


def test_the_best_of_the_candidates_is_taken():
    data = made(seed=2)
    rows = data.rows("train")
    fits = {
        penalty: fit_kernel_ridge(data, rows, ONE.model_copy(update={"penalties": (penalty,)}), 0)
        for penalty in (0.001, 1.0, 1000.0)
    }
    precision = {
        penalty: average_precision(fit.left_out, data.targets[rows]).mean()
        for penalty, fit in fits.items()
    }
    every = ONE.model_copy(update={"penalties": tuple(fits)})
    assert fit_kernel_ridge(data, rows, every, 0).penalty == max(precision, key=precision.get)


def test_labels_may_stand_in_any_order():
    data = made()
    order = np.array([2, 0, 3, 1])
    turned = MultiLabelData(
        data.features,
        data.targets[:, order],
        tuple(data.label_names[k] for k in order),
        data.split,
    )
    rows = data.rows("train")
    first, second = (fit_kernel_ridge(each, rows, ONE, 0) for each in (data, turned))
    assert_same_up_to_a_line(
        logits_of(second.model, data.features), logits_of(first.model, data.features)[:, order]
    )
    assert_same_up_to_a_line(second.left_out, first.left_out[:, order])


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_what_is_not_known_costs_nothing(share):
    data = made()
    targets = data.targets.copy()
    hidden = np.random.default_rng(0).random(len(targets)) < share
    targets[hidden, 1] = -1
    part = MultiLabelData(data.features, targets, data.label_names, data.split)
    fit = fit_kernel_ridge(part, data.rows("train"), ONE, 0)
    assert np.isfinite(fit.left_out).all()
    assert np.isfinite(logits_of(fit.model, data.features)).all()


def test_constant_features_and_twin_rows_are_no_trouble():
    data = made()
    features = np.concatenate([data.features, np.ones((len(data.features), 1), np.float32)], axis=1)
    features[10:30] = features[10]
    part = MultiLabelData(features, data.targets, data.label_names, data.split)
    fit = fit_kernel_ridge(part, data.rows("train"), ONE, 0)
    assert np.isfinite(logits_of(fit.model, features)).all()


def test_the_width_is_told_by_rows_that_differ():
    data = made(n_rows=400)
    features = data.features + 3
    features[np.random.default_rng(0).random(len(features)) < 0.8] = 0
    part = MultiLabelData(features, data.targets, data.label_names, data.split)
    only = ONE.model_copy(update={"scalings": ("none",)})
    assert fit_kernel_ridge(part, data.rows("train"), only, 0).model.width > 1


def marked(at):
    def column(rng, n_rows):
        return np.where(rng.random(n_rows) < 0.05, at, rng.normal(size=n_rows))

    return column


COLUMNS = {
    "marks of 1e3": marked(1e3),
    "marks of 1e4": marked(1e4),
    "marks of 1e6": marked(1e6),
    "log-normal": lambda rng, n_rows: np.exp(4 * rng.normal(size=n_rows)),
    "two clusters": lambda rng, n_rows: rng.normal(size=n_rows) + 300 * (rng.random(n_rows) < 0.5),
}


@pytest.mark.parametrize("scaling", ["none", "standard"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_large_numbers_can_be_solved_for(column, scaling):
    data = made(n_rows=1000)
    features = data.features.copy()
    features[:, 0] = COLUMNS[column](np.random.default_rng(1), len(features))
    part = MultiLabelData(features, data.targets, data.label_names, data.split)
    settings = KernelSettings(scalings=(scaling,))
    fit = fit_kernel_ridge(part, data.rows("train"), settings, 0)
    test = data.rows("test")
    assert average_precision(fit.left_out, data.targets[data.rows("train")]).mean() > 0.6
    assert average_precision(logits_of(fit.model, features[test]), data.targets[test]).mean() > 0.6


def with_overflow(data):
    """Centring and scaling alike give infinity: the column's range is more than float32 holds."""
    features = data.features.copy()
    features[:, 0] = np.where(np.arange(len(features)) % 10, -3e38, 3e38)
    return MultiLabelData(features, data.targets, data.label_names, data.split)


def test_features_that_no_kernel_can_take_are_refused():
    data = with_overflow(made())
    told = (
        "the training features must make kernels that can be solved for, got none that can, "
        "of 4 scalings and widths. Look for columns"
    )
    with pytest.raises(FairPOValueError, match=told):
        fit_kernel_ridge(data, data.rows("train"), KernelSettings(), 0)


def test_a_shape_that_cannot_be_solved_for_leaves_the_others(monkeypatch):
    from fairpo.training import kernel_reference

    class Fragile(kernel_reference._Regression):
        def __init__(self, data, rows, sample_weight, shape, landmarks):
            if shape.scaling == "none" or (shape.width == 1 and len(landmarks) > 50):
                raise torch.linalg.LinAlgError
            super().__init__(data, rows, sample_weight, shape, landmarks)

        def solve(self, penalty):
            if penalty < 1:
                raise torch.linalg.LinAlgError
            return super().solve(penalty)

    monkeypatch.setattr(kernel_reference, "_Regression", Fragile)
    monkeypatch.setattr(kernel_reference, "_SEARCH_LANDMARKS", 50)
    data = made()
    settings = KernelSettings(widths=(1.0, 1000.0))  # the first is best on few landmarks
    fit = fit_kernel_ridge(data, data.rows("train"), settings, 0)
    assert (fit.scaling, fit.width) == ("standard", 1000)
    assert fit.penalty >= 1


def test_many_rows_have_fewer_landmarks_and_are_solved_in_blocks(monkeypatch):
    from fairpo.training import kernel_reference

    data = made(n_rows=200)
    rows = data.rows("train")
    whole = fit_kernel_ridge(data, rows, ONE, 0)
    monkeypatch.setattr(kernel_reference, "_KEPT_NUMBERS", 0)
    monkeypatch.setattr(kernel_reference, "block_rows", lambda _: 7)
    blocked = fit_kernel_ridge(data, rows, ONE, 0)
    np.testing.assert_allclose(blocked.left_out, whole.left_out, atol=1e-3)
    monkeypatch.setattr(kernel_reference, "_LEAST_LANDMARKS", 10)
    monkeypatch.setattr(kernel_reference, "_MOST_PRODUCTS", len(rows) * 40**2)
    few = fit_kernel_ridge(data, rows, ONE, 0)
    assert len(few.model.landmarks) == 40
