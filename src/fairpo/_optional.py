"""Packages of extras: imported where they are used, with the install command when absent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fairpo._checks import FairPOImportError


def require(package: str, *, extra: str, purpose: str) -> Any:
    """Import a package of an extra.

    Parameters
    ----------
    package : str
        Module name, such as ``"pandas"``.
    extra : str
        The extra of ``fairpo`` that brings it.
    purpose : str
        What needs it, the subject of the error: "writing Parquet".

    Raises
    ------
    FairPOImportError
        The package is not installed; the message holds the command that installs it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise FairPOImportError(
            f"{purpose} needs the '{extra}' extra: pip install \"fairpo[{extra}]\"."
        ) from error
