"""The class driver's retries: how often, how late, and the last one untagged."""

from dataclasses import dataclass, field

from odx_target.initiator.windows import cdb
from odx_target.initiator.windows.path import SIMPLE, UNTAGGED
from odx_target.initiator.windows.port import Command, Completion, DiskPort
from odx_target.initiator.windows.sense_table import Effect


@dataclass(slots=True)
class ClassDriver:
    """Sends the commands of one disk. `offline` becomes True when a thin pool is full."""

    port: DiskPort
    offline: bool = False
    _starting: Command = field(default_factory=lambda: Command(cdb.start_unit()))

    async def submit(self, command: Command, retries: int, *, last_untagged: bool = False) -> Completion:
        """Send a command, and again as its ending and `retries` allow: always the same CDB and data.

        Raises InitiatorError when no path is left.
        """
        for left in range(retries, -1, -1):
            untagged = last_untagged and left == 0 < retries
            completion = await self.port.send(command, UNTAGGED if untagged else SIMPLE)
            reading = completion.reading
            if reading.effect is Effect.OFFLINE:
                self.offline = True
            if reading.effect is Effect.RESET:
                await self.port.reset()
            if reading.retry_delay_s is None or not left:
                break
            if reading.retry_delay_s:
                await self.port.host.clock.sleep(reading.retry_delay_s)
            if reading.effect is Effect.START_UNIT:
                await self.port.send(self._starting, SIMPLE)
        return completion
