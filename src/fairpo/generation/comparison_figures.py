"""Figures of a comparison of language models: what ``comparison.json`` holds.

Its keys:

- ``kind`` ("lm-comparison"), ``title``, ``version``, ``command``, ``settings`` (the plan),
  ``data`` (name, pairs of each split, notes), ``seeds``, ``judge`` (a name, or null), ``level`` and
  ``n_resamples`` of the intervals, ``n_prompts`` that were completed and judged;
- ``attribute_names``, ``privileged`` (names), ``groups`` (name, role, attributes);
- ``methods``: by method, SFT first,

  - ``reward_accuracy``: rates on test pairs, with ``reward``: ``implicit``, against the SFT model
    of the same seed, or for SFT itself ``per_token``;
  - ``per_token_accuracy``: the share of pairs whose chosen completion is likelier per token, for
    every method alike;
  - ``win_rate``: rates of what it writes over what the SFT model of the same seed writes; null for
    SFT, and without a judge;
  - ``drift``: ``chosen`` and ``rejected``, mean log-probability minus the SFT model's in nats, each
    ``overall`` and by ``groups`` and ``attributes``; null for SFT;
  - ``seeds`` that are in these figures, and ``seconds`` of training of each;

- ``differences``: a list of ``first``, ``second``, ``measure`` (``reward_accuracy``, ``win_rate``)
  and ``keys`` (``overall``, ``groups/<name>``, ``attributes/<name>``, ``worst_group``,
  ``worst_attribute``) to value, low and high, on the same resamples, of every two methods but SFT
  over the seeds that both have;
- ``failed``: method, seed and error; ``notes``.

Rates are ``overall``, ``groups``, ``attributes`` (by name), ``worst_group`` and ``worst_attribute``
(with the ``name``): ``value``, ``low``, ``high``, and but for the worst ``wins``, ``ties``,
``losses`` and ``skipped``, which are counts over all seeds. Values are fractions in [0, 1], null
where nothing is known. ``per_seed`` is the values alone: ``seed``, ``overall``, ``groups``,
``attributes``, ``worst_group``, ``worst_attribute``.

A row's value is its mean over the seeds, and intervals are over prompts, as those of classifiers
are over rows: they say how another test set would come out, not another seed.
"""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fairpo
from fairpo.generation.comparison import Compared, Trial
from fairpo.generation.comparison_folder import COMPARISON, LOGS, SAMPLES, write_lines
from fairpo.generation.implicit_reward import (
    length_normalised_margins,
    reference_margins,
    shares_right,
)
from fairpo.generation.questions import ask, sample_lines
from fairpo.generation.rates import Rates, plain
from fairpo.generation.texts import text_numbers
from fairpo.generation.training import SFT
from fairpo.metrics.ranking import Floats
from fairpo.models.checkpoint import write_json

LEVEL = 0.95
MOST_SAMPLES = 200
COUNTS = ("wins", "ties", "losses", "skipped")


def summarise_comparison(compared: Compared, command: str) -> dict[str, Any]:
    """Build the content of ``comparison.json``, and write the three files of the folder.

    Parameters
    ----------
    compared : Compared
    command : str
        How to run it again.

    Returns
    -------
    dict, JSON-able
    """
    plan, parts, trials = compared.plan, compared.parts, compared.trials
    test, names = parts["test"], parts["test"].attribute_names
    done = [method for method in compared.methods if any(m == method for m, _ in trials)]
    verdicts = _verdicts(compared, done)
    shares = {
        "reward_accuracy": {m: _by_seed(compared, m, _implicit) for m in done},
        "per_token_accuracy": {m: _by_seed(compared, m, _per_token) for m in done},
        "win_rate": {
            m: {seed: values for (own, seed), values in verdicts.items() if own == m} for m in done
        },
    }
    of_prompts = text_numbers(test.prompts)
    rows = {
        "reward_accuracy": (test.attributes, of_prompts),
        "per_token_accuracy": (test.attributes, of_prompts),
        "win_rate": (compared.questions.attributes, compared.questions.places),
    }
    measured: dict[str, Measured] = {}
    for measure, by_method in shares.items():
        known = {m: by_seed for m, by_seed in by_method.items() if by_seed}
        if known:
            measured[measure] = Measured(known, *rows[measure], compared)
    methods = {method: _of_method(compared, method, measured) for method in done}
    groups = compared.groups
    found = {
        "kind": "lm-comparison",
        "title": f"{test.name}: {', '.join(done)}",
        "version": fairpo.__version__,
        "command": command,
        "settings": plan.model_dump(mode="json"),
        "data": {
            "name": test.name,
            "n_pairs": {name: len(part) for name, part in parts.items()},
            "counts": {
                name: dict(zip(names, part.counts.tolist(), strict=True))
                for name, part in parts.items()
            },
            "notes": list(dict.fromkeys(note for part in parts.values() for note in part.notes)),
        },
        "seeds": list(range(plan.seeds)),
        "judge": None if compared.judge is None else compared.judge.name,
        "level": LEVEL,
        "n_resamples": plan.n_resamples,
        "n_prompts": len(compared.questions.prompts),
        "attribute_names": list(names),
        "privileged": [names[place] for place in groups.privileged] if plan.privileged else [],
        "groups": [
            {
                "name": group.name,
                "role": group.role,
                "attributes": [names[place] for place in group.indices],
            }
            for group in groups.groups
        ],
        "methods": methods,
        "differences": [
            {"first": later, "second": earlier, "measure": measure, "keys": keys}
            for measure in ("reward_accuracy", "win_rate")
            if measure in measured
            for earlier, later in combinations([m for m in done if m != SFT], 2)
            if (keys := measured[measure].difference(later, earlier))
        ],
        "failed": [
            {key: failed[key] for key in ("method", "seed", "error")} for failed in compared.failed
        ],
        "notes": _notes(compared, verdicts),
    }
    folder = plan.out
    write_lines(folder / LOGS, _log_lines(compared))
    write_lines(folder / SAMPLES, _sample_lines(compared, done, verdicts))
    write_json(folder / COMPARISON, found)
    return found


class Measured:
    """One measure of every method: rates with intervals, and what each seed came to.

    Parameters
    ----------
    shares : dict from method to dict from seed to float array, shape (n,)
        In [0, 1], NaN where nothing is known.
    attributes, prompts : int64 arrays, shape (n,)
    compared : Compared
    """

    def __init__(
        self,
        shares: dict[str, dict[int, Floats]],
        attributes: NDArray[np.int64],
        prompts: NDArray[np.int64],
        compared: Compared,
    ) -> None:
        self._n_resamples = compared.plan.n_resamples
        told = (attributes, compared.parts["test"].attribute_names, compared.groups, prompts)
        self._shares, self._told = shares, told
        means = {method: _mean(list(by_seed.values())) for method, by_seed in shares.items()}
        self.rates = Rates.from_values(means, *told, level=LEVEL, n_resamples=self._n_resamples)
        self.per_seed = {
            method: {
                seed: Rates.from_values({method: values}, *told, n_resamples=1).runs[method]
                for seed, values in by_seed.items()
            }
            for method, by_seed in shares.items()
        }

    def of(self, method: str) -> dict[str, Any] | None:
        """Rates of a method, ready for JSON; None where it was not measured."""
        if method not in self.rates.runs:
            return None
        found = self.rates.runs[method].to_dict()
        each = {seed: run.to_dict() for seed, run in self.per_seed[method].items()}
        for part in ("groups", "attributes"):
            for name, rate in found[part].items():
                _count(rate, [run[part][name] for run in each.values()])
        _count(found["overall"], [run["overall"] for run in each.values()])
        found["per_seed"] = [
            {
                "seed": seed,
                "overall": run["overall"]["value"],
                **{
                    part: {name: rate["value"] for name, rate in run[part].items()}
                    for part in ("groups", "attributes")
                },
                "worst_group": run["worst_group"]["value"],
                "worst_attribute": run["worst_attribute"]["value"],
            }
            for seed, run in each.items()
        ]
        return found

    def difference(self, first: str, second: str) -> dict[str, Any] | None:
        """Rates of one method minus another's, ready for JSON; None where no seed has both.

        Where trials failed, of the seeds that both have: seeds may differ more than methods do.
        """
        if first not in self.rates.runs or second not in self.rates.runs:
            return None
        one, other = self._shares[first], self._shares[second]
        common = [seed for seed in one if seed in other]
        if not common:
            return None
        rates = self.rates
        if len(common) < max(len(one), len(other)):
            means = {
                name: _mean([of[seed] for seed in common])
                for name, of in ((first, one), (second, other))
            }
            rates = Rates.from_values(
                means, *self._told, level=LEVEL, n_resamples=self._n_resamples
            )
        return {key: plain(gain) for key, gain in rates.difference(first, second).items()}


def _count(rate: dict[str, Any], each: list[dict[str, Any]]) -> None:
    """Counts of a mean over seeds are those of all seeds."""
    rate.update({key: sum(own[key] for own in each) for key in COUNTS})


def _mean(shares: list[Floats]) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row that no seed knows stays NaN
        mean: Floats = np.nanmean(np.stack(shares), axis=0)
    return mean


def _by_seed(compared: Compared, method: str, margins: Any) -> dict[int, Floats]:
    found = {}
    for (own, seed), trial in compared.trials.items():
        if own == method:
            found[seed] = shares_right(margins(trial, compared.trials[SFT, seed]))
    return found


def _per_token(trial: Trial, _: Trial) -> Floats:
    return length_normalised_margins(*trial.scores)


def _implicit(trial: Trial, start: Trial) -> Floats:
    if trial.method == SFT:
        return _per_token(trial, start)
    own, of_start = trial.scores, start.scores
    return reference_margins(own.chosen, own.rejected, of_start.chosen, of_start.rejected)


def _verdicts(compared: Compared, done: list[str]) -> dict[tuple[str, int], Floats]:
    """Verdicts over SFT of the same seed."""
    judge = compared.judge
    if judge is None:
        return {}
    return {
        (method, seed): ask(
            judge,
            compared.questions,
            trial.completions,
            compared.trials[SFT, seed].completions,
        )
        for (method, seed), trial in compared.trials.items()
        if method != SFT and method in done
    }


def _of_method(compared: Compared, method: str, measured: dict[str, Measured]) -> dict[str, Any]:
    own = [trial for (name, _), trial in compared.trials.items() if name == method]
    figures: dict[str, Any] = {
        measure: measured[measure].of(method) if measure in measured else None
        for measure in ("reward_accuracy", "per_token_accuracy", "win_rate")
    }
    figures["reward_accuracy"]["reward"] = "per_token" if method == SFT else "implicit"
    figures["drift"] = None if method == SFT else _drift(compared, own)
    figures["seeds"] = [trial.seed for trial in own]
    figures["seconds"] = [round(trial.seconds, 1) for trial in own]
    return figures


def _drift(compared: Compared, own: list[Trial]) -> dict[str, Any]:
    test, groups = compared.parts["test"], compared.groups
    masks: dict[str, Any] = {
        "overall": np.ones(len(test), dtype=bool),
        "groups": dict(zip(groups.names, groups.membership[:, test.attributes], strict=True)),
        "attributes": {
            name: test.attributes == place for place, name in enumerate(test.attribute_names)
        },
    }
    drift = {}
    for side in ("chosen", "rejected"):
        moved = _mean(
            [
                getattr(trial.scores, side) - getattr(compared.trials[SFT, trial.seed].scores, side)
                for trial in own
            ]
        )
        drift[side] = {
            part: {name: _average(moved[rows]) for name, rows in mask.items()}
            if isinstance(mask, dict)
            else _average(moved[mask])
            for part, mask in masks.items()
        }
    return drift


def _average(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _log_lines(compared: Compared) -> list[dict[str, Any]]:
    return [
        {"method": method, "seed": seed, **record}
        for (method, seed), trial in compared.trials.items()
        for record in trial.log
    ]


def _sample_lines(
    compared: Compared, done: list[str], verdicts: dict[tuple[str, int], Floats]
) -> list[dict[str, Any]]:
    questions = compared.questions
    first = min((seed for _, seed in compared.trials), default=0)
    written = {
        method: compared.trials[method, first].completions
        for method in done
        if (method, first) in compared.trials and compared.trials[method, first].completions
    }
    if not written:
        return []
    judged = {method: own for (method, seed), own in verdicts.items() if seed == first}
    return sample_lines(questions, written, judged)[:MOST_SAMPLES]


def _notes(compared: Compared, verdicts: dict[tuple[str, int], Floats]) -> list[str]:
    notes = []
    unscored = sum(
        int(np.isnan(_per_token(trial, trial)).sum()) for trial in compared.trials.values()
    )
    if unscored:
        notes.append(f"{unscored} scores of test pairs are missing: max_length leaves no room")
    skipped = sum(int(np.isnan(own).sum()) for own in verdicts.values())
    if skipped:
        n_rows = sum(len(own) for own in verdicts.values())
        notes.append(f"{skipped} of {n_rows} comparisons are without a verdict and in no win rate")
    counts = compared.parts["test"].counts
    few = [
        f"{name} {n}"
        for name, n in zip(compared.parts["test"].attribute_names, counts.tolist(), strict=True)
        if n < 30
    ]
    if few:
        shown = ", ".join(few[:10])
        notes.append(f"attributes with fewer than 30 test pairs, which decide little: {shown}")
    if compared.failed:
        notes.append(
            "rates of methods whose trials failed are of fewer seeds; differences are of the seeds "
            "that both methods have"
        )
    if compared.plan.seeds < 2:
        notes.append("one seed: another initial model may come out otherwise")
    return notes
