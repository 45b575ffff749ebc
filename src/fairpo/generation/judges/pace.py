"""When the next request may go out: a rate over all threads, and waits that grow."""

from __future__ import annotations

import random
import threading
import time


class Pace:
    """Spread requests evenly, and hold all of them while the server asks for it.

    Parameters
    ----------
    requests_per_minute : float or None
        Most requests that start in a minute; None for no limit.
    first_wait, longest_wait : float
        Seconds before the first repetition of a request, doubled at each further one, and the
        most that is ever waited.
    """

    def __init__(
        self, requests_per_minute: float | None, first_wait: float, longest_wait: float
    ) -> None:
        self._between = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._first_wait, self._longest_wait = first_wait, longest_wait
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait_for_turn(self) -> bool:
        """Wait until a request may go out; False where all are called off."""
        while not self._stopped.is_set():
            with self._lock:
                left = self._next - time.monotonic()
                if left <= 0:
                    self._next = time.monotonic() + self._between
                    return True
            self._stopped.wait(left)
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody send for some seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def back_off(self, repetition: int) -> None:
        """Wait before a repetition, counted from 0: twice as long each time, by chance less.

        Between half and all of it (jitter), so that threads that failed together do not come back
        together.
        """
        longest = min(self._longest_wait, self._first_wait * 2.0**repetition)
        self._stopped.wait(longest * random.uniform(0.5, 1.0))

    def stop(self) -> None:
        """Call off everybody who waits."""
        self._stopped.set()

    def resume(self) -> None:
        """Let requests go out again."""
        self._stopped.clear()
