"""The model card: what was trained, for which labels, what came of it, and what it does not say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from fairpo.hf.config import FairPOConfig
from fairpo.hf.evaluation import COMPARED, Evaluation
from fairpo.metrics import LabelFrame
from fairpo.metrics.decisions import metric_key
from fairpo.objectives import Objective

_LONGEST = 40
"""Labels of a group that are named; the others are counted."""

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
    title = model_name or Path(args.output_dir).resolve().name
    parts = [
        f"---\n{_head(model, license, language, tags)}---\n",
        f"# {_escaped(title)}\n",
        f"{_base(model)} trained with fairpo: some labels are "
        "improved, the others are held to a reference model.\n",
        f"## Label groups\n\n{_groups(objective, label_names)}",
        f"## Results\n\n{_results(evaluations, objective)}",
        f"## Settings\n\n{_settings(args, objective, method, reference)}",
        f"## Limits\n\n{_LIMITS}\n",
    ]
    return "\n".join(parts)


def _head(
    model: Any, license: str | None, language: str | None, tags: str | list[str] | None
) -> str:
    given = [tags] if isinstance(tags, str) else list(tags or ())
    adapters = hasattr(model, "peft_config")
    values = {
        "library_name": "peft" if adapters else "transformers",
        "base_model": _hub_name(model),
        "license": license,
        "language": language,
        "tags": list(dict.fromkeys([*given, "fairpo", "multi-label-classification"])),
    }
    known = {key: value for key, value in values.items() if value is not None}
    return yaml.safe_dump(known, sort_keys=False, allow_unicode=True)


def _hub_name(model: Any) -> str | None:
    """Name of the model it began as, where that is a name on the hub and no path of a machine."""
    name = getattr(model.config, "_name_or_path", "") or ""
    on_hub = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not Path(name).exists()
    return name if on_hub else None


def _base(model: Any) -> str:
    kind = type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
    name = _hub_name(model)
    return f"`{kind}`" + (f", begun as `{name}`," if name else ",")


def _groups(objective: Objective, label_names: tuple[str, ...]) -> str:
    rows = []
    for group in objective.groups.groups:
        names = [_escaped(label_names[index]) for index in group.indices[:_LONGEST]]
        more = len(group.indices) - len(names)
        shown = ", ".join(names) + (f", and {more} more" if more > 0 else "")
        rows.append([_escaped(group.name), group.role, str(len(group.indices)), shown or "none"])
    return _table(["group", "role", "labels", "which"], rows)


def _results(evaluations: Mapping[str, Evaluation], objective: Objective) -> str:
    if not evaluations:
        return "Not evaluated.\n"
    parts = []
    for prefix, found in evaluations.items():
        rows = [
            [_escaped(metric_key(metric, group)), _points(found.policy, metric, group)]
            + ([] if found.reference is None else [_points(found.reference, metric, group)])
            for metric in COMPARED
            for group in ("all", *objective.groups.names)
        ]
        head = ["metric / group", "this model"] + (["reference"] if found.reference else [])
        without = found.policy.undefined.labels_without_positives["all"]
        parts.append(
            f"`{_escaped(prefix)}`: {found.n_examples} examples, after {found.step} optimizer "
            f"steps, in points (0 to 100).\n\n{_table(head, rows)}"
        )
        if without:
            names = ", ".join(map(_escaped, without[:_LONGEST]))
            parts.append(
                f"{len(without)} labels have no positive there and no average precision: {names}.\n"
            )
    return "\n".join(parts)


def _points(frame: LabelFrame, metric: str, group: str) -> str:
    value = frame.overall[metric] if group == "all" else frame.by_group[metric][group]
    return "undefined" if value != value else f"{100 * value:.2f}"


def _settings(args: FairPOConfig, objective: Objective, method: str, reference: str) -> str:
    settings = getattr(objective, "settings", None)
    values = {
        "method": method,
        "reference": reference,
        "trainable": args.trainable,
        "accumulation": args.accumulation,
        **(settings.model_dump() if settings is not None else {}),
        "learning_rate": args.learning_rate,
        "rows a step": args.per_device_train_batch_size
        * args.gradient_accumulation_steps
        * args.world_size,
        **(
            {"optimizer steps": args.max_steps}
            if args.max_steps > 0
            else {"epochs": args.num_train_epochs}
        ),
    }
    return _table(
        ["setting", "value"], [[_escaped(k), _escaped(str(v))] for k, v in values.items()]
    )


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    """Text that is text in Markdown, in a table as well."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!$&])", r"\\\1", one_line)
