"""The host side of offloaded copy: the arrays copy the data, and the host passes tokens from the source to the destination.

A copy is cut into chunks. For each chunk the host sends POPULATE TOKEN to the source, then RECEIVE ROD TOKEN INFORMATION to get
the token and its size. After that the host sends WRITE USING TOKEN to the destination until all data of the token is written.
Commands are never asynchronous (IMMED is 0). One command is under way at a time, and each new command has the next list
identifier. If a command ends early, INFORMATION in its sense data or TRANSFER COUNT gives the number of blocks that were
copied. The copy continues after these blocks. If a token becomes invalid after a part of its data was written, the host gets a
new token for the remaining data. If a token is refused at its first use, offloading ends. Offloading also ends after any other
failure without progress. The host then copies the remaining blocks by reads and writes. The host does not copy blocks that the
arrays have reported as written. It may write some blocks again that the arrays have written without reporting them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from odx_target.initiator import cdb
from odx_target.initiator.copying.copy_limits import CopyLimits, range_count_limit, range_length_limit, token_limit, write_limit
from odx_target.initiator.copying.copy_plan import CopyPlan, Span
from odx_target.initiator.copying.copy_sense import OPERATION_IN_PROGRESS, is_end_of_token, is_underrun
from odx_target.initiator.copying.offload_outcome import OffloadOutcome, OffloadStop, StopReason
from odx_target.initiator.copying.offload_settings import OffloadSettings
from odx_target.initiator.copying.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    BlockRange,
    CopyOperation,
    CopyOperationStatus,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import BadAnswer, CommandTimedOut
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import describe_result, read_sense

MAX_IDENTIFIERS_IN_PROGRESS = 10
"""Maximum number of list identifiers that are tried for one command. If another operation uses an identifier, the next
identifier is tried."""
MAX_FRUITLESS_TOKENS = 4
"""Maximum number of consecutive tokens without progress. Offloading ends when this number is reached."""


class _Stopped(Exception):
    def __init__(self, reason: StopReason, detail: str, result: CommandResult | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.result = reason, detail, result


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, and the part of the copy that its data covers: `size_bytes` bytes from `start_bytes` on."""

    value: bytes
    start_bytes: int
    size_bytes: int


class OffloadCopy:
    """One copy by token.

    `on_progress` is called with the number of bytes written since the last call. Both disks must have copy limits.
    """

    def __init__(
        self,
        source: Disk,
        destination: Disk,
        plan: CopyPlan,
        list_identifiers: ListIdentifiers,
        on_progress: Callable[[int], None],
        settings: OffloadSettings | None = None,
    ) -> None:
        assert source.copy_limits is not None
        assert destination.copy_limits is not None
        self._source, self._destination, self._plan = source, destination, plan
        self._source_limits: CopyLimits = source.copy_limits
        self._list_identifiers, self._on_progress = list_identifiers, on_progress
        self._settings = settings or OffloadSettings()
        self._delete_tokens = self._settings.delete_tokens
        self._destination_ranges = _range_limits(destination, destination.copy_limits)
        self._source_ranges = _range_limits(source, source.copy_limits)
        self._write_bytes = self._find_write_bytes(destination.copy_limits)
        self._chunk_bytes = self._find_chunk_bytes()
        self._untouched = Span(0, plan.size_bytes)
        self._chunk = Span(0, 0)
        self._tokens = self._writes = self._partial_writes = self._fruitless = 0

    async def run(self) -> OffloadOutcome:
        """Copy until the end, or until offloading stops. Raises InitiatorError if the connection is lost before a status
        arrives.
        """
        stop = None
        try:
            while self._chunk.size_bytes or self._untouched.size_bytes:
                await self._step()
        except _Stopped as stopped:
            stop = OffloadStop(stopped.reason, stopped.detail, self._chunk.start_bytes, stopped.result)
        remaining = tuple(span for span in (self._chunk, self._untouched) if span.size_bytes)
        left_bytes = sum(span.size_bytes for span in remaining)
        return OffloadOutcome(
            self._plan.size_bytes - left_bytes, remaining, stop, self._tokens, self._writes, self._partial_writes
        )

    def _find_write_bytes(self, limits: CopyLimits) -> int:
        """Return the size of one WRITE USING TOKEN in bytes."""
        count, length = self._destination_ranges
        block_bytes = self._destination.block_bytes
        return max(min(write_limit(limits, block_bytes).value, count * length), 1) * block_bytes

    def _find_chunk_bytes(self) -> int:
        """Return the number of bytes that one token should cover. The number is a multiple of `unit_bytes`. If the ranges
        overlap, it is at most `distance_bytes`.
        """
        limits, block_bytes = self._source_limits, self._source.block_bytes
        limit = token_limit(limits, block_bytes, inactivity_timeout_s=self._settings.inactivity_timeout_s)
        count, length = self._source_ranges
        size_bytes = min(limit.value, count * length) * block_bytes
        if self._plan.distance_bytes:
            size_bytes = min(size_bytes, self._plan.distance_bytes)
        return max(self._plan.aligned(size_bytes), self._plan.unit_bytes)

    def _take_chunk(self) -> None:
        """Choose the part of the copy for the next token.

        In a forward copy the part begins where the data of the last token ends. This token may have covered less than
        requested. In a backward copy each chunk is finished before the next chunk begins.
        """
        if not self._plan.backwards:
            start, end = self._chunk.start_bytes, self._untouched.end_bytes
            self._chunk = Span(start, min(start + self._chunk_bytes, end))
            self._untouched = Span(self._chunk.end_bytes, end)
        elif not self._chunk.size_bytes:
            start, end = self._untouched.start_bytes, self._untouched.end_bytes
            self._chunk = Span(max(start, end - self._chunk_bytes), end)
            self._untouched = Span(start, self._chunk.start_bytes)

    async def _step(self) -> None:
        """Get one token, and write its data."""
        self._take_chunk()
        before_bytes = self._chunk.start_bytes
        await self._spend(await self._populate())
        self._fruitless = self._fruitless + 1 if self._chunk.start_bytes == before_bytes else 0
        if self._fruitless == MAX_FRUITLESS_TOKENS:
            raise _Stopped(StopReason.NO_PROGRESS, f"{self._fruitless} tokens in a row ended too soon")

    def _advance(self, position_bytes: int) -> None:
        """Note that the chunk is written up to `position_bytes`, and report the progress."""
        self._on_progress(position_bytes - self._chunk.start_bytes)
        self._chunk = Span(position_bytes, self._chunk.end_bytes)

    async def _populate(self) -> _Token:
        """Return a token that covers the chunk, or as much of the chunk as the source puts into one token."""
        asked = self._chunk
        ranges = self._ranges(self._source, self._plan.source_lba, asked, self._source_ranges)
        data = populate_token_list(ranges, inactivity_timeout_s=self._settings.inactivity_timeout_s)
        identifier, result = await self._originate(self._source, cdb.populate_token, data)
        if result.status != Status.GOOD and not is_underrun(result):
            raise _Stopped(StopReason.POPULATE_REFUSED, describe_result(result), result)
        operation = await self._token_information(identifier)
        represented = self._check_token(operation, asked.size_bytes // self._source.block_bytes) * self._source.block_bytes
        usable_bytes = represented // self._destination.block_bytes * self._destination.block_bytes
        if not usable_bytes:
            raise _Stopped(StopReason.TOKEN_TOO_SHORT, f"{represented} bytes")
        self._tokens += 1
        return _Token(operation.tokens[0], asked.start_bytes, usable_bytes)

    async def _token_information(self, identifier: int) -> CopyOperation:
        try:
            result = await self._ask(self._source, identifier)
            if result.status != Status.GOOD:
                raise _Stopped(StopReason.TOKEN_NOT_DELIVERED, describe_result(result), result)
            return read_rod_token_information(result.data_in)
        except BadAnswer as bad:
            raise _Stopped(StopReason.TOKEN_NOT_DELIVERED, str(bad)) from bad
        except CommandTimedOut as late:
            raise _Stopped(StopReason.TIMED_OUT, str(late)) from late

    def _check_token(self, operation: CopyOperation, asked_blocks: int) -> int:
        """Return the number of blocks that the delivered token covers. Raises _Stopped if the answer cannot be used."""
        detail = None
        if operation.status not in {CopyOperationStatus.COMPLETED, CopyOperationStatus.COMPLETED_PARTIALLY}:
            failed = CommandResult(operation.completion_status, sense=operation.sense)
            detail = f"copy operation status {operation.status:02X}h, {describe_result(failed)}"
        elif len(operation.tokens) != 1:
            detail = f"{len(operation.tokens)} tokens"
        elif not 0 < operation.true_count_blocks <= asked_blocks:
            detail = f"a transfer count of {operation.true_count_blocks} blocks, {asked_blocks} were asked"
        if detail is not None:
            raise _Stopped(StopReason.TOKEN_NOT_DELIVERED, detail)
        return operation.true_count_blocks

    async def _spend(self, token: _Token) -> None:
        """Write the data of the token, or as much of the data as the destination accepts before the token becomes invalid."""
        done_bytes = 0
        while done_bytes < token.size_bytes:
            size_bytes = min(self._write_bytes, token.size_bytes - done_bytes)
            delete = self._delete_tokens and done_bytes + size_bytes == token.size_bytes
            written_bytes = await self._write(token, done_bytes, size_bytes, delete=delete)
            done_bytes += written_bytes
            position = token.start_bytes + self._plan.aligned(done_bytes)
            if position > self._chunk.start_bytes:
                self._advance(position)
            if not written_bytes:
                return
            if written_bytes < size_bytes and delete:
                # Some arrays have now deleted the token although the command did not finish. The next command finds this out,
                # and then a new token is made. Do not delete tokens in later commands.
                self._delete_tokens = False

    async def _write(self, token: _Token, offset_bytes: int, size_bytes: int, *, delete: bool) -> int:
        """Send one WRITE USING TOKEN, and return the number of bytes written. The number is 0 if a token that worked before is
        no longer valid.
        """
        block_bytes = self._destination.block_bytes
        start = token.start_bytes + offset_bytes
        ranges = self._ranges(
            self._destination, self._plan.destination_lba, Span(start, start + size_bytes), self._destination_ranges
        )
        count_blocks = sum(part.count_blocks for part in ranges)
        data = write_using_token_list(
            token.value, ranges, offset_into_rod_blocks=offset_bytes // block_bytes, delete_token=delete
        )
        identifier, result = await self._originate(self._destination, cdb.write_using_token, data)
        self._writes += 1
        if result.status == Status.GOOD:
            return count_blocks * block_bytes
        written_blocks = await self._true_count(identifier, result, count_blocks)
        if written_blocks:
            self._partial_writes += 1
        elif not (offset_bytes and is_end_of_token(result)):
            reason = StopReason.TOKEN_REFUSED if is_end_of_token(result) else StopReason.WRITE_FAILED
            raise _Stopped(reason, describe_result(result), result)
        return written_blocks * block_bytes

    async def _true_count(self, identifier: int, result: CommandResult, count_blocks: int) -> int:
        """Return the number of blocks that a WRITE USING TOKEN wrote before it ended with a status other than GOOD."""
        sense = read_sense(result.sense)
        if sense is not None and sense.is_invalid_token:
            return 0  # the target checks the token before it moves any data
        if sense is not None and sense.is_copy_underrun and sense.information and sense.information <= count_blocks:
            return sense.information
        try:
            answer = await self._ask(self._destination, identifier)
            if answer.status != Status.GOOD:
                return 0
            counted = read_rod_token_information(answer.data_in).true_count_blocks
        except (BadAnswer, CommandTimedOut):
            return 0
        return counted if counted <= count_blocks else 0

    async def _ask(self, disk: Disk, identifier: int) -> CommandResult:
        command = cdb.receive_rod_token_information(identifier, ANSWER_ALLOCATION_BYTES)
        return await disk.command(command, (), ANSWER_ALLOCATION_BYTES)

    async def _originate(self, disk: Disk, command: Callable[[int, int], bytes], data: bytes) -> tuple[int, CommandResult]:
        """Send a command with a new list identifier. If the identifier is in use, repeat the command with the next
        identifier.
        """
        for _ in range(MAX_IDENTIFIERS_IN_PROGRESS):
            identifier = self._list_identifiers.take()
            try:
                result = await disk.command(command(identifier, len(data)), [data])
            except CommandTimedOut as late:
                raise _Stopped(StopReason.TIMED_OUT, str(late)) from late
            sense = read_sense(result.sense)
            if sense is None or sense.code != OPERATION_IN_PROGRESS:
                break
        return identifier, result

    def _ranges(self, disk: Disk, first_lba: int, span: Span, limits: tuple[int, int]) -> list[BlockRange]:
        """Return the range descriptors of one command for a part of the copy. The caller must choose a part that fits into one
        command.
        """
        _, length = limits
        lba = first_lba + span.start_bytes // disk.block_bytes
        end = lba + span.size_bytes // disk.block_bytes
        return [BlockRange(start, min(length, end - start)) for start in range(lba, end, length)]


def _range_limits(disk: Disk, limits: CopyLimits) -> tuple[int, int]:
    """Return the maximum number of range descriptors in a command, and the maximum number of blocks in a descriptor."""
    length = range_length_limit(limits, disk.block_bytes, disk.block_limits.max_transfer_blocks)
    return range_count_limit(limits).value, max(length.value, 1)
