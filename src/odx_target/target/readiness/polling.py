"""Polling of sockets for a short time before a wait.

Polling adapts to the hosts and to the machine. It is *in vain* if no socket became readable. If it was in vain several times,
most waits are not preceded by polling, until a wait is so short that polling would have helped.

Each poll gives the processor to other processes, because the host may be one of them. If a process keeps the processor for
long, the machine is *busy*. The kernel then wakes a waiting process sooner than a polling process gets the processor again, so
polling pauses. The pause is twice as long each time, until polling has succeeded many times in a row.
"""

import os
from collections.abc import Callable, Sequence

from odx_target.target.readiness.poller import Poller
from odx_target.target.readiness.processors import sleep_for_no_time

MAX_EVENTS = 64
"""Maximum number of readable sockets that one poll returns."""

MAX_POLLS = 80
"""Maximum number of polls before a wait. They take about 60 microseconds. A wait and its wake-up take about as long if the
processor has gone to sleep meanwhile."""

SHORT_WAIT_S = 0.0001
"""Maximum time from the first poll to the end of a wait before which polling would have helped. It includes the wake-up."""

MAX_POLLING_S = 0.0005
"""Time after which polling ends, because the machine is busy."""

MAX_VAIN_POLLS = 4
"""Number of successive waits whose polling may be in vain."""

WAITS_WITHOUT_POLLING = 64
"""Number of waits without polling after that, or after polling on a busy machine. The next wait then polls once, to find out
whether polling helps again."""

MAX_WAITS_WITHOUT_POLLING = 1024
"""Maximum number of waits without polling on a busy machine. A poll takes some milliseconds there, which is then a small part
of the time of the waits."""

GOOD_POLLS = 64
"""Number of successful polls in a row after which a machine is not busy any more."""


class Polling:
    """Polls the sockets of a poller before each wait, as long as this helps. `clock` returns the present time in seconds."""

    def __init__(self, poller: Poller, clock: Callable[[], float]) -> None:
        self._poller = poller
        self._clock = clock
        self._yield_processor = getattr(os, "sched_yield", sleep_for_no_time)
        self._idle_since_s = 0.0
        self._vain_polls = 0
        self._good_polls = 0
        self._skipped_waits = 0
        self._pause_waits = WAITS_WITHOUT_POLLING
        self._is_busy = False

    def poll(self) -> Sequence[tuple[int, int]]:
        """Poll for a short time if polling is due. Returns the readable sockets, which may be none."""
        self._idle_since_s = now_s = self._clock()
        if self._skipped_waits:
            self._skipped_waits -= 1
            return ()
        until_s = now_s + MAX_POLLING_S
        found: Sequence[tuple[int, int]] = ()
        for _ in range(MAX_POLLS):
            self._yield_processor()  # The host may run on the same processor.
            found = self._poller.poll(0, MAX_EVENTS)
            now_s = self._clock()
            if found or now_s >= until_s:
                break
        self._judge(bool(found), now_s >= until_s)
        return found

    def has_waited(self) -> None:
        """Note the end of a wait before which `poll` has found nothing."""
        if not self._is_busy and self._clock() - self._idle_since_s < SHORT_WAIT_S:
            self._skipped_waits = 0

    def _judge(self, found: bool, is_busy: bool) -> None:
        self._is_busy = is_busy
        if is_busy:
            self._skipped_waits = self._pause_waits
            self._pause_waits = min(2 * self._pause_waits, MAX_WAITS_WITHOUT_POLLING)
            self._good_polls = 0
        elif found:
            self._vain_polls = 0
            self._good_polls += 1
            if self._good_polls >= GOOD_POLLS:
                self._pause_waits = WAITS_WITHOUT_POLLING
        else:
            self._vain_polls += 1
            self._good_polls = 0
            if self._vain_polls >= MAX_VAIN_POLLS:
                self._skipped_waits = WAITS_WITHOUT_POLLING - 1
