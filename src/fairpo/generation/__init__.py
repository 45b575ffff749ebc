"""Language models with several attributes: pairs, training, judging, and label sets.

An *attribute* is what drives a preference pair, and plays the part that a label plays elsewhere
in the library: privileged attributes are improved, the others held to the reference. A
*completion* is a chosen or rejected text.

- :mod:`~fairpo.generation.preferences`: :class:`PreferencePairs`, what every reader returns;
- :mod:`~fairpo.generation.readers`: :func:`load_pairs`, one door to files, data sets and the
  embedded task;
- :mod:`~fairpo.generation.ratings`: pairs made of completions that were rated by aspect;
- :mod:`~fairpo.generation.verses`: the embedded task, with an oracle for each attribute;
- :mod:`~fairpo.generation.trainer`: :class:`FairPOGenerationTrainer`, on transformers.Trainer.

Importing it imports none of the heavy packages: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairpo.generation.config import FairPOGenerationConfig as FairPOGenerationConfig
    from fairpo.generation.preferences import PreferencePairs as PreferencePairs
    from fairpo.generation.ratings import pairs_from_ratings as pairs_from_ratings
    from fairpo.generation.readers import PairOptions as PairOptions
    from fairpo.generation.readers import load_pairs as load_pairs
    from fairpo.generation.readers import read_pairs as read_pairs
    from fairpo.generation.trainer import FairPOGenerationTrainer as FairPOGenerationTrainer
    from fairpo.generation.verses import make_verses as make_verses

_HOME = {
    "FairPOGenerationConfig": "fairpo.generation.config",
    "FairPOGenerationTrainer": "fairpo.generation.trainer",
    "PairOptions": "fairpo.generation.readers",
    "PreferencePairs": "fairpo.generation.preferences",
    "load_pairs": "fairpo.generation.readers",
    "make_verses": "fairpo.generation.verses",
    "pairs_from_ratings": "fairpo.generation.ratings",
    "read_pairs": "fairpo.generation.readers",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'fairpo.generation' has no attribute {name!r}")
    if name.startswith("FairPOGeneration"):
        from fairpo._optional import require

        require("transformers", extra="generation", purpose="training of language models")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
