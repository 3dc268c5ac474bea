"""The retries of the class driver, and the commands that the driver sends after a failure. For example, the driver sends START
STOP UNIT before some retries.
"""

from dataclasses import dataclass

from odx_target.initiator.cdb import inquiry
from odx_target.initiator.windows import cdb
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.sense_table import Effect
from odx_target.initiator.windows.session.path import SIMPLE, UNTAGGED
from odx_target.initiator.windows.session.port import Command, Completion, DiskPort
from odx_target.initiator.windows.thin_events import threshold_event

BLOCK_LIMITS_PAGE = 0xB0
NOTES = {
    Effect.CAPACITY_CHANGED: Rule.CAPACITY_CHANGED,
    Effect.INQUIRY_CHANGED: Rule.INQUIRY_CHANGED,
}
FOLLOWED_BY = {
    Effect.START_UNIT: Command(cdb.start_unit()),
    Effect.INQUIRY_CHANGED: Command(
        inquiry(cdb.VPD_ALLOCATION_BYTES, BLOCK_LIMITS_PAGE), data_in_bytes=cdb.VPD_ALLOCATION_BYTES
    ),
}
"""The command that the driver sends before it repeats a failed command, by the effect of the failure (see
`sense_table.Effect`).
"""


@dataclass(slots=True)
class ClassDriver:
    """Sends the commands of one disk. `offline` becomes True when a thin pool is full.

    `threshold_set_bytes` is the size of a threshold set, the unit in which the Logical Block Provisioning log page counts.
    `threshold_set_bytes` is None if the disk has no VPD page B2h.
    """

    port: DiskPort
    offline: bool = False
    threshold_set_bytes: int | None = None
    _is_noting_threshold: bool = False

    async def submit(
        self, command: Command, retries: int, *, last_untagged: bool = False, allocating_retries: int | None = None
    ) -> Completion:
        """Send a command. If the command fails in a way that allows a retry, repeat it with the same CDB and data, at most
        `retries` times.

        Callers give `allocating_retries` only for reads and writes. While a thin disk allocates space, `allocating_retries` is
        the limit instead of `retries`. If `allocating_retries` is given, retries after a threshold notification do not count.
        Raises InitiatorError when no path is left.
        """
        sent = notified = 0
        while True:
            untagged = last_untagged and 0 < sent == retries
            completion = await self.port.send(command, UNTAGGED if untagged else SIMPLE)
            reading = completion.reading
            allowed = retries
            if reading.effect is Effect.ALLOCATING and allocating_retries is not None:
                allowed = allocating_retries
            if reading.effect is Effect.SOFT_THRESHOLD and allocating_retries is not None:
                notified += 1
            else:
                sent += 1
            await self._follow(reading.effect)
            most_notified = self.port.host.settings.soft_threshold_retries
            if reading.retry_delay_s is None or sent > allowed or notified > most_notified:
                return completion
            if reading.retry_delay_s:
                await self.port.host.clock.sleep(reading.retry_delay_s)
            if reading.effect in FOLLOWED_BY:
                await self.port.send(FOLLOWED_BY[reading.effect], SIMPLE)

    async def _follow(self, effect: Effect | None) -> None:
        if effect is Effect.OFFLINE:
            self.offline = True
        elif effect is Effect.RESET:
            await self.port.reset()
        elif effect is Effect.SOFT_THRESHOLD:
            await self._note_threshold()
        elif effect in NOTES:
            self.port.host.journal.find(NOTES[effect], self.port.disk)

    async def _note_threshold(self) -> None:
        """Read the Logical Block Provisioning log page, and write an event. Notifications that arrive before the event is
        written cause no further event.
        """
        if self._is_noting_threshold:
            return
        self._is_noting_threshold = True
        page = b""
        try:
            if self.threshold_set_bytes is not None:
                command = Command(cdb.log_sense_provisioning(), data_in_bytes=cdb.THRESHOLD_ALLOCATION_BYTES)
                page = (await self.submit(command, self.port.host.settings.ordinary_retries)).data_in
        finally:
            self._is_noting_threshold = False
        event = threshold_event(page, self.threshold_set_bytes or 0)
        self.port.host.journal.find(Rule.SOFT_THRESHOLD, self.port.disk, event)
