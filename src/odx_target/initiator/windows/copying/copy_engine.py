"""A copy of a file in the same steps as the Windows function CopyFile. The file is copied by token until token copy fails.
Reads and writes then continue from the same byte.
"""

from dataclasses import dataclass, field

from odx_target.initiator.copying.token_commands import ZERO_TOKEN
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.copying.offload_read import Failure, Token, offload_read
from odx_target.initiator.windows.copying.offload_write import OffloadWrite
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Finding, Rule


@dataclass(frozen=True, slots=True)
class WindowsFile:
    """A file on a disk. Only the first `valid_bytes` bytes of the file were ever written. The remaining bytes are zeros for
    every reader. If `valid_bytes` is None, the whole file was written.
    """

    disk: WindowsDisk
    layout: FileLayout
    valid_bytes: int | None = None

    @property
    def written_bytes(self) -> int:
        return self.layout.size_bytes if self.valid_bytes is None else self.valid_bytes


@dataclass(frozen=True, slots=True)
class Metadata:
    """Blocks that the file system writes when it creates and closes a file."""

    lba: int
    data: bytes


@dataclass(slots=True)
class CopyReport:
    """The number of bytes copied in each way. `stop` is the reason why token copy ended before the end of the file."""

    offloaded_bytes: int = 0
    ordinary_bytes: int = 0
    tokens: int = 0
    stop: Finding | None = None


@dataclass(slots=True)
class FileCopy:
    """One copy between two files of the same size. Without a source, zeros are written to the destination file."""

    host: WindowsHost
    source: WindowsFile | None
    destination: WindowsFile
    report: CopyReport = field(default_factory=CopyReport)
    metadata: Metadata | None = None
    """Blocks that the file system writes on the destination; None if there are no such writes."""

    async def run(self) -> CopyReport:
        """Copy the file. Raises DiskUnusable if Windows cannot finish the copy, and InitiatorError if no path is left."""
        await self._prepare()
        position, size_bytes = 0, self.destination.layout.size_bytes
        if (stop := self._why_not()) is None:
            while position < size_bytes and self.report.stop is None:
                position = await self._round(position, size_bytes - position)
        else:
            self.report.stop = stop
        await self._ordinary(position, size_bytes)
        await self.destination.disk.flush()
        await self._write_metadata()
        return self.report

    async def _prepare(self) -> None:
        """Flush the source disk, and write the metadata of the new destination file."""
        if self.source is not None:
            await self.source.disk.flush()
        await self._write_metadata()
        await self.destination.disk.flush()

    async def _write_metadata(self) -> None:
        if self.metadata is None or self.destination.disk.driver.offline:
            return
        for _ in range(self.host.settings.metadata_writes):
            await self.destination.disk.write(self.metadata.lba, self.metadata.data, force_unit_access=True)

    def _why_not(self) -> Finding | None:
        """Return the reason why token copy is not tried; None if token copy is tried."""
        for file in (self.source, self.destination):
            if file is not None and file.disk.capability is None:
                return file.disk.no_copy
        disk, settings = self.destination.disk, self.host.settings
        if self.destination.layout.size_bytes < settings.min_file_bytes:
            return disk.find(Rule.FILE_TOO_SMALL, f"{self.destination.layout.size_bytes} bytes")
        left_s = self.host.hold_off.remaining_s(*self._pair, self.host.clock.now())
        return disk.find(Rule.HELD_OFF, f"for {left_s:.0f} s more") if left_s else None

    @property
    def _pair(self) -> tuple[object, object]:
        return (None if self.source is None else self.source.disk.key), self.destination.disk.key

    async def _round(self, position: int, left_bytes: int) -> int:
        """Copy by one token, and return the position that the copy has reached."""
        token = await self._token(position, left_bytes)
        if isinstance(token, Failure):
            self._stop(token, first_write=False)
            return position
        spent = 0
        while spent < token.size_bytes:
            chunk = min(self.host.settings.write_request_bytes, token.size_bytes - spent)
            offset = 0 if token.value == ZERO_TOKEN else spent
            disk, layout = self.destination.disk, self.destination.layout
            written = await OffloadWrite(disk, layout, position + spent, chunk, token.value, offset).run()
            spent += written.size_bytes
            self.report.offloaded_bytes += written.size_bytes
            if not written.size_bytes:
                if not (spent and self.host.settings.new_token_after_a_token_died and _died(written.failure)):
                    assert written.failure is not None
                    self._stop(written.failure, first_write=position + spent == 0)
                break
        return position + spent

    async def _token(self, position: int, left_bytes: int) -> Token | Failure:
        """Return a token for the data at `position`. The size of the token is rounded down to whole blocks of the destination.

        For data that was never written, the file system uses the zero token, and no command is sent to the source.
        """
        if self.source is None or position >= self.source.written_bytes:
            return Token(ZERO_TOKEN, left_bytes)
        request = min(left_bytes, self.host.settings.read_request_bytes or left_bytes, self.source.written_bytes - position)
        token = await offload_read(self.source.disk, self.source.layout, position, request)
        if isinstance(token, Failure):
            return token
        self.report.tokens += 1
        block_bytes = self.destination.disk.block_bytes
        usable_bytes = token.size_bytes // block_bytes * block_bytes
        if not usable_bytes:
            finding = self.destination.disk.find(Rule.TOKEN_UNUSABLE, f"{token.size_bytes} bytes", position)
            return Failure(NtStatus.INVALID_PARAMETER, finding)
        return Token(token.value, usable_bytes)

    def _stop(self, failure: Failure, *, first_write: bool) -> None:
        self.report.stop = failure.finding
        self.host.hold_off.failed(failure.status, *self._pair, self.host.clock.now(), first_write=first_write)

    async def _ordinary(self, position: int, size_bytes: int) -> None:
        """Copy the remaining bytes by reads and writes, one buffer at a time."""
        buffer_bytes = self.host.settings.fallback_buffer_bytes
        while position < size_bytes:
            count = min(buffer_bytes, size_bytes - position)
            self.destination.disk.check_online()
            written = 0 if self.source is None else min(max(self.source.written_bytes - position, 0), count)
            data = bytes(count - written)
            if self.source is not None and written:
                data = await self.source.disk.read_file(self.source.layout, position, written) + data
            await self.destination.disk.write_file(self.destination.layout, position, data)
            position += count
            self.report.ordinary_bytes += count


def _died(failure: Failure | None) -> bool:
    return failure is not None and failure.status is NtStatus.INVALID_TOKEN
