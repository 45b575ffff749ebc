"""A YAML file of options for a command of ``fairpo lm``, every option explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairpo._checks import unknown_name

if TYPE_CHECKING:
    from pydantic import BaseModel

_EXAMPLES: dict[str, dict[str, Any]] = {
    "sft": {"out": "runs/sft"},
    "train": {"out": "runs/fairpo", "model": "runs/sft", "privileged": "rhyme,clean"},
    "generate": {"model": "runs/fairpo", "out": "runs/written.jsonl"},
    "evaluate": {"models": ["runs/sft", "runs/fairpo"]},
    "compare": {"out": "runs/comparison", "privileged": "rhyme,clean"},
}
"""What a file says where nothing is usual."""


def commented_plan(name: str) -> str:
    """Write the options of a command, ready to be run on the embedded task and to be changed.

    Parameters
    ----------
    name : str
        sft, train, generate, evaluate or compare.

    Raises
    ------
    FairPOValueError
        There is no such command.
    """
    from fairpo.experiments.commented import block, entry
    from fairpo.generation.plans import PLANS

    if name not in PLANS:
        raise unknown_name("command", name, PLANS, of="commands of `fairpo lm`")
    plan: type[BaseModel] = PLANS[name]
    parts = [f"# Options for `fairpo lm {name} --config FILE`; flags stand over them.\n"]
    for option, field in plan.model_fields.items():
        words = field.description or ""
        default = field.get_default(call_default_factory=True)
        if option in _EXAMPLES[name]:
            parts.append(entry(option, _EXAMPLES[name][option], words))
        elif isinstance(default, dict):
            parts.append(block(option, words, {}))
        elif default is None or default == ():
            parts.append(entry(option, None, words))
        else:
            plain = list(default) if isinstance(default, tuple) else default
            parts.append(entry(option, plain, words))
    return "\n".join(parts)
