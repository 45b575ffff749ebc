"""Parts of a model card that every door's has: the head, tables, groups, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fairpo._markdown import markdown_table
from fairpo.groups import LabelGroups
from fairpo.objectives.group_objective import GroupObjective
from fairpo.training.adapters import has_adapters

LONGEST = 40
"""Members of a group that are named; the others are counted."""


def card_head(
    model: Any,
    license: str | None,
    language: str | None,
    tags: str | list[str] | None,
    our_tags: list[str],
) -> str:
    """The YAML before a card, between its lines of dashes.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
    license, language, tags
        Of the user, each None where not given.
    our_tags : list of str
        Put after the user's.
    """
    given = [tags] if isinstance(tags, str) else list(tags or ())
    values = {
        "library_name": "peft" if has_adapters(model) else "transformers",
        "base_model": _hub_name(model),
        "license": license,
        "language": language,
        "tags": list(dict.fromkeys([*given, *our_tags])),
    }
    known = {key: value for key, value in values.items() if value is not None}
    body = yaml.safe_dump(known, sort_keys=False, allow_unicode=True)
    return f"---\n{body}---\n"


def _hub_name(model: Any) -> str | None:
    """Name of the model it began as, where that is a name on the hub and no path of a machine."""
    name = getattr(model.config, "_name_or_path", "") or ""
    on_hub = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not Path(name).exists()
    return name if on_hub else None


def model_in_words(model: Any) -> str:
    """Class of a model, and what it began as: the subject of a sentence."""
    kind = type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
    name = _hub_name(model)
    return f"`{kind}`" + (f", begun as `{name}`," if name else ",")


def groups_table(groups: LabelGroups, names: tuple[str, ...], members: str) -> str:
    """Which members each group has.

    Parameters
    ----------
    groups : LabelGroups
    names : tuple of str
        Of the members.
    members : str
        What they are called: "labels".
    """
    rows = []
    for group in groups.groups:
        shown = [escaped(names[index]) for index in group.indices[:LONGEST]]
        more = len(group.indices) - len(shown)
        listed = ", ".join(shown) + (f", and {more} more" if more > 0 else "")
        rows.append([escaped(group.name), group.role, str(len(group.indices)), listed or "none"])
    heads = ["group", "role", members, "which"]
    return markdown_table(heads, rows, n_text=len(heads)) + "\n"


def settings_table(args: Any, objective: GroupObjective, rows_a_step: str, **first: str) -> str:
    """What the training was told.

    Parameters
    ----------
    args : transformers.TrainingArguments
        With ``accumulation``.
    objective : GroupObjective
        Its settings where it has any.
    rows_a_step : str
        What a row of a step is called: "rows a step".
    **first : str
        Rows before all others.
    """
    settings = getattr(objective, "settings", None)
    values = {
        **first,
        "accumulation": args.accumulation,
        **(settings.model_dump() if settings is not None else {}),
        "learning_rate": args.learning_rate,
        rows_a_step: args.per_device_train_batch_size
        * args.gradient_accumulation_steps
        * args.world_size,
        **(
            {"optimizer steps": args.max_steps}
            if args.max_steps > 0
            else {"epochs": args.num_train_epochs}
        ),
    }
    rows = [[escaped(name), escaped(str(value))] for name, value in values.items()]
    return markdown_table(["setting", "value"], rows, n_text=2) + "\n"


def escaped(text: str) -> str:
    """Text that is text in Markdown, in a table as well."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!$&])", r"\\\1", one_line)
