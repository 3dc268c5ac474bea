"""A host for tests: an initiator whose methods wait for the answers."""

import secrets
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import trio

from odx_target.environment import Buffer
from odx_target.initiator import cdb
from odx_target.initiator.copying.copy_job import CopyJob, CopyReport, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.copying.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.disk import CommandFailed, Disk
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import Portal
from odx_target.testing.loop_thread import LoopThread


class Host:
    """A session of one initiator with the array. Its methods send commands, and wait for their ends.

    Methods with names of commands repeat a command that ends with a unit attention, or while the array is busy. They raise
    CommandFailed if the command does not end with GOOD, and another InitiatorError if there is no answer. LUNs are named by
    their names. Numbers of blocks are numbers of logical blocks of the LUN.
    """

    def __init__(self, loop: LoopThread, portal: Portal, target: str, name: str, lun_number: Callable[[str], int]) -> None:
        isid = random_isid(secrets.token_bytes(5))
        self.name = name
        self.isid = isid.hex()
        """The ISID of the session, which tells apart the paths of one initiator."""
        self._loop = loop
        self._lun_number = lun_number
        self._disks: dict[str, Disk] = {}
        self._identifiers = ListIdentifiers()
        self._closing = _Closing()
        options = SessionOptions(isid, initiator_name=name, entropy=secrets.token_bytes)
        self._session: InitiatorSession = loop.call(loop.nursery.start, self._hold_session, portal, target, options)

    def close(self) -> None:
        """Log out. A second call does nothing."""
        if self._loop.is_running:
            self._loop.call(self._closing.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def read(self, lun: str, lba: int, blocks: int) -> bytes:
        """Return the data of blocks, by READ(16)."""
        return self._loop.call(self._read, lun, lba, blocks)

    def write(self, lun: str, lba: int, data: Buffer) -> None:
        """Write whole blocks, by WRITE(16)."""
        self._loop.call(self._write, lun, lba, data)

    def execute(self, lun: str, command: bytes, data_out: Buffer = b"", data_in_bytes: int = 0) -> CommandResult:
        """Send any CDB once, and return its status, data and sense data, whatever they are."""
        return self._loop.call(self._execute, lun, command, data_out, data_in_bytes)

    def populate_token(self, lun: str, lba: int = 0, blocks: int | None = None, *, inactivity_timeout_s: int = 0) -> bytes:
        """Return a token for blocks from `lba` on, up to the end of the LUN if `blocks` is None.

        The array chooses the inactivity timeout if `inactivity_timeout_s` is 0.
        """
        return self._loop.call(self._populate_token, lun, lba, blocks, inactivity_timeout_s)

    def write_using_token(
        self, lun: str, token: bytes, lba: int = 0, blocks: int | None = None, *, check: bool = True
    ) -> CommandResult:
        """Copy the data of a token to blocks from `lba` on, up to the end of the LUN if `blocks` is None.

        Returns the end of the command. If `check` is False, no CommandFailed is raised.
        """
        return self._loop.call(self._write_using_token, lun, token, lba, blocks, check)

    def copy(self, source: str, destination: str, method: str = "auto") -> CopyReport:
        """Copy the whole LUN `source` to the beginning of `destination`, as `odx-target copy` does.

        `method` is `auto`, `odx` (never by reads and writes) or `host` (only by reads and writes). The report contains the
        numbers of bytes that the array and the host have copied, and the reason why the array did not copy all.
        """
        return self._loop.call(self._copy, source, destination, Method(method))

    async def _hold_session(
        self, portal: Portal, target: str, options: SessionOptions, task_status: trio.TaskStatus[InitiatorSession]
    ) -> None:
        """Keep the session open until the host is closed. The loss of the connection is reported by the next command."""
        has_started = False
        try:
            async with open_session(portal, target, options) as session:
                has_started = True
                task_status.started(session)
                await self._closing.asked.wait()
        except InitiatorError:
            if not has_started:
                raise
        finally:
            self._closing.done.set()

    async def _disk(self, lun: str) -> Disk:
        if lun not in self._disks:
            unit = self._session.logical_unit(self._lun_number(lun))
            self._disks[lun] = await Disk.probe(unit, trio.sleep, f"LUN {lun}")
        return self._disks[lun]

    async def _read(self, lun: str, lba: int, blocks: int) -> bytes:
        return bytes(await (await self._disk(lun)).read_blocks(lba, blocks))

    async def _write(self, lun: str, lba: int, data: Buffer) -> None:
        await (await self._disk(lun)).write_blocks(lba, data)

    async def _execute(self, lun: str, command: bytes, data_out: Buffer, data_in_bytes: int) -> CommandResult:
        parts: Sequence[Buffer] = [data_out] if len(data_out) else ()
        return await self._session.logical_unit(self._lun_number(lun)).execute(command, parts, data_in_bytes)

    async def _populate_token(self, lun: str, lba: int, blocks: int | None, inactivity_timeout_s: int) -> bytes:
        disk = await self._disk(lun)
        count = disk.capacity_blocks - lba if blocks is None else blocks
        data = populate_token_list([BlockRange(lba, count)], inactivity_timeout_s=inactivity_timeout_s)
        identifier = self._identifiers.take()
        await disk.write("POPULATE TOKEN", cdb.populate_token(identifier, len(data)), [data])
        command = cdb.receive_rod_token_information(identifier, ANSWER_ALLOCATION_BYTES)
        answer = await disk.read("RECEIVE ROD TOKEN INFORMATION", command, ANSWER_ALLOCATION_BYTES)
        return read_rod_token_information(answer).tokens[0]

    async def _write_using_token(self, lun: str, token: bytes, lba: int, blocks: int | None, check: bool) -> CommandResult:
        disk = await self._disk(lun)
        count = disk.capacity_blocks - lba if blocks is None else blocks
        data = write_using_token_list(token, [BlockRange(lba, count)])
        result = await disk.command(cdb.write_using_token(self._identifiers.take(), len(data)), [data])
        if check and result.status != Status.GOOD:
            raise CommandFailed(f"LUN {lun}: WRITE USING TOKEN", result)
        return result

    async def _copy(self, source: str, destination: str, method: Method) -> CopyReport:
        disks = await self._disk(source), await self._disk(destination)
        job = CopyJob(*disks, plan_copy(*disks), run_together, _ignore_progress, self._identifiers)
        return await job.run(method)


class _Closing:
    """The end of a session: `asked` is set to end it, and `done` when it has ended."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.done = trio.Event()

    async def close(self) -> None:
        """End the session, and wait until it has ended."""
        self.asked.set()
        await self.done.wait()


def _ignore_progress(_count_bytes: int, _is_offloaded: bool) -> None:
    pass
