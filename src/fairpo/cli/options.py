"""Options that several commands share, and how ``--set`` finds the setting it means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fairpo._checks import file_error, unknown_name, value_error

if TYPE_CHECKING:
    from fairpo.data import DataOptions, MultiLabelData
    from fairpo.experiments.plan import Plan
    from fairpo.labelsets.folder import SetRun
    from fairpo.training.run import Run

Content = TypeVar("Content", bound="Plan")

_HOW_TO_READ = (
    *("labels", "delimiter", "path", "text", "id", "split"),
    *("ignore", "slices", "difficult"),
)

_DATA = typer.Argument(
    help="digits (comes with fairpo), or a file, folder, openml:NAME or hf:NAME; "
    "see `fairpo data formats`."
)
_NEW = typer.Option(help="Folder to write; must be new or empty.")

Data = Annotated[str, _DATA]
DataUnlessResumed = Annotated[str | None, _DATA]
Format = Annotated[
    str | None, typer.Option("--format", help="Kind of DATA, where it is not recognised.")
]
DataRoot = Annotated[
    str | None,
    typer.Option(help="Folder in which DATA is looked up; FAIRPO_DATA by default."),
]
LabelXml = Annotated[
    str | None, typer.Option(help="ARFF: file that lists the labels, if not beside it.")
]
Fetch = Annotated[bool, typer.Option("--fetch", help="Let DATA or a backbone be downloaded.")]
Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--data-option",
        metavar="NAME=VALUE",
        help="How DATA is read, such as labels=is_*, text=body or year=2017; repeatable; "
        "see `fairpo data formats`.",
    ),
]
Privileged = Annotated[
    str,
    typer.Option(
        help="rarest:20%, worst:10, names such as cat,dog, or @file: one name a line, or groups in "
        "YAML."
    ),
]
Preset = Annotated[str, typer.Option(help="Objective settings of paper-v1 or paper-v2.")]
TrainingPreset = Annotated[
    str, typer.Option(help="Training settings: default, paper-v1 or paper-v2.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting by name, such as beta=0.5, epochs=20 or hidden=[512]; repeatable.",
    ),
]
Threads = Annotated[
    int, typer.Option(min=1, help="Threads of torch; 1 is fastest on busy machines.")
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Processes, each with one thread; as many as there are cores."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run in the output folder.")]
Out = Annotated[
    Path, typer.Option(help="Folder to write: new, empty, or one in which this was stopped.")
]
NewOut = Annotated[Path, _NEW]
OutUnlessResumed = Annotated[Path | None, _NEW]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="digits, a folder, or a name on the hub. Default: ViT-Base/16 for images, MiniLM "
        "for texts."
    ),
]
BackboneNow = Annotated[
    str | None,
    typer.Option(
        "--backbone", help="Where the run's backbone lies now; where it lay in training by default."
    ),
]
Pooling = Annotated[
    str | None,
    typer.Option(help="cls or mean; images take cls where there is one, texts mean."),
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu or cuda: where to train; auto by default.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        help="The model that must not get worse: a run folder, or scores in an .npy file."
    ),
]
ReferenceScores = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Of a run on the scores of another model: those for the rows of DATA, an .npy file.",
    ),
]
ReferenceKind = Annotated[
    str, typer.Option(help="Whether those scores are logits or probs (probabilities).")
]


def given(context: typer.Context) -> dict[str, str]:
    """Return the options of the command line: name of the parameter, and how it is written."""
    options = {parameter.name or "": parameter.opts[0] for parameter in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in options}
    return {
        name: option
        for name, option in options.items()
        if (source := sources[name]) is not None and source.name == "COMMANDLINE"
    }


def set_threads(threads: int) -> None:
    """Set torch's threads; the command line alone may do that."""
    import torch

    torch.set_num_threads(threads)


def data_options(
    reading: list[str] | None,
    format_name: str | None = None,
    data_root: str | None = None,
    label_xml: str | None = None,
    fetch: bool = False,
) -> DataOptions:
    """Gather and check what the reader of DATA is told."""
    from fairpo._checks import build_settings
    from fairpo.data.options import DataOptions

    named = {"format": format_name, "root": data_root, "label_xml": label_xml}
    values: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    for text in reading or []:
        name, value = _split_assignment("--data-option", text)
        values[name] = value  # pydantic reads numbers from text; names such as "2017" stay text
    return build_settings(DataOptions, {"fetch": fetch, **values})


def as_the_run(told: DataOptions, run: Run | SetRun, **fixed: Any) -> DataOptions:
    """Read other data as the run's own were read, where nothing else is said.

    Columns by name, not what lies where; ``fixed`` stands over both.
    """
    kept = {name: getattr(run.config.data_options, name) for name in _HOW_TO_READ}
    said = told.model_dump(exclude_unset=True)
    return told.model_copy(update={**kept, "n_features": run.config.n_features, **said, **fixed})


def held_out_options(run: Run | SetRun, source: str | None, told: DataOptions) -> DataOptions:
    """Options for the run's own data or for others; what is told stands over what it remembers."""
    if source is not None:
        return as_the_run(told, run)
    return run.config.data_options.model_copy(update=told.model_dump(exclude_unset=True))


def load(source: str, told: DataOptions, *, as_it_is: bool = False) -> MultiLabelData:
    """Load DATA and say what it was recognised as, what was skipped and what was decided.

    ``as_it_is`` takes no split that the source does not have: predictions need none.
    """
    import os

    from fairpo.cli.show import say
    from fairpo.data import load_data
    from fairpo.data.formats import read_source

    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # ours is enough
    data = read_source(source, told) if as_it_is else load_data(source, told)
    say(f"{data.name}: {data.kind}")
    for note in data.notes:
        say(f"note: {note}.")
    return data


def make_plan(
    kind: type[Content], assignments: list[str] | None, training_preset: str, /, **values: Any
) -> Content:
    """Build and check a plan; each ``NAME=VALUE`` goes to the settings that have the name."""
    from fairpo._checks import build_settings
    from fairpo.decisions import DecisionSettings
    from fairpo.models.head import HeadSettings
    from fairpo.objectives.catalogue import option_fields
    from fairpo.training.settings import TrainingSettings
    from fairpo.training.settings import training_preset as bundle

    training = bundle(training_preset)
    head: dict[str, Any] = {}
    decisions: dict[str, Any] = {}
    objective: dict[str, Any] = {}
    places = (
        (TrainingSettings.model_fields, training),
        (HeadSettings.model_fields, head),
        (DecisionSettings.model_fields, decisions),
        (option_fields(), objective),
    )
    for name, value in parse_assignments(assignments or []).items():
        place = next((values for names, values in places if name in names), None)
        if place is None:
            known = [known for names, _ in places for known in names]
            raise unknown_name("setting", name, known, of="settings")
        place[name] = value
    own = {
        "options": objective,
        "training": build_settings(TrainingSettings, training),
        "head": build_settings(HeadSettings, head),
        "decisions": build_settings(DecisionSettings, decisions),
    }
    plan = build_settings(kind, {**values, **own})
    plan.check()
    return plan


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between."""
    return tuple(name.strip() for name in text.split(","))


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE``, the value as YAML."""
    import yaml

    values = {}
    for text in assignments:
        name, value = _split_assignment("--set", text)
        values[name] = yaml.safe_load(value)
    return values


def _split_assignment(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise value_error(option, must="be NAME=VALUE", got=repr(text))
    return name.strip(), value


def write_new(file: Path, text: str, *, overwrite: bool) -> None:
    """Write a file of options for people; one that is there is kept unless told."""
    from fairpo._files import write_atomic

    if file.exists() and not overwrite:
        raise file_error(file, "already exists", "Choose another file, or say --overwrite.")
    write_atomic(file, text.encode())
