"""An offload write: WRITE USING TOKEN commands in sequence, until all data is written, a command fails, or 4 s have passed.

end of the command                    what Windows does
GOOD                                  counts all blocks of the command as written
truncated, INFORMATION not 0          counts the number of blocks in INFORMATION as written
truncated, INFORMATION 0              reads the count by RECEIVE ROD TOKEN INFORMATION
23h/xx                                stops, because the token is invalid
any other                             reads the count in the same way; stops if the count is 0
"""

from collections.abc import Sequence
from dataclasses import dataclass

from odx_target.initiator.cdb import receive_rod_token_information, write_using_token
from odx_target.initiator.copying.token_commands import BlockRange, write_using_token_list
from odx_target.initiator.windows.copying.capability import information_after_write_bytes, write_size
from odx_target.initiator.windows.copying.layout import FileLayout, count_blocks
from odx_target.initiator.windows.copying.offload_read import Failure, refuse
from odx_target.initiator.windows.copying.token_answer import read_answer
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.session.port import Command, Completion


@dataclass(frozen=True, slots=True)
class Written:
    """The number of bytes that an offload write has written. Any number above 0 is a success. `failure` is the reason why the
    write ended early.
    """

    size_bytes: int
    failure: Failure | None = None


@dataclass(slots=True)
class OffloadWrite:
    """One offload write. `token_offset_bytes` is the offset in the token's data at which the write begins."""

    disk: WindowsDisk
    layout: FileLayout
    position_bytes: int
    size_bytes: int
    token: bytes
    token_offset_bytes: int
    _done_blocks: int = 0

    async def run(self) -> Written:
        """Write the data of the token. Raises InitiatorError when no path is left."""
        disk = self.disk
        refused = refuse(disk, self.layout, self.position_bytes, self.size_bytes)
        if refused is not None:
            return Written(0, refused)
        began_s, total_blocks = disk.host.clock.now(), self.size_bytes // disk.block_bytes
        failure: Failure | None = None
        while failure is None and self._done_blocks < total_blocks:
            written_blocks, failure = await self._step()
            self._done_blocks += written_blocks
            elapsed_s = disk.host.clock.now() - began_s
            if failure is None and self._done_blocks < total_blocks and elapsed_s >= disk.host.settings.max_duration_s:
                disk.find(Rule.TOO_LONG, f"{elapsed_s:.1f} s", self._position)
                break
        return Written(self._done_blocks * disk.block_bytes, failure)

    @property
    def _position(self) -> int:
        return self.position_bytes + self._done_blocks * self.disk.block_bytes

    async def _step(self) -> tuple[int, Failure | None]:
        """Send one WRITE USING TOKEN. Return the number of blocks written, and a failure if the offload write must end."""
        disk, settings = self.disk, self.disk.host.settings
        assert disk.capability is not None
        size = write_size(disk.capability, disk.block_bytes, settings)
        left_bytes = self.size_bytes - self._done_blocks * disk.block_bytes
        ranges = self.layout.descriptors(self._position, left_bytes, size.descriptors, size.blocks)
        identifier = disk.host.list_identifiers.take()
        written = await disk.driver.submit(
            self._command(identifier, ranges), settings.write_retries, last_untagged=settings.last_retry_untagged
        )
        return await self._judge(written, identifier, count_blocks(ranges))

    def _command(self, identifier: int, ranges: Sequence[BlockRange]) -> Command:
        offset_blocks = self.token_offset_bytes // self.disk.block_bytes + self._done_blocks
        data = write_using_token_list(self.token, ranges, offset_into_rod_blocks=offset_blocks)
        return Command(write_using_token(identifier, len(data)), [data])

    async def _judge(self, written: Completion, identifier: int, asked_blocks: int) -> tuple[int, Failure | None]:
        disk, reading = self.disk, written.reading
        if reading.is_truncated:
            return await self._truncated(written, identifier, asked_blocks)
        if reading.is_good:
            return asked_blocks, None
        if reading.status is NtStatus.INVALID_TOKEN:
            return 0, Failure(reading.status, disk.find(Rule.TOKEN_REFUSED, written.words, self._position))
        return await self._ask(written, identifier, asked_blocks)

    async def _truncated(self, written: Completion, identifier: int, asked_blocks: int) -> tuple[int, Failure | None]:
        disk, reading = self.disk, written.reading
        if reading.lost_information:
            disk.find(Rule.DESCRIPTOR_FORMAT, "", self._position)
        if not reading.information:
            return await self._ask(written, identifier, asked_blocks)
        detail = f"{reading.information} of {asked_blocks} blocks"
        if reading.information > asked_blocks:
            return 0, Failure(NtStatus.UNSUCCESSFUL, disk.find(Rule.INFORMATION_OVER_REQUEST, detail, self._position))
        disk.find(Rule.WRITE_SHORT, detail, self._position)
        return reading.information, None

    async def _ask(self, written: Completion, identifier: int, asked_blocks: int) -> tuple[int, Failure | None]:
        """Read the number of written blocks by RECEIVE ROD TOKEN INFORMATION, after a write that did not end with GOOD."""
        disk, settings = self.disk, self.disk.host.settings
        assert disk.capability is not None
        allocation = information_after_write_bytes(disk.capability, settings)
        information = await disk.driver.submit(
            Command(receive_rod_token_information(identifier, allocation), data_in_bytes=allocation),
            settings.information_after_write_retries,
            last_untagged=settings.last_retry_untagged,
        )
        answer = read_answer(information, asked_blocks, wants_token=False)
        if answer.foreign_action:
            disk.find(Rule.FOREIGN_ANSWER)
        if answer.foreign_units:
            disk.find(Rule.COUNT_UNITS)
        if answer.rule is None:
            disk.find(Rule.WRITE_SHORT, f"{answer.count_blocks} of {asked_blocks} blocks", self._position)
            return answer.count_blocks, None
        told = f"{written.words}; {answer.rule.reason}" + (f": {answer.detail}" if answer.detail else "")
        status = answer.status if written.reading.is_good else written.reading.status
        return 0, Failure(status, disk.find(Rule.WRITE_FAILED, told, self._position))
