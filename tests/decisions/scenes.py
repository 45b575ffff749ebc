"""Scores whose probabilities are off, of labels with few positives."""

import numpy as np
from scipy.special import expit


def drifted_scores(seed, n=800, n_labels=20):
    """Validation and test rows of a model after training that spoilt its calibration.

    The true logits of rare labels, stretched and shifted a little differently for each label,
    with noise.
    """
    rng = np.random.default_rng(seed)
    truth = np.linspace(-6.5, -5, n_labels) + 1.5 * rng.normal(size=(2 * n, n_labels))
    targets = (rng.random(truth.shape) < expit(truth)).astype(np.int8)
    slope, shift = 1.8 + 0.2 * rng.normal(size=n_labels), 1 + 0.3 * rng.normal(size=n_labels)
    logits = slope * truth + shift + 0.5 * rng.normal(size=truth.shape)
    return (logits[:n], targets[:n]), (logits[n:], targets[n:])
