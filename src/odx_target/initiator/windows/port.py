"""Below the class driver: a disk's paths, BUSY tried again, resets after a timeout, failover and new logins.

A command that a path loses goes again on another path, if there is one, before the class driver hears of it; with one path
the session is restored first, and the class driver counts it as a failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from odx_target.initiator.cdb import RECEIVE_ROD_TOKEN_INFORMATION, THIRD_PARTY_COPY_IN
from odx_target.initiator.errors import CommandTimedOut, ConnectionLost, InitiatorError
from odx_target.initiator.result import Buffer, CommandResult, Status
from odx_target.initiator.windows import sense_table
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Exchange, Management
from odx_target.initiator.windows.path import Path
from odx_target.initiator.windows.sense_table import Effect, Reading
from odx_target.initiator.windows.settings import PathChoice


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the class driver hands it down."""

    cdb: bytes
    data_out: Sequence[Buffer] = ()
    data_in_bytes: int = 0
    timeout_factor: int = 1

    @property
    def asks_for_information(self) -> bool:
        return (self.cdb[0], self.cdb[1] & 0x1F) == (THIRD_PARTY_COPY_IN, RECEIVE_ROD_TOKEN_INFORMATION)


@dataclass(frozen=True, slots=True)
class Completion:
    """How a command came back: what is read of it, and the result itself where there is one."""

    reading: Reading
    result: CommandResult | None = None

    @property
    def data_in(self) -> bytes:
        return b"" if self.result is None else bytes(self.result.data_in)

    @property
    def words(self) -> str:
        sense = f", {self.reading.sense}" if self.reading.sense is not None else ""
        return f"{self.reading.status.value}{sense}"


class _PathFailed(Exception):
    pass


@dataclass(slots=True)
class DiskPort:
    """The port driver's and MPIO's part of one disk."""

    host: WindowsHost
    disk: str
    paths: Sequence[Path]
    _active: int = 0
    _failed: set[int] = field(default_factory=set)

    async def send(self, command: Command, attribute: int) -> Completion:
        """Send a command until there is an answer. Raises InitiatorError when no path comes back."""
        while True:
            number = self._choose(command)
            try:
                completion = await self._send_on(self.paths[number], command, attribute)
            except _PathFailed:
                if not await self._fail_over(number):
                    return Completion(sense_table.LOST)
                continue
            if completion.reading.effect is Effect.FAIL_OVER and await self._leave(number):
                continue
            return completion

    async def reset(self) -> None:
        """What follows a timeout: reset the logical unit, else the target, else the session."""
        path = self.paths[self._active]
        try:
            for name, function in (("LOGICAL UNIT RESET", path.reset_logical_unit), ("TARGET WARM RESET", path.reset_target)):
                done = await function()
                self._note(path, f"{name}: {'done' if done else 'not done'}")
                if done:
                    return
        except ConnectionLost as lost:
            self._note(path, str(lost))
        await self._restore(path)

    async def _send_on(self, path: Path, command: Command, attribute: int) -> Completion:
        settings = self.host.settings
        waits = settings.busy_repeats
        while True:
            try:
                result = await path.execute(
                    command.cdb,
                    command.data_out,
                    command.data_in_bytes,
                    attribute=attribute,
                    timeout_s=settings.scsi_timeout_s * command.timeout_factor,
                )
            except CommandTimedOut as late:
                self._tell(path, command, attribute, None, str(late))
                await self.reset()
                return Completion(sense_table.TIMED_OUT)
            except ConnectionLost as lost:
                self._tell(path, command, attribute, None, str(lost))
                raise _PathFailed from lost
            self._tell(path, command, attribute, result)
            if result.status not in {Status.BUSY, Status.TASK_SET_FULL} or not waits:
                return Completion(sense_table.read_result(result), result)
            waits -= 1
            await self.host.clock.sleep(settings.busy_delay_s)

    def _choose(self, command: Command) -> int:
        choice = self.host.settings.path_choice
        if choice is PathChoice.ROUND_ROBIN:
            self._active = self._following(self._active)
        elif choice is PathChoice.OTHER_FOR_INFORMATION and command.asks_for_information:
            return self._following(self._active)
        return self._active

    def _following(self, number: int) -> int:
        """The next path that works; the same one if there is no other."""
        count = len(self.paths)
        return next((at % count for at in range(number + 1, number + count) if at % count not in self._failed), number)

    async def _fail_over(self, number: int) -> bool:
        """Go on on another path: True. Without one, restore the session: False."""
        if await self._leave(number):
            return True
        await self._restore(self.paths[number])
        self._failed.clear()
        return False

    async def _leave(self, number: int) -> bool:
        other = self._following(number)
        if other == number:
            return False
        self._failed.add(number)
        self._active = other
        self._note(self.paths[other], f"takes over from {self.paths[number].name}")
        if self.host.settings.reset_after_failover:
            await self.reset()
        return True

    async def _restore(self, path: Path) -> None:
        """Log in again, and again for as long as requests are held. Raises InitiatorError."""
        settings, clock = self.host.settings, self.host.clock
        deadline_s = clock.now() + settings.request_hold_s
        while True:
            try:
                await path.reconnect()
            except InitiatorError as failure:
                self._note(path, f"no new session: {failure}")
                if clock.now() + settings.reconnect_interval_s > deadline_s:
                    raise
                await clock.sleep(settings.reconnect_interval_s)
            else:
                self._note(path, "logged in again")
                return

    def _note(self, path: Path, what: str) -> None:
        self.host.journal.add(Management(self.host.clock.now(), path.name, what))

    def _tell(self, path: Path, command: Command, attribute: int, result: CommandResult | None, fault: str = "") -> None:
        now_s = self.host.clock.now()
        self.host.journal.add(Exchange(now_s, self.disk, path.name, command.cdb, command.data_out, attribute, result, fault))
