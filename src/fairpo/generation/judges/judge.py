"""What every judge is: a name, and one comparison by one attribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length
from fairpo.generation.texts import Text

FIRST, SECOND, TIE = 1.0, 0.0, 0.5


class Judge(Protocol):
    """Anything that says which of two completions is better by an attribute."""

    @property
    def name(self) -> str:
        """What results call it."""

    def compare(
        self,
        prompts: Sequence[Text],
        first: Sequence[str],
        second: Sequence[str],
        attribute: str,
    ) -> NDArray[np.float64]:
        """Compare two completions of each prompt.

        Parameters
        ----------
        prompts : sequence of Text, length n
            Plain text or messages.
        first, second : sequences of str, length n
            Completions alone, without the prompt. Which model wrote which must not matter.
        attribute : str
            What to judge by, and nothing else.

        Returns
        -------
        float64 array, shape (n,)
            1 the first is better, 0 the second, 0.5 a tie; what lies between is a mean of several
            verdicts. NaN is no verdict: skipped and counted, never an error.
        """


def verdicts_of_scores(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compare scores of the two completions, higher is better.

    Parameters
    ----------
    first, second : float arrays, shape (n,)

    Returns
    -------
    float64 array, shape (n,)
        Equal scores tie; NaN where a score is not finite.
    """
    finite = np.isfinite(first) & np.isfinite(second)
    difference = np.full(len(first), np.nan)
    np.subtract(first, second, out=difference, where=finite)
    verdicts: NDArray[np.float64] = (1.0 + np.sign(difference)) / 2.0
    return verdicts


def check_texts(prompts: Sequence[Text], first: Sequence[str], second: Sequence[str]) -> None:
    """Refuse prompts and completions of different numbers."""
    check_same_length(
        {
            "prompts": len(prompts),
            "first completions": len(first),
            "second completions": len(second),
        }
    )
