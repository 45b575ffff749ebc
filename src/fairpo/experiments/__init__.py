"""Experiments: methods run side by side, and what they show.

- :mod:`~fairpo.experiments.plan`, :mod:`~fairpo.experiments.study`: what to run, how it is varied.
- :mod:`~fairpo.experiments.conduct`, :mod:`~fairpo.experiments.train`: run it into a folder.
- :mod:`~fairpo.experiments.summary`: figures with intervals.
- :mod:`~fairpo.experiments.sweep`: settings tuned on validation, what was chosen run on test.
- :mod:`~fairpo.experiments.evaluate`, :mod:`~fairpo.experiments.predictions`: a run in use.
"""
