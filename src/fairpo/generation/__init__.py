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
- :mod:`~fairpo.generation.judges`: who says which completion is better: programs, a reward model,
  a language model, people;
- :mod:`~fairpo.generation.win_rates`: models compared by a judge, group by group;
- :mod:`~fairpo.generation.implicit_reward`: a policy's own reward on held-out pairs;
- :mod:`~fairpo.generation.language_models`: models by name, the tiny one among them, and
  :mod:`~fairpo.generation.runs`, what a trained one is on disk;
- :mod:`~fairpo.generation.decoding`: what a model writes;
- :mod:`~fairpo.generation.plans`: options of ``fairpo lm``; and
  :mod:`~fairpo.generation.comparison`: methods compared on the same pairs and prompts.

Importing it imports none of the heavy packages: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairpo.generation.config import FairPOGenerationConfig as FairPOGenerationConfig
    from fairpo.generation.decoding import write_completions as write_completions
    from fairpo.generation.implicit_reward import (
        length_normalised_margins as length_normalised_margins,
    )
    from fairpo.generation.implicit_reward import reference_margins as reference_margins
    from fairpo.generation.implicit_reward import reward_accuracy as reward_accuracy
    from fairpo.generation.judges.human import HumanLabels as HumanLabels
    from fairpo.generation.judges.judge import Judge as Judge
    from fairpo.generation.judges.llm import LLMJudge as LLMJudge
    from fairpo.generation.judges.oracle import OracleJudge as OracleJudge
    from fairpo.generation.judges.reward_model import RewardModelJudge as RewardModelJudge
    from fairpo.generation.language_models import load_language_model as load_language_model
    from fairpo.generation.pair_scores import score_pairs as score_pairs
    from fairpo.generation.plans import ComparePlan as ComparePlan
    from fairpo.generation.plans import DecodingSettings as DecodingSettings
    from fairpo.generation.preferences import PreferencePairs as PreferencePairs
    from fairpo.generation.ratings import pairs_from_ratings as pairs_from_ratings
    from fairpo.generation.readers import PairOptions as PairOptions
    from fairpo.generation.readers import load_pairs as load_pairs
    from fairpo.generation.readers import read_pairs as read_pairs
    from fairpo.generation.trainer import FairPOGenerationTrainer as FairPOGenerationTrainer
    from fairpo.generation.verses import make_verses as make_verses
    from fairpo.generation.win_rates import WinRates as WinRates
    from fairpo.generation.win_rates import judge_models as judge_models

_HOME = {
    "ComparePlan": "fairpo.generation.plans",
    "DecodingSettings": "fairpo.generation.plans",
    "FairPOGenerationConfig": "fairpo.generation.config",
    "FairPOGenerationTrainer": "fairpo.generation.trainer",
    "HumanLabels": "fairpo.generation.judges.human",
    "Judge": "fairpo.generation.judges.judge",
    "LLMJudge": "fairpo.generation.judges.llm",
    "OracleJudge": "fairpo.generation.judges.oracle",
    "PairOptions": "fairpo.generation.readers",
    "PreferencePairs": "fairpo.generation.preferences",
    "RewardModelJudge": "fairpo.generation.judges.reward_model",
    "WinRates": "fairpo.generation.win_rates",
    "judge_models": "fairpo.generation.win_rates",
    "load_language_model": "fairpo.generation.language_models",
    "length_normalised_margins": "fairpo.generation.implicit_reward",
    "load_pairs": "fairpo.generation.readers",
    "make_verses": "fairpo.generation.verses",
    "pairs_from_ratings": "fairpo.generation.ratings",
    "read_pairs": "fairpo.generation.readers",
    "reference_margins": "fairpo.generation.implicit_reward",
    "reward_accuracy": "fairpo.generation.implicit_reward",
    "score_pairs": "fairpo.generation.pair_scores",
    "write_completions": "fairpo.generation.decoding",
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
