"""Flags and YAML keys of ``fairpo lm``, both made of one model of options a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from fairpo._checks import build_settings, file_error, unknown_name, value_error
from fairpo._optional import require
from fairpo.cli import options

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_SHORT = {"settings": "--set", "data_options": "--data-option"}
"""Mappings that are given an entry at a time, as ``NAME=VALUE``."""

_MODEL = "config.json"
"""What every folder of a model holds, and no folder of pairs."""

_ONLY_FILES = ("sft", "overrides")
"""Mappings that a file alone can say."""


def lm_command(
    plan: type[BaseModel], run: Callable[..., None], positional: tuple[str, ...]
) -> Callable[..., None]:
    """Make a command whose flags are the fields of a plan.

    Parameters
    ----------
    plan : model of options
        Its docstring is the help of the command.
    run : callable
        Called with the plan and, by name, ``fetch``, ``overwrite`` and ``as_json``.
    positional : tuple of str
        Fields that are arguments, in their order. Of several the first may be a list.

    Returns
    -------
    callable
        For typer.
    """

    def command(**given: Any) -> None:
        from fairpo.cli.show import say

        file = given.pop("config")
        common = {name: given.pop(name) for name in ("fetch", "overwrite", "as_json")}
        options.set_threads(given.pop("threads"))
        told = read_plan(plan, file, _told(given, positional))
        require("transformers", extra="generation", purpose="language models")
        try:
            run(told, **common)
        except KeyboardInterrupt:  # typer would end without a word
            say("stopped; nothing was written.")
            raise typer.Exit(130) from None

    parameters = [
        _parameter(name, field, name in positional) for name, field in _in_order(plan, positional)
    ]
    command.__signature__ = inspect.Signature([*parameters, *_COMMON])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    command.__doc__ = f"{plan.__doc__}"
    return command


def read_plan(plan: type[BaseModel], file: Path | None, flags: dict[str, Any]) -> Any:
    """Build a plan from a file and from flags, which win; every key is checked.

    Parameters
    ----------
    plan : model of options
    file : Path, optional
        YAML with the plan's fields as keys.
    flags : dict
        Fields that were given on the command line. Mappings are merged entry by entry.

    Raises
    ------
    FairPOFileError
        The file cannot be read, or is no mapping.
    FairPOValueError
        Unknown or missing options and values out of range, all in one error.
    """
    values = {} if file is None else _read(file)
    values = {
        name: value
        for name, value in values.items()
        if value is not None or _is_told_by_nothing(plan, name)
    }
    for name, value in flags.items():
        before = values.get(name)
        values[name] = {**before, **value} if isinstance(before, dict) else value
    missing = [
        name
        for name, field in plan.model_fields.items()
        if field.is_required() and name not in values
    ]
    unknown = [name for name in values if name not in plan.model_fields]
    if unknown:
        raise unknown_name("option", unknown[0], plan.model_fields, of="options of this command")
    if missing:
        raise value_error(
            " and ".join(f"--{name.replace('_', '-')}" for name in missing),
            must="be given",
            got="nothing",
            do="As an argument or a flag, or in the file of --config.",
        )
    return build_settings(plan, values)


def _is_told_by_nothing(plan: type[BaseModel], name: str) -> bool:
    """Whether nothing behind a key says something: that a limit which is usual is none."""
    field = plan.model_fields.get(name)
    if field is None or field.is_required():
        return False
    return field.get_default(call_default_factory=True) not in (None, (), {})


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise file_error(file, f"cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise file_error(
            file, "holds no options", "Write one with `fairpo lm init`, and change it."
        )
    return values


def _told(given: dict[str, Any], positional: tuple[str, ...]) -> dict[str, Any]:
    """What was said on the command line, by field."""
    told = {name: value for name, value in given.items() if value not in (None, [])}
    for name in _SHORT:
        if name in told:
            told[name] = options.parse_assignments(told[name])
    last = told.get("models", [""])[-1]
    if len(told.get("models", [])) > 1 and not (Path(last) / _MODEL).is_file():
        *told["models"], told["pairs"] = told["models"]
    return told


def _in_order(plan: type[BaseModel], positional: tuple[str, ...]) -> list[tuple[str, FieldInfo]]:
    """Fields that have a flag or a place, arguments first."""
    fields = plan.model_fields
    flags = [name for name in fields if name not in (*positional, *_ONLY_FILES)]
    # A list takes every argument there is: what stands behind it is its last one.
    first = positional[:1] if positional[:1] == ("models",) else positional
    return [(name, fields[name]) for name in (*first, *flags)]


def _parameter(name: str, field: FieldInfo, is_argument: bool) -> inspect.Parameter:
    words = field.description or ""
    if name == "models":
        info: Any = typer.Argument(metavar="RUN... [PAIRS]", help=words)
        kind: Any = list[str] | None
    elif is_argument:
        info, kind = typer.Argument(metavar=name.upper(), help=words), str | None
    elif name in _SHORT:
        info = typer.Option(_SHORT[name], metavar="NAME=VALUE", help=f"{words} Repeatable.")
        kind = list[str] | None
    else:
        default = field.get_default(call_default_factory=True)
        unsaid = field.is_required() or default in (None, (), {}, "")
        shown = ",".join(default) if isinstance(default, tuple) else default
        info = typer.Option(help=words if unsaid else f"{words} [default: {shown}]")
        kind = _flag_type(field.annotation) | None
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, info],
    )


def _flag_type(annotation: Any) -> Any:
    """Type of a flag: the plain ones as they are, names with commas as text."""
    kinds = [kind for kind in (*get_args(annotation), annotation) if kind is not type(None)]
    return next((kind for kind in kinds if kind in (bool, int, float, Path)), str)


def _common(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


_COMMON = (
    _common(
        "config",
        Annotated[
            Path | None,
            typer.Option(help="YAML file of these options, as `fairpo lm init` writes; flags win."),
        ],
        None,
    ),
    _common("fetch", options.Fetch, False),
    _common("threads", options.Threads, 1),
    _common("overwrite", options.Overwrite, False),
    _common("as_json", options.Json, False),
)
