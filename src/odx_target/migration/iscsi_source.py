"""A LUN of an iSCSI target as the source of an import. One session is kept open, and is opened again when it is lost."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import trio

from odx_target.environment import Buffer, Environment
from odx_target.initiator import cdb
from odx_target.initiator.disk import CommandFailed, Disk
from odx_target.initiator.errors import BadAnswer, ConnectionLost, InitiatorError
from odx_target.initiator.provisioning import read_provisioning_status, read_thin_provisioning
from odx_target.initiator.result import CommandResult, Executor, Status
from odx_target.initiator.sense import SenseKey, describe_result, read_sense
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid, with_credentials
from odx_target.initiator.url import IscsiUrl
from odx_target.migration.limits import COMMAND_TIMEOUT_S, RECONNECT_PAUSES_S
from odx_target.migration.record import ImportRecord
from odx_target.migration.source import BadBlock, SourceError, SourceLun, SourceRefused
from odx_target.migration.source_url import parse_source

LBA_STATUS_BYTES = 24
"""Size of the parameter data of GET LBA STATUS with one descriptor."""

IMPORTED_BLOCK_BYTES = (512, 4096)

MAX_READ_BYTES = 1 << 20
"""Largest read, if the old LUN allows it."""

CLOSING_TIMEOUT_S = 2.0
"""Longest time for the logout when an import ends."""


class IscsiSource:
    """A LUN of an iSCSI target. `expected` is the LUN that must answer, or None before the first probe.

    `run` keeps the session open; start it as a job.
    """

    def __init__(self, url: IscsiUrl, options: SessionOptions, expected: SourceLun | None = None) -> None:
        self._url = url
        self._options = with_credentials(options, url)
        self._expected = expected
        self._disk: Disk | None = None
        self._is_thin = False
        self._max_read_blocks = MAX_READ_BYTES // (4096 if expected is None else expected.block_bytes)
        self._failure = "the connection has not been opened yet"
        self._lost = trio.Event()
        self._closing = trio.CancelScope()
        self._first_attempt = trio.Event()
        self._refusal: SourceRefused | None = None

    @property
    def failure(self) -> str:
        return "" if self._disk is not None else self._failure

    @property
    def max_read_blocks(self) -> int:
        return self._max_read_blocks

    async def run(self) -> None:
        """Keep a session open until `close` is called."""
        attempts = 0
        with self._closing:
            while True:
                try:
                    await self._serve()
                    attempts = 0
                except Exception as group:
                    # The session runs in a nursery, which may wrap the error. No error may end the array.
                    error = _first_error(group)
                    self._failure = self._with_address(str(error) or type(error).__name__)
                    self._refusal = error if isinstance(error, SourceRefused) else None
                self._first_attempt.set()
                await trio.sleep(RECONNECT_PAUSES_S[min(attempts, len(RECONNECT_PAUSES_S) - 1)])
                attempts += 1
        self._failure = "the import was ended"
        self._first_attempt.set()

    async def probe(self) -> SourceLun:
        """Wait for the first attempt to connect. Raises SourceError."""
        await self._first_attempt.wait()
        if self._disk is None or self._expected is None:
            raise self._refusal or SourceError(self._failure)
        return self._expected

    async def read(self, lba: int, count_blocks: int) -> Buffer:
        disk = self._present()
        with trio.move_on_after(COMMAND_TIMEOUT_S):
            try:
                data = await disk.read_blocks(lba, count_blocks)
            except InitiatorError as error:
                raise self._explained(error, disk, lba) from error
            await self._require_same(disk)
            return data
        self._lose(disk, f"no answer to a read in {COMMAND_TIMEOUT_S:g} s")
        raise SourceError(self._failure)

    async def zeros(self, lba: int) -> tuple[int, bool]:
        disk = self._present()
        if not self._is_thin:
            return 0, False
        try:
            data = await disk.read("GET LBA STATUS", cdb.get_lba_status(lba, LBA_STATUS_BYTES), LBA_STATUS_BYTES)
            count_blocks, are_deallocated = read_provisioning_status(data, lba)
        except CommandFailed as error:
            if error.sense is None or error.sense.key != SenseKey.ILLEGAL_REQUEST:
                raise self._explained(error, disk, lba) from error
            self._is_thin = False
            return 0, False
        except BadAnswer:
            self._is_thin = False
            return 0, False
        except InitiatorError as error:
            raise self._explained(error, disk, lba) from error
        await self._require_same(disk)
        return count_blocks, are_deallocated

    def close(self) -> None:
        self._closing.cancel()

    async def _serve(self) -> None:
        """Open a session, and wait until it is lost. Raises InitiatorError, SourceError."""
        async with open_session(self._url.portal, self._url.target_name, self._options) as session:
            disk = await Disk.probe(session.logical_unit(self._url.lun), trio.sleep, str(self._url))
            found = SourceLun(disk.block_bytes, disk.capacity_blocks, disk.identity.hex())
            self._check(found)
            self._is_thin = await _is_thin(disk)
            self._expected = self._expected or found
            most = MAX_READ_BYTES // disk.block_bytes
            self._max_read_blocks = min(most, disk.block_limits.max_transfer_blocks or most)
            self._lost = trio.Event()
            disk.executor = _Watched(disk.executor, partial(self._lose, disk))
            self._disk = disk
            self._first_attempt.set()
            try:
                await self._lost.wait()
            finally:
                self._disk = None

    def _check(self, found: SourceLun) -> None:
        """Raise SourceRefused if the LUN that answers cannot be imported, or is not the one that was imported before."""
        if found.block_bytes not in IMPORTED_BLOCK_BYTES:
            raise SourceRefused(f"the LUN has blocks of {found.block_bytes} bytes; only 512 and 4096 can be imported")
        if self._expected is None:
            return
        if found.identity != self._expected.identity:
            raise SourceRefused("another LUN answers: its identity differs from that of the LUN that is being imported")
        if (found.block_bytes, found.capacity_blocks) != (self._expected.block_bytes, self._expected.capacity_blocks):
            raise SourceRefused("the old LUN has another size than when the import began")

    def _present(self) -> Disk:
        if self._disk is None:
            raise SourceError(self._failure)
        return self._disk

    async def _require_same(self, disk: Disk) -> None:
        """Raise SourceError if an answer that came together with the present one said that the LUN may have changed."""
        await trio.lowlevel.checkpoint()  # The task that got that answer may run only now.
        if self._disk is not disk:
            raise SourceError(self._failure)

    def _with_address(self, reason: str) -> str:
        """Return a reason that names the address of the old array."""
        portal = str(self._url.portal)
        return reason if portal in reason else f"{portal}: {reason}"

    def _lose(self, disk: Disk, reason: str) -> None:
        """Give up the session of a disk, and open another one."""
        self._failure = self._with_address(reason)
        if self._disk is disk:
            self._disk = None
            self._lost.set()

    def _explained(self, error: InitiatorError, disk: Disk, lba: int) -> SourceError:
        """Make the exception for a failed command. If the session may be lost, open another one."""
        if not isinstance(error, CommandFailed):
            self._lose(disk, str(error))
            return SourceError(self._failure)
        sense = error.sense
        if sense is not None and sense.key == SenseKey.MEDIUM_ERROR:
            return BadBlock(lba if sense.information is None else sense.information, str(error))
        return SourceError(str(error))


class _Watched:
    """Sends commands to the LUN of a source whose properties are known.

    A unit attention may mean that another LUN has taken its place. `lose` is then called with the reason, so that the LUN is
    probed again in another session.
    """

    def __init__(self, executor: Executor, lose: Callable[[str], None]) -> None:
        self._executor = executor
        self._lose = lose

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        """Send a command. Raises ConnectionLost after a unit attention."""
        result = await self._executor.execute(cdb, data_out, data_in_bytes)
        sense = read_sense(result.sense) if result.status == Status.CHECK_CONDITION else None
        if sense is not None and sense.key == SenseKey.UNIT_ATTENTION:
            reason = f"the LUN may have changed: {describe_result(result)}"
            self._lose(reason)
            raise ConnectionLost(reason)
        return result


def session_options(initiator_name: str, entropy: Callable[[int], bytes]) -> SessionOptions:
    """Return the options of the session with a source."""
    return SessionOptions(
        random_isid(entropy(5)),
        initiator_name=initiator_name,
        command_timeout_s=COMMAND_TIMEOUT_S,
        logout_timeout_s=CLOSING_TIMEOUT_S,
        entropy=entropy,
    )


def _first_error(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _is_thin(disk: Disk) -> bool:
    """True if the LUN is thin provisioned and deallocated blocks read as zeros. Raises InitiatorError."""
    try:
        return read_thin_provisioning(await disk.read("READ CAPACITY (16)", cdb.read_capacity_16(), 32))
    except (CommandFailed, BadAnswer):
        return False


def source_of(record: ImportRecord, expected: SourceLun | None, environment: Environment) -> IscsiSource:
    """Make the source of an import, and begin to connect. Raises SourceRefused."""
    url = replace(
        parse_source(record.url),
        user=record.user,
        secret=record.secret,
        target_user=record.target_user,
        target_secret=record.target_secret,
    )
    source = IscsiSource(url, session_options(record.initiator_name, environment.entropy), expected)
    environment.start_soon(source.run)
    return source
