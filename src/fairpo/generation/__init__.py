"""Language models with several attributes: judging them.

Importing it imports none of the heavy packages: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairpo.generation.implicit_reward import reward_accuracy as reward_accuracy
    from fairpo.generation.judges.judge import Judge as Judge
    from fairpo.generation.judges.llm import LLMJudge as LLMJudge
    from fairpo.generation.judges.oracle import OracleJudge as OracleJudge
    from fairpo.generation.win_rates import WinRates as WinRates
    from fairpo.generation.win_rates import judge_models as judge_models

_HOME = {
    "Judge": "fairpo.generation.judges.judge",
    "LLMJudge": "fairpo.generation.judges.llm",
    "OracleJudge": "fairpo.generation.judges.oracle",
    "judge_models": "fairpo.generation.win_rates",
    "reward_accuracy": "fairpo.generation.implicit_reward",
    "WinRates": "fairpo.generation.win_rates",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'fairpo.generation' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
