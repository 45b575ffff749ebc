"""Training: the loop, the choice of the epoch, and runs on disk.

- :mod:`~fairpo.training.settings`: options and presets of the loop.
- :mod:`~fairpo.training.loop`: the loop itself, over arrays.
- :mod:`~fairpo.training.selection`: which epoch is returned.
- :mod:`~fairpo.training.fit`: from data to a reference, from a reference to a policy.
- :mod:`~fairpo.training.run`: run folders.
- :mod:`~fairpo.training.accumulation`: one step of an objective in parts.
- :mod:`~fairpo.training.objective_trainer`: an objective in a ``transformers.Trainer``.
"""

from fairpo.training.run import Run as Run
from fairpo.training.run import load as load
from fairpo.training.settings import TrainingSettings as TrainingSettings
