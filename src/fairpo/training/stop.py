"""A polite end: Ctrl-C or SIGTERM lets the step under way finish and its state be written."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fairpo.training.distributed import is_main

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_asked = 0
"""The signal that asked; 0 while none did."""


class StoppedError(BaseException):
    """A training that was asked to end; not an error that a handler of errors should take.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stop_politely() -> Iterator[None]:
    """End a training inside at its next step after a signal, and at once after a second one.

    Raises
    ------
    StoppedError
    """
    global _asked
    before = {number: signal.signal(number, _ask) for number in _SIGNALS}
    _asked = 0
    try:
        yield
    finally:
        _asked = 0
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_is_asked() -> bool:
    """Whether this process is to write its state and end; of several only the first is asked.

    The others are in the middle of its step with it, and end when it is gone.
    """
    return _asked > 0 and is_main()


def stop_if_asked() -> None:
    """End here, if that was asked.

    Raises
    ------
    StoppedError
    """
    if stop_is_asked():
        raise StoppedError(_asked)


def _ask(number: int, _: FrameType | None) -> None:
    global _asked
    if _asked:
        raise StoppedError(number)
    _asked = number
    if is_main():
        print("stopping after this step; once more stops at once", file=sys.stderr, flush=True)
