"""Training: the loop, the choice of the epoch, and runs on disk.

- :mod:`~fairpo.training.settings`: options and presets of the loop.
- :mod:`~fairpo.training.loop`: the loop itself, over arrays.
- :mod:`~fairpo.training.sampled`: a step on a sample of very many labels.
- :mod:`~fairpo.training.optimizer`: lazy Adam for their last layer.
- :mod:`~fairpo.training.label_scores`: scores of a policy by block of labels.
- :mod:`~fairpo.training.selection`: which epoch is returned.
- :mod:`~fairpo.training.fit`: from data to a reference, from a reference to a policy.
- :mod:`~fairpo.training.run`: run folders.
"""

from fairpo.training.run import Run as Run
from fairpo.training.run import load as load
from fairpo.training.settings import TrainingSettings as TrainingSettings
