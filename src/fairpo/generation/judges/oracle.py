"""A judge made of functions: what an attribute means is known and written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import unknown_name
from fairpo.generation.judges.judge import check_texts, verdicts_of_scores
from fairpo.generation.oracles import Oracle
from fairpo.generation.texts import Text


class OracleJudge:
    """Compare completions by a function for each attribute.

    Parameters
    ----------
    oracles : mapping from attribute to callable
        ``(prompt, completion) -> float``, higher is better. Equal scores tie; a score that is not
        finite is no verdict.
    name : str
        What results call it.

    Examples
    --------
    >>> judge = OracleJudge({"short": lambda prompt, completion: -len(completion)})
    >>> judge.compare(["Say yes."] * 3, ["Yes.", "Well, yes.", "No."], ["Yes!"] * 3, "short")
    array([0.5, 0. , 1. ])
    """

    def __init__(self, oracles: Mapping[str, Oracle], name: str = "oracle") -> None:
        self.oracles = dict(oracles)
        self.name = name

    def compare(
        self,
        prompts: Sequence[Text],
        first: Sequence[str],
        second: Sequence[str],
        attribute: str,
    ) -> NDArray[np.float64]:
        """Compare two completions of each prompt; see :meth:`Judge.compare`.

        Raises
        ------
        FairPOValueError
            No function for the attribute, or different numbers of texts.
        """
        if attribute not in self.oracles:
            raise unknown_name("attribute", attribute, self.oracles, of="attributes of this judge")
        check_texts(prompts, first, second)
        score = self.oracles[attribute]
        scores = [
            np.array([float(score(*pair)) for pair in zip(prompts, texts, strict=True)])
            for texts in (first, second)
        ]
        return verdicts_of_scores(*scores)
