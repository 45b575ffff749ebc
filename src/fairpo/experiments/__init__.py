"""Experiments: methods run side by side, and what they show.

- :mod:`~fairpo.experiments.plan`: what to run.
- :mod:`~fairpo.experiments.runner`: run it, a seed at a time.
- :mod:`~fairpo.experiments.summary`: figures with intervals.
- :mod:`~fairpo.experiments.compare`, :mod:`~fairpo.experiments.train`: into a folder.
- :mod:`~fairpo.experiments.sweep`: settings tuned on validation, what was chosen run on test.
- :mod:`~fairpo.experiments.evaluate`, :mod:`~fairpo.experiments.predictions`: a run in use.
"""
