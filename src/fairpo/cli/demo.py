"""``fairpo demo``: the reference and the seven methods on the embedded digit scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairpo.cli import options

METHODS = (
    "bce",
    "bce-continued",
    "bce-reweighted",
    "group-dro",
    "group-dro-excess",
    "fairpo-dpo",
    "fairpo-simpo",
    "fairpo-cpo",
)
"""The paper's, within a minute; `fairpo compare` has more baselines."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 2,
    jobs: options.Jobs = None,
    as_json: options.Json = False,
) -> None:
    """Compare every method on scenes of real handwritten digits, offline, in about a minute."""
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
