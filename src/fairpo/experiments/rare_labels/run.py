"""The suite from one call: sets in, page out, going on where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fairpo
from fairpo._checks import file_error
from fairpo._files import write_atomic
from fairpo.data.base import fingerprint
from fairpo.experiments.pool import Processes, StudyProgress, uncounted
from fairpo.experiments.rare_labels.conduct import conduct_parts, conduct_set
from fairpo.experiments.rare_labels.figures import SetFigures, figures_of, summary
from fairpo.experiments.rare_labels.page import parts_page, rare_labels_page
from fairpo.experiments.rare_labels.suite import SOURCES, RareLabelSet, known_set, read_set
from fairpo.models.checkpoint import hold, read_json, write_json

ABOUT, PAGE, FIGURES = "about.json", "rare-labels.md", "rare-labels.json"
PICTURE, DATA = "rare-labels.png", "data.json"


def run_suite(
    root: Path,
    folder: Path,
    names: Sequence[str] = tuple(SOURCES),
    *,
    design: bool = False,
    overwrite: bool = False,
    n_jobs: int = 1,
    count: StudyProgress = uncounted,
) -> Path:
    """Train what is not there yet, judge, and write the page.

    A set that is judged has its figures in ``<set>.json``, and is not trained again.

    Parameters
    ----------
    root : Path
        Where the sets lie.
    folder : Path
        Each training has a file in it; the page and the figures are written beside them.
    names : sequence of str
        Of :data:`~fairpo.experiments.rare_labels.suite.SOURCES`.
    design : bool
        Whether the parts of the method are shown instead, judged by rows of the training rows;
        the test rows are not looked at.
    overwrite : bool
        Whether trainings that are there are made again.
    n_jobs : int
        Processes, each with one torch thread.
    count : callable
        Of trainings.

    Returns
    -------
    Path of the page

    Raises
    ------
    FairPOError
        No such set, a file that is not there, or a folder of another question, version or data.
    """
    for name in names:
        known_set(name)
    judged = {name: folder / f"{name}.json" for name in names}
    left = [name for name, path in judged.items() if overwrite or not path.is_file()]
    subjects = [read_set(name, root, design=design) for name in left]
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / ".lock"):
        about = {"version": fairpo.__version__, "design": design}
        found = read_json(folder / ABOUT) if (folder / ABOUT).is_file() else about
        if overwrite:
            _clear(folder, names if found == about else tuple(SOURCES))
        elif found != about:
            raise file_error(
                folder / ABOUT,
                f"is of trainings made with {found}, not {about}",
                "Give another --out, or --overwrite.",
            )
        for subject in subjects:
            _hold_to_data(folder / subject.name, subject)
        write_json(folder / ABOUT, about)
        with Processes(n_jobs, count) as processes:
            conduct = conduct_parts if design else conduct_set
            for subject in subjects:
                chosen = conduct(subject, folder / subject.name, processes)
                figures_of(chosen).write(judged[subject.name])
        sets = [SetFigures.read(path) for path in judged.values()]
        write_json(folder / FIGURES, summary(sets))
        page = parts_page(sets) if design else rare_labels_page(sets)
        write_atomic(folder / PAGE, page.encode())
    return folder / PAGE


def _hold_to_data(folder: Path, subject: RareLabelSet) -> None:
    """Refuse trainings of other rows; note whose they will be."""
    found = {"data": fingerprint(subject.data)}
    path = folder / DATA
    if path.is_file() and read_json(path) != found:
        told = f"is of trainings on another {subject.name} than the one given"
        raise file_error(path, told, "Give another --out, or --overwrite.")
    folder.mkdir(exist_ok=True)
    write_json(path, found)


def _clear(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / f"{name}.json").unlink(missing_ok=True)
        (folder / name / DATA).unlink(missing_ok=True)
        for path in (folder / name).glob("**/*.safetensors"):
            path.unlink()
