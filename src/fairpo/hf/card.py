"""The model card: what was trained, for which labels, what came of it, and what it does not say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairpo._markdown import markdown_table
from fairpo.hf.config import FairPOConfig
from fairpo.hf.evaluation import COMPARED, Evaluation
from fairpo.metrics import LabelFrame
from fairpo.metrics.decisions import metric_key
from fairpo.objectives import Objective
from fairpo.training.model_card import (
    LONGEST,
    card_head,
    escaped,
    groups_table,
    model_in_words,
    settings_table,
)

_LIMITS = """\
- Privileging labels is a choice that somebody made: it says whose errors count more. The choice,
  and who is served or harmed by the errors that remain, are not examined by any number here.
- The other labels are held to the reference by a penalty, not by a guarantee. Compare the two
  columns above for each group, and per label before use; an average can rise while a label falls.
- Figures are of one training on one evaluation set. They carry no interval, and say little about
  labels with few positives.
- Training by preferences changes the scale of the scores. F1, label accuracy and exact match use a
  threshold of 0 on the logits (a probability of 0.5); mean average precision does not. Calibrate
  the scores before reading them as probabilities.
- Improving labels is not fairness towards people: nothing here measures how errors fall on groups
  of persons."""


def model_card(
    model: Any,
    args: FairPOConfig,
    objective: Objective,
    label_names: tuple[str, ...],
    evaluations: Mapping[str, Evaluation],
    method: str,
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
    args : FairPOConfig
    objective : Objective
        Its groups, and its settings where it has any.
    label_names : tuple of str
    evaluations : mapping of Evaluation
        By prefix: "eval", "test".
    method, reference : str
        What they were, in words.
    model_name, license, language, tags : optional
        For the head; a name for the title.
    """
    settings = settings_table(
        args,
        objective,
        "rows a step",
        method=method,
        reference=reference,
        trainable=args.trainable,
    )
    title = model_name or Path(args.output_dir).resolve().name
    parts = [
        card_head(model, license, language, tags, ["fairpo", "multi-label-classification"]),
        f"# {escaped(title)}\n",
        f"{model_in_words(model)} trained with fairpo: some labels are "
        "improved, the others are held to a reference model.\n",
        f"## Label groups\n\n{groups_table(objective.groups, label_names, 'labels')}",
        f"## Results\n\n{_results(evaluations, objective)}",
        f"## Settings\n\n{settings}",
        f"## Limits\n\n{_LIMITS}\n",
    ]
    return "\n".join(parts)


def _results(evaluations: Mapping[str, Evaluation], objective: Objective) -> str:
    if not evaluations:
        return "Not evaluated.\n"
    parts = []
    for prefix, found in evaluations.items():
        rows = [
            [escaped(metric_key(metric, group)), _points(found.policy, metric, group)]
            + ([] if found.reference is None else [_points(found.reference, metric, group)])
            for metric in COMPARED
            for group in ("all", *objective.groups.names)
        ]
        head = ["metric / group", "this model"] + (["reference"] if found.reference else [])
        without = found.policy.undefined.labels_without_positives["all"]
        parts.append(
            f"`{escaped(prefix)}`: {found.n_examples} examples, after {found.step} optimizer "
            f"steps, in points (0 to 100).\n\n{markdown_table(head, rows)}\n"
        )
        if without:
            names = ", ".join(map(escaped, without[:LONGEST]))
            parts.append(
                f"{len(without)} labels have no positive there and no average precision: {names}.\n"
            )
    return "\n".join(parts)


def _points(frame: LabelFrame, metric: str, group: str) -> str:
    value = frame.overall[metric] if group == "all" else frame.by_group[metric][group]
    return "undefined" if value != value else f"{100 * value:.2f}"
