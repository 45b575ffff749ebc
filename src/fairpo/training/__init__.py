"""Training: the loop, the choice of the epoch, and runs on disk.

- :mod:`~fairpo.training.settings`: options and presets of the loop.
- :mod:`~fairpo.training.loop`: the loop itself, over arrays.
- :mod:`~fairpo.training.step`: one step, its rows among micro-batches and processes.
- :mod:`~fairpo.training.distributed`: what processes exchange.
- :mod:`~fairpo.training.state`: a training under way on disk.
- :mod:`~fairpo.training.optimizer`: lazy Adam for the last layer of very many labels.
- :mod:`~fairpo.training.rows`, :mod:`~fairpo.training.reference_scores`,
  :mod:`~fairpo.training.label_scores`: features, targets and scores by row and by block of labels.
- :mod:`~fairpo.training.selection`, :mod:`~fairpo.training.validation`: which epoch is returned,
  and by what.
- :mod:`~fairpo.training.label_counts`: how often labels apply, for objectives that ask.
- :mod:`~fairpo.training.fit`: from data to a reference, from a reference to a policy;
  :mod:`~fairpo.training.fitted`: what is returned, the policy or the reference.
- :mod:`~fairpo.training.reference`: the model that must not get worse; in closed form by
  :mod:`~fairpo.training.kernel_reference`.
- :mod:`~fairpo.training.cross_fit`: a network beside the closed form;
  :mod:`~fairpo.training.competition`, :mod:`~fairpo.training.interpolation`: what it is measured
  against, and how the two are weighed.
- :mod:`~fairpo.training.accumulation`: one step of an objective in parts.
- :mod:`~fairpo.training.objective_trainer`, :mod:`~fairpo.training.reported_trainer`,
  :mod:`~fairpo.training.objective_arguments`: an objective in a ``transformers.Trainer``, for the
  doors built on it.
- :mod:`~fairpo.training.reference_model`, :mod:`~fairpo.training.reference_cache`: the model that
  must not get worse, and what it says of a data set.
- :mod:`~fairpo.training.run`, :mod:`~fairpo.training.unfinished`: run folders, whole and under way.
"""

from fairpo.training.label_counts import count_labels as count_labels
from fairpo.training.run import Run as Run
from fairpo.training.run import load as load
from fairpo.training.settings import TrainingSettings as TrainingSettings
