"""A run under way: a folder inside its own, from which it goes on after any stop.

``RUN/unfinished/`` holds the settings and one checkpoint a stage; it is there from before the
first step until the finished run has been sealed. What ``RUN`` held before stays whole until then.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fairpo._checks import (
    FairPOFileError,
    FairPOImportError,
    FairPOTypeError,
    FairPOValueError,
    build_settings,
    file_error,
)
from fairpo.models.checkpoint import (
    CHECKSUMS,
    hold,
    read_json,
    sha256,
    verify_checksums,
    write_checksums,
    write_json,
)
from fairpo.training.distributed import is_main, wait_for_all
from fairpo.training.run import (
    UNFINISHED,
    RunConfig,
    check_output,
    read_config,
    write_config,
)
from fairpo.training.settings import TrainingSettings
from fairpo.training.state import Checkpoint

_START = "start.json"
_FINISHED = ".finished.tmp"


@dataclass(frozen=True)
class UnfinishedRun:
    """A run under way.

    Parameters
    ----------
    folder : Path
        Of the run.
    config : RunConfig
    command : str
        How it was started.
    reference_digest : str
        Of the given reference, "" if it is trained here: another would change the run.
    replaces : tuple of str
        Files of the run that was here before, its seal first.
    """

    folder: Path
    config: RunConfig
    command: str = ""
    reference_digest: str = ""
    replaces: tuple[str, ...] = ()

    def checkpoint(self, stage: str) -> Checkpoint:
        """Where the state of a stage ("reference" or "method") is kept."""
        path = self.folder / UNFINISHED / f"{stage}.safetensors"
        return Checkpoint(path, self.config.training.checkpoint_seconds)

    def on_device(self, device: str) -> UnfinishedRun:
        """Return the same run to go on with on another device."""
        training = self.config.training.model_dump() | {"device": device}
        settings = build_settings(TrainingSettings, training)
        return replace(self, config=self.config.model_copy(update={"training": settings}))

    def place(self) -> str:
        """What is done so far, in words."""
        for stage in ("method", "reference"):
            epochs, steps = self.checkpoint(stage).progress()
            if steps:
                name = self.config.method if stage == "method" else "reference"
                return f"{name}, {epochs} epochs, {steps} steps"
        return "nothing yet"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Refuse a second training of the same run, meanwhile."""
        if not is_main():
            yield
            return
        with hold(self.folder / UNFINISHED / "lock"):
            yield

    @contextmanager
    def forgotten_if_refused(self) -> Iterator[None]:
        """Leave no folder behind where data or settings are refused before the first checkpoint.

        After other errors (a full disk, another process that died) the run can still go on.
        """
        try:
            yield
        except (FairPOValueError, FairPOTypeError, FairPOImportError):
            unfinished = self.folder / UNFINISHED
            if is_main() and not any(unfinished.glob("*.safetensors")):
                shutil.rmtree(unfinished, ignore_errors=True)
                with suppress(OSError):  # it holds an older run
                    self.folder.rmdir()
            raise

    def finish(self, fill: Callable[[Path], None]) -> None:
        """Put the files of the finished run in place, seal them, and forget how they came about.

        A stop in between leaves a run that is not finished.

        Parameters
        ----------
        fill : callable
            Writes the files into a folder.

        Raises
        ------
        FairPOFileError
            The folder cannot be written; nothing is lost.
        """
        finished = self.folder / _FINISHED
        try:
            shutil.rmtree(finished, ignore_errors=True)
            finished.mkdir()
            fill(finished)
            write_checksums(finished)
            for name in (CHECKSUMS, *self.replaces):
                (self.folder / name).unlink(missing_ok=True)
            for path in sorted(finished.iterdir(), key=lambda path: path.name == CHECKSUMS):
                path.replace(self.folder / path.name)
        except FairPOFileError:
            raise
        except OSError as error:
            raise file_error(
                self.folder,
                f"cannot be written ({error.strerror or error})",
                f"`fairpo train --resume {self.folder}` goes on from here.",
            ) from error
        shutil.rmtree(finished, ignore_errors=True)
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)


def begin_run(run: UnfinishedRun, *, overwrite: bool) -> UnfinishedRun:
    """Lay out the folder of a run that starts; all processes go on when it is there.

    Returns
    -------
    UnfinishedRun, which knows the files it replaces

    Raises
    ------
    FairPOFileError
        See :func:`~fairpo.training.run.check_output`.
    """
    if is_main():
        check_output(run.folder, overwrite=overwrite)
        temporary = run.folder / f".{UNFINISHED}.{os.getpid()}.tmp"
        try:
            for left_over in run.folder.glob(f".{UNFINISHED}.*.tmp"):
                shutil.rmtree(left_over)
            temporary.mkdir(parents=True)
            write_config(temporary, run.config)
            start = {
                "command": run.command,
                "reference_digest": run.reference_digest,
                "replaces": _files_to_replace(run.folder),
            }
            write_json(temporary / _START, start)
            if (run.folder / UNFINISHED).is_dir():
                with run.held():
                    shutil.rmtree(run.folder / UNFINISHED)
            temporary.rename(run.folder / UNFINISHED)
        except FairPOFileError:
            raise
        except OSError as error:
            raise file_error(
                run.folder, f"cannot be written ({error.strerror or error})"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    wait_for_all()
    begun = read_unfinished(run.folder)
    assert begun is not None
    return begun


def read_unfinished(folder: Path) -> UnfinishedRun | None:
    """Read a run under way; None if it is finished.

    Raises
    ------
    FairPOFileError
        The folder holds no run.
    """
    if not (folder / UNFINISHED).is_dir():
        if not (folder / CHECKSUMS).is_file():
            raise file_error(folder, "holds no run to go on with", "Give the folder of --out.")
        verify_checksums(folder)
        return None
    start = read_json(folder / UNFINISHED / _START)
    return UnfinishedRun(
        folder,
        read_config(folder / UNFINISHED),
        start["command"],
        start["reference_digest"],
        tuple(start["replaces"]),
    )


def digest_reference(path: Path) -> str:
    """Digest of a reference: of an ``.npy`` file, or of a run's checksums."""
    return sha256(path / CHECKSUMS if path.is_dir() else path)


def _files_to_replace(folder: Path) -> list[str]:
    """Files of the run that is here: what its seal names, or what the run it replaces named."""
    if (folder / CHECKSUMS).is_file():
        return [Path(name).name for name in read_json(folder / CHECKSUMS)]
    if (folder / UNFINISHED / _START).is_file():
        return list(read_json(folder / UNFINISHED / _START)["replaces"])
    return []
