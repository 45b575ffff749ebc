"""``fairpo demo``: every method on the embedded digit scenes, or a language model on verses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fairpo.cli import options

METHODS = (
    "bce",
    "kernel-ridge",
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "group-dro-excess",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
    "fairpo-crossfit",
)
"""The paper's and ours, within a minute; `fairpo compare` has more baselines."""


OF_GENERATION: dict[str, Any] = {
    "pairs": "verses",
    "methods": ("sft", "dpo", "fairpo-dpo"),
    "privileged": "rhyme,clean",
    "max_new_tokens": 20,
}
"""The comparison of language models; the settings of training are the tiny model's own."""


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; runs/demo or runs/demo-generation.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds; 2, or 1 with --generation.")
    ] = None,
    jobs: options.Jobs = None,
    generation: Annotated[
        bool,
        typer.Option("--generation", help="A language model on verses, in a minute or two."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Compare every method on scenes of real handwritten digits, offline, in about a minute."""
    if generation:
        _generation(out or Path("runs/demo-generation"), seeds or 1, as_json)
    else:
        _digits(out or Path("runs/demo"), seeds or 2, jobs, as_json)


def _generation(out: Path, seeds: int, as_json: bool) -> None:
    from fairpo._optional import require
    from fairpo.cli.lm import conduct_comparison, show_comparison
    from fairpo.cli.show import say
    from fairpo.generation.comparison_folder import is_other
    from fairpo.generation.plans import ComparePlan

    require("transformers", extra="generation", purpose="language models")
    options.set_threads(1)
    plan = ComparePlan(out=out, seeds=seeds, **OF_GENERATION)
    say("verses about animals, asked for with six attributes; rhyme and clean are privileged")
    found = conduct_comparison(plan, fetch=False, overwrite=is_other(plan))
    show_comparison(found, out, as_json)


def _digits(out: Path, seeds: int, jobs: int | None, as_json: bool) -> None:
    from fairpo._checks import FairPOFileError
    from fairpo.cli.conduct import conduct, show_results
    from fairpo.cli.show import say
    from fairpo.experiments.study import Study
    from fairpo.experiments.study_folder import check_folder

    study = Study(data="digits", methods=METHODS, seeds=tuple(range(seeds)))
    try:
        check_folder(out, study)
        another = False
    except FairPOFileError:  # of other settings: this folder is the demo's, and is replaced
        another = True
    say("scenes of handwritten digits (made once, then cached)")
    show_results(conduct(study, out, jobs, overwrite=another), out, as_json=as_json)
