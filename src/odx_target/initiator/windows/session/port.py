"""The layer below the class driver: the paths of a disk, the repetition of commands after BUSY, resets after a timeout,
failover and new logins.

If the connection is lost, all commands on it fail, and the port driver logs in again. When the session is restored, the
failures are reported to the class driver. If the session is not restored in time and there is another path, the commands are
sent again on that path. A command that finds no session waits for a session. If a target breaks a rule for PDUs, the port
driver drops the connection, which then counts as lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.initiator.cdb import RECEIVE_ROD_TOKEN_INFORMATION, THIRD_PARTY_COPY_IN
from odx_target.initiator.errors import CommandTimedOut, ConnectionLost, InitiatorError, ProtocolViolation, Rejected
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.windows import cdb, sense_table
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.journal import Exchange, Management
from odx_target.initiator.windows.rules import BREACHES, Rule
from odx_target.initiator.windows.sense_table import Reading
from odx_target.initiator.windows.session.connection import Broken
from odx_target.initiator.windows.session.multipath import Reaction, reaction_to
from odx_target.initiator.windows.session.path import SIMPLE, NotSent, Path, ResetEnd
from odx_target.initiator.windows.settings import PathChoice

RESET_SENT, RESET_FAILED, RECOVERY_FAILED = 39, 63, 69
"""IDs of the events (source iScsiPrt) that Windows writes to the System log even if the target has broken no rule of `Rule`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the class driver. If `timeout_s` is None, the timeout is the disk's timeout multiplied by
    `timeout_factor`.
    """

    cdb: bytes
    data_out: Sequence[Buffer] = ()
    data_in_bytes: int = 0
    timeout_factor: int = 1
    timeout_s: float | None = None

    @property
    def asks_for_information(self) -> bool:
        return (self.cdb[0], self.cdb[1] & 0x1F) == (THIRD_PARTY_COPY_IN, RECEIVE_ROD_TOKEN_INFORMATION)


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a command: its interpretation, and the result of the command if there is one."""

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


_ASK_GROUPS = Command(
    cdb.report_target_port_groups(), data_in_bytes=cdb.PORT_GROUPS_ALLOCATION_BYTES, timeout_s=cdb.PORT_GROUPS_TIMEOUT_S
)


@dataclass(slots=True)
class DiskPort:
    """The work of the port driver and MPIO for one disk."""

    host: WindowsHost
    disk: str
    paths: Sequence[Path]
    _active: int = 0
    _lost: set[int] = field(default_factory=set)
    """Indexes of paths that are not used because they had no session. A path is used again when it has a session."""
    _without_unit: set[int] = field(default_factory=set)
    """Indexes of paths on which the logical unit no longer exists."""

    async def send(self, command: Command, attribute: int) -> Completion:
        """Send a command repeatedly until there is an answer. Raises InitiatorError when no path can be restored."""
        settings = self.host.settings
        repeats, holds = settings.multipath_retries, int(settings.request_hold_s / settings.reconnect_interval_s)
        while True:
            number = self._choose(command)
            try:
                completion = await self._send_on(self.paths[number], command, attribute)
            except NotSent:
                if not holds:
                    raise
                holds -= 1
                await self._fail_over(number)
                continue
            except _PathFailed:
                if not await self._fail_over(number):
                    return Completion(sense_table.LOST)
                continue
            reaction = reaction_to(completion.reading.sense) if len(self.paths) > 1 else None
            if reaction is None or not repeats or not await self._react(number, reaction):
                return completion
            repeats -= reaction is not Reaction.FAIL_OVER  # failovers end when no path is left

    async def reset(self) -> None:
        """Recover from a timeout by a reset of the logical unit. If this reset fails, reset the target. If that fails too,
        restore the session.
        """
        path = self.paths[self._active]
        try:
            for name, function in (("LOGICAL UNIT RESET", path.reset_logical_unit), ("TARGET WARM RESET", path.reset_target)):
                end = await function()
                self._note(path, f"{name}: {end.value}", RESET_SENT)
                if end is ResetEnd.DONE:
                    return
                if end is ResetEnd.UNANSWERED:
                    self.host.journal.find(Rule.RESET_UNANSWERED, path.name, name)
            self._note(path, "no reset helps: the session is restored", RESET_FAILED)
        except (ConnectionLost, ProtocolViolation) as lost:
            self._note(path, str(lost))
        await self._restore(path, self.host.settings.request_hold_s)

    async def _send_on(self, path: Path, command: Command, attribute: int) -> Completion:
        settings = self.host.settings
        waits = settings.busy_repeats
        while True:
            timeout_s = settings.scsi_timeout_s * command.timeout_factor if command.timeout_s is None else command.timeout_s
            try:
                result = await path.execute(
                    command.cdb, command.data_out, command.data_in_bytes, attribute=attribute, timeout_s=timeout_s
                )
            except CommandTimedOut as late:
                self._tell(path, command, attribute, None, str(late))
                self.host.journal.find(Rule.COMMAND_UNANSWERED, path.name, command.cdb.hex(" "))
                await self.reset()
                return Completion(sense_table.TIMED_OUT)
            except Rejected as refused:
                self._tell(path, command, attribute, None, str(refused))
                self.host.journal.find(Rule.REJECTED, path.name, str(refused))
                return Completion(sense_table.LOST)
            except NotSent:
                raise
            except (ConnectionLost, ProtocolViolation) as lost:
                self._tell(path, command, attribute, None, str(lost))
                self._note_breach(path, lost)
                raise _PathFailed from lost
            self._tell(path, command, attribute, result)
            if result.status not in {Status.BUSY, Status.TASK_SET_FULL} or not waits:
                return Completion(sense_table.read_result(result), result)
            waits -= 1
            await self.host.clock.sleep(settings.busy_delay_s)

    def _note_breach(self, path: Path, lost: InitiatorError) -> None:
        """Add a breach to the journal only once, although all commands under way fail because of this breach."""
        if isinstance(lost, Broken):
            if not lost.is_reported:
                lost.is_reported = True
                self.host.journal.find(lost.rule, path.name, lost.detail)
        elif isinstance(lost, ProtocolViolation):
            self.host.journal.find(BREACHES[lost.breach], path.name, str(lost))

    def _choose(self, command: Command) -> int:
        choice = self.host.settings.path_choice
        if choice is PathChoice.ROUND_ROBIN:
            self._active = self._following(self._active)
        elif choice is PathChoice.OTHER_FOR_INFORMATION and command.asks_for_information:
            return self._following(self._active)
        return self._active

    def _following(self, number: int) -> int:
        """Return the index of the next path that works. If there is no other path, return `number`."""
        self._lost -= {at for at in self._lost if self.paths[at].is_usable}
        failed, count = self._lost | self._without_unit, len(self.paths)
        return next((at % count for at in range(number + 1, number + count) if at % count not in failed), number)

    async def _react(self, number: int, reaction: Reaction) -> bool:
        """Carry out a reaction of the multipath module. Returns True if the command must be sent again."""
        if reaction is Reaction.FAIL_OVER:
            return await self._leave(number, self._without_unit)
        if reaction is Reaction.ASK_GROUPS:
            await self._send_on(self.paths[number], _ASK_GROUPS, SIMPLE)
        return True

    async def _fail_over(self, number: int) -> bool:
        """Restore the session and return False. If the session cannot be restored, change to another path and return True.
        Raises InitiatorError.
        """
        path, settings = self.paths[number], self.host.settings
        if self._following(number) == number:
            await self._restore(path, settings.request_hold_s)
            self._lost.clear()
            self._without_unit.clear()
            return False
        try:
            await self._restore(path, settings.link_down_s)
        except InitiatorError:
            return await self._leave(number, self._lost)
        return False

    async def _leave(self, number: int, because: set[int]) -> bool:
        other = self._following(number)
        if other == number:
            return False
        because.add(number)
        self._active = other
        self._note(self.paths[other], f"takes over from {self.paths[number].name}")
        if self.host.settings.reset_after_failover:
            await self.reset()
        return True

    async def _restore(self, path: Path, hold_s: float) -> None:
        """Log in again. Repeat the attempts for at most `hold_s` seconds. Raises InitiatorError."""
        settings, clock = self.host.settings, self.host.clock
        deadline_s = clock.now() + hold_s
        while True:
            try:
                await path.reconnect()
            except InitiatorError as failure:
                is_last = clock.now() + settings.reconnect_interval_s > deadline_s
                self._note(path, f"no new session: {failure}", RECOVERY_FAILED if is_last else 0)
                if is_last:
                    raise
                await clock.sleep(settings.reconnect_interval_s)
            else:
                return

    def _note(self, path: Path, what: str, event: int = 0) -> None:
        self.host.journal.add(Management(self.host.clock.now(), path.name, what, event))

    def _tell(self, path: Path, command: Command, attribute: int, result: CommandResult | None, fault: str = "") -> None:
        now_s = self.host.clock.now()
        self.host.journal.add(Exchange(now_s, self.disk, path.name, command.cdb, command.data_out, attribute, result, fault))
