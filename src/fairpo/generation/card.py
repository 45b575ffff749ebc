"""The model card of a language model: what was trained, for which attributes, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairpo._markdown import markdown_table
from fairpo.generation.config import FairPOGenerationConfig
from fairpo.generation.evaluation import ACCURACY, MARGIN, PER_TOKEN, WORST, Evaluation
from fairpo.objectives.pairs import PairObjective
from fairpo.training.model_card import (
    card_head,
    escaped,
    groups_table,
    model_in_words,
    settings_table,
)

_LIMITS = """\
- Privileging attributes is a choice that somebody made: it says whose preferences count more. The
  choice, and who is served or harmed by it, are not examined by any number here.
- The other attributes are held to the reference by a penalty, not by a guarantee, and only on pairs
  like those of the training. An average can rise while an attribute falls.
- Accuracies say which of two given completions the model prefers. They say little about what it
  writes by itself: compare what it generates with what the reference generates.
- Figures are of one training on one evaluation set, and carry no interval.
- Preference training may lower the probability of chosen completions too: compare `logps/chosen`
  of the logs with its value at the start."""


def model_card(
    model: Any,
    args: FairPOGenerationConfig,
    objective: PairObjective,
    attribute_names: tuple[str, ...],
    evaluations: Mapping[str, Evaluation],
    reference: str,
    *,
    model_name: str | None = None,
    license: str | None = None,
    language: str | None = None,
    tags: str | list[str] | None = None,
    **_: Any,
) -> str:
    """Write the card as Markdown with a YAML head.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
    args : FairPOGenerationConfig
    objective : PairObjective
    attribute_names : tuple of str
    evaluations : mapping of Evaluation
        By prefix: "eval", "test".
    reference : str
        What it was, in words.
    model_name, license, language, tags : optional
        For the head; a name for the title.
    """
    settings = settings_table(
        args, objective, "pairs a step", method=args.method, reference=reference
    )
    title = model_name or Path(args.output_dir).resolve().name
    parts = [
        card_head(model, license, language, tags, ["fairpo", "preference-optimization"]),
        f"# {escaped(title)}\n",
        f"{model_in_words(model)} trained with fairpo on preference pairs.\n",
        f"## Attributes\n\n{groups_table(objective.groups, attribute_names, 'attributes')}",
        f"## Results\n\n{_results(evaluations, objective, attribute_names)}",
        f"## Settings\n\n{settings}",
        f"## Limits\n\n{_LIMITS}\n",
    ]
    return "\n".join(parts)


def _results(
    evaluations: Mapping[str, Evaluation], objective: PairObjective, names: tuple[str, ...]
) -> str:
    if not evaluations:
        return "Not evaluated.\n"
    parts = []
    of_attributes = [f"attributes/{name}" for name in names]
    heads = ["pairs", *_COLUMNS.values()]
    for prefix, found in evaluations.items():
        rows = [
            [escaped(part or "all pairs"), *(_shown(found, key, part) for key in _COLUMNS)]
            for part in ("", *objective.groups.names, *of_attributes, *WORST)
        ]
        parts.append(
            f"`{escaped(prefix)}`: {found.n_pairs} pairs, after {found.step} optimizer steps. "
            "Accuracies in points (0 to 100): of implicit rewards against the reference, and of "
            f"log-probabilities per token.\n\n{markdown_table(heads, rows)}\n"
        )
    return "\n".join(parts)


_COLUMNS = {
    ACCURACY: "reward accuracy",
    MARGIN: "reward margin",
    PER_TOKEN: "accuracy per token",
}


def _shown(found: Evaluation, key: str, part: str) -> str:
    value = found.metrics.get(f"{key}/{part}" if part else key)
    if value is None:
        return "undefined"
    return f"{value:.3f}" if key == MARGIN else f"{100 * value:.2f}"
