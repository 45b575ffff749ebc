"""Win rates: models compared by a judge with a baseline and with each other, group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length, unknown_name, value_error
from fairpo.generation.judges.judge import Judge
from fairpo.generation.rates import Rates, RunRates, plain
from fairpo.generation.texts import Text, text_numbers
from fairpo.groups import LabelGroups


@dataclass(frozen=True)
class Verdicts:
    """What a judge said of several models, row by row.

    Attributes
    ----------
    values : dict from (first, second) to float64 array, shape (n,)
        Models compared; 1 the first won, 0 the second, 0.5 a tie, NaN no verdict.
    attributes : int64 array, shape (n,)
        What each row was judged by.
    attribute_names : tuple of str
    prompts : int64 array, shape (n,)
        The same number where the prompt is the same text.
    judge : str
        Name of the judge.
    """

    values: dict[tuple[str, str], NDArray[np.float64]]
    attributes: NDArray[np.int64]
    attribute_names: tuple[str, ...]
    prompts: NDArray[np.int64]
    judge: str


@dataclass(frozen=True)
class WinRates:
    """Win rates of every comparison, and what separates models that met the same opponent.

    Build it with :meth:`from_verdicts`.

    Attributes
    ----------
    rates : Rates
        Its runs are named ``<first> over <second>``.
    comparisons : tuple of (first, second)
        In the order of the runs.
    judge : str
    """

    rates: Rates
    comparisons: tuple[tuple[str, str], ...]
    judge: str

    @classmethod
    def from_verdicts(
        cls,
        verdicts: Verdicts,
        groups: LabelGroups,
        *,
        level: float = 0.95,
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> WinRates:
        """Win rates by attribute, by group, over all rows, and of the worst group and attribute.

        Parameters
        ----------
        verdicts : Verdicts
            From :func:`judge_models`.
        groups : LabelGroups
            Over the attributes.
        level, n_resamples, seed
            Of the intervals, over prompts; see
            :meth:`Rates.from_values <fairpo.generation.rates.Rates.from_values>`.

        Returns
        -------
        WinRates
            Ties count one half; rows without a verdict are left out, and counted.

        Examples
        --------
        >>> from fairpo import LabelPartition
        >>> from fairpo.generation import OracleJudge, WinRates, judge_models
        >>> judge = OracleJudge({"short": lambda _, text: -len(text)})
        >>> texts = {"sft": ["Well, yes.", "No"], "fairpo": ["Yes.", "No"]}
        >>> verdicts = judge_models(judge, ["Is it?", "Was it?"], texts, ["short"])
        >>> groups = LabelPartition.from_names(["short"], ["short"])
        >>> found = WinRates.from_verdicts(verdicts, groups)
        >>> rate = found.of("fairpo", "sft").groups["privileged"]
        >>> rate.value, rate.wins, rate.ties
        (0.75, 1, 1)
        """
        measured = Rates.from_values(
            {run_name(*pair): values for pair, values in verdicts.values.items()},
            verdicts.attributes,
            verdicts.attribute_names,
            groups,
            verdicts.prompts,
            level=level,
            n_resamples=n_resamples,
            seed=seed,
        )
        return cls(measured, tuple(verdicts.values), verdicts.judge)

    def of(self, first: str, second: str) -> RunRates:
        """Rates of one comparison."""
        run = run_name(first, second)
        if run not in self.rates.runs:
            raise unknown_name("comparison", run, self.rates.runs, of="comparisons")
        return self.rates.runs[run]

    def to_dict(self) -> dict[str, Any]:
        """Return rates and paired differences, ready for JSON; NaN becomes None."""
        differences = [
            {
                "first": later[0],
                "second": earlier[0],
                "against": later[1],
                "keys": {
                    key: plain(difference)
                    for key, difference in self.rates.difference(
                        run_name(*later), run_name(*earlier)
                    ).items()
                },
            }
            for earlier, later in combinations(self.comparisons, 2)
            if earlier[1] == later[1]
        ]
        return {"judge": self.judge, **self.rates.to_dict(), "differences": differences}


def judge_models(
    judge: Judge,
    prompts: Sequence[Text],
    completions: Mapping[str, Sequence[str]],
    attribute_names: Sequence[str],
    baseline: str | None = None,
    *,
    attributes: NDArray[np.int64] | None = None,
) -> Verdicts:
    """Ask a judge about every model against the baseline, and about every two other models.

    Parameters
    ----------
    judge : Judge
    prompts : sequence of Text, length m
    completions : mapping from model to sequence of str, each of length m
    attribute_names : sequence of str
    baseline : str, optional
        Model that the others are compared with, such as the SFT model or the reference: second in
        its comparisons. The first of ``completions`` when not given.
    attributes : int array, shape (m,), optional
        The one attribute that each prompt is judged by. Every prompt is judged by every attribute
        when not given.

    Returns
    -------
    Verdicts
        Rows by attribute, and within it in the order of the prompts.

    Raises
    ------
    FairPOValueError
        Fewer than two models, an unknown baseline, different numbers of texts, or what the judge
        refuses.
    """
    if len(completions) < 2:
        raise value_error("completions", must="be of at least two models", got=len(completions))
    against = next(iter(completions)) if baseline is None else baseline
    if against not in completions:
        raise unknown_name("baseline", against, completions, of="models")
    check_same_length({"prompts": len(prompts)} | {name: len(c) for name, c in completions.items()})
    rows = _rows(len(prompts), len(attribute_names), attributes)
    models = [name for name in completions if name != against]
    pairs = [(model, against) for model in models] + [
        (later, earlier) for earlier, later in combinations(models, 2)
    ]
    values = {
        (one, other): np.concatenate(
            [
                judge.compare(
                    [prompts[row] for row in part],
                    [completions[one][row] for row in part],
                    [completions[other][row] for row in part],
                    attribute,
                )
                for attribute, part in zip(attribute_names, rows, strict=True)
                if part
            ]
        )
        for one, other in pairs
    }
    return Verdicts(
        values=values,
        attributes=np.repeat(np.arange(len(rows)), [len(part) for part in rows]),
        attribute_names=tuple(attribute_names),
        prompts=text_numbers(prompts)[[row for part in rows for row in part]],
        judge=judge.name,
    )


def run_name(first: str, second: str) -> str:
    """Name a comparison."""
    return f"{first} over {second}"


def _rows(
    n_prompts: int, n_attributes: int, attributes: NDArray[np.int64] | None
) -> list[list[int]]:
    """Prompts that are judged by each attribute."""
    if attributes is None:
        return [list(range(n_prompts)) for _ in range(n_attributes)]
    given = np.asarray(attributes)
    check_same_length({"attributes": len(given), "prompts": n_prompts})
    if n_prompts and not (given.min() >= 0 and given.max() < n_attributes):
        raise value_error(
            "attributes",
            must=f"be from 0 to {n_attributes - 1}, places in attribute_names",
            got=f"{given.min()} to {given.max()}",
        )
    return [np.flatnonzero(given == attribute).tolist() for attribute in range(n_attributes)]
