"""Judges by what the command line calls them."""

from __future__ import annotations

from pathlib import Path

from fairpo._checks import unknown_name, value_error
from fairpo.generation.judges.human import HumanLabels
from fairpo.generation.judges.judge import Judge
from fairpo.generation.judges.oracle import OracleJudge
from fairpo.generation.readers import EMBEDDED

REWARD = "reward-accuracy"
"""What is measured without a judge."""

ORACLE = "oracle"

JUDGES = {
    ORACLE: f"the programs of {EMBEDDED}",
    "reward-model": "a folder or hub name behind a colon",
    "llm": "the name of a model behind an OpenAI-compatible endpoint",
    "human": "a CSV of what people said",
}
"""Kinds of judges, and what stands behind the colon."""


def check_judge(name: str, data: str) -> None:
    """Refuse, before any work, a judge that is none or does not fit the pairs.

    Parameters
    ----------
    name : str
        ``oracle``, ``reward-model:FOLDER``, ``llm:MODEL`` or ``human:FILE.csv``.
    data : str
        Name of the pairs.

    Raises
    ------
    FairPOValueError
    """
    kind, _, rest = name.partition(":")
    if kind not in JUDGES:
        raise unknown_name("judge", kind, (REWARD, *JUDGES), of="kinds of judges")
    if kind == ORACLE:
        if data != EMBEDDED:
            raise value_error(
                "--judge",
                must=f"be another than oracle, whose programs know {EMBEDDED} alone",
                got=f"{name} for {data}",
                do="reward-model:FOLDER, llm:MODEL and human:FILE.csv judge any pairs.",
            )
    elif not rest:
        raise value_error("--judge", must=f"name {JUDGES[kind]}", got=repr(name))


def judge_named(name: str, data: str, *, fetch: bool = False) -> Judge:
    """Build a judge.

    Parameters
    ----------
    name, data
        Of :func:`check_judge`.
    fetch : bool
        Whether a reward model may be downloaded.

    Raises
    ------
    FairPOError
        No such judge, or one that cannot be built: a folder that is no reward model, a file that
        is no table of verdicts, no URL of an endpoint.
    """
    check_judge(name, data)
    kind, _, rest = name.partition(":")
    if kind == ORACLE:
        from fairpo.generation.oracles import ORACLES

        return OracleJudge(ORACLES)
    if kind == "human":
        return HumanLabels.from_csv(Path(rest))
    if kind == "llm":
        from fairpo.generation.judges.llm import LLMJudge

        return LLMJudge(rest)
    from fairpo.generation.judges.reward_model import RewardModelJudge
    from fairpo.generation.quiet import quiet_transformers

    with quiet_transformers():
        return RewardModelJudge.from_pretrained(rest, fetch=fetch)
