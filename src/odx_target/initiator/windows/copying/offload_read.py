"""An offload read: one POPULATE TOKEN, and the command that fetches the token. A request that is larger than the limits is
shortened.
"""

from dataclasses import dataclass

from odx_target.initiator.cdb import populate_token, receive_rod_token_information
from odx_target.initiator.copying.token_commands import populate_token_list
from odx_target.initiator.windows.copying.capability import INFORMATION_AFTER_POPULATE_BYTES, populate_size
from odx_target.initiator.windows.copying.layout import FileLayout, count_blocks
from odx_target.initiator.windows.copying.token_answer import read_answer
from odx_target.initiator.windows.disk import WindowsDisk
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.session.port import Command


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the number of bytes that it represents, counted from the requested position."""

    value: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """The status of an offload request that failed, and the reason."""

    status: NtStatus
    finding: Finding


async def offload_read(disk: WindowsDisk, layout: FileLayout, position_bytes: int, size_bytes: int) -> Token | Failure:
    """Request a token. Raises InitiatorError when no path is left."""
    if (refused := refuse(disk, layout, position_bytes, size_bytes)) is not None:
        return refused
    assert disk.capability is not None
    settings = disk.host.settings
    size = populate_size(disk.capability, settings)
    ranges = layout.descriptors(position_bytes, size_bytes, size.descriptors, size.blocks)
    data = populate_token_list(ranges, inactivity_timeout_s=settings.token_lifetime_s)
    identifier = disk.host.list_identifiers.take()
    populated = await disk.driver.submit(
        Command(populate_token(identifier, len(data)), [data]),
        settings.populate_retries,
        last_untagged=settings.last_retry_untagged,
    )
    if not populated.reading.is_good:
        return Failure(populated.reading.status, disk.find(Rule.POPULATE_FAILED, populated.words, position_bytes))
    command = receive_rod_token_information(identifier, INFORMATION_AFTER_POPULATE_BYTES)
    information = await disk.driver.submit(
        Command(command, data_in_bytes=INFORMATION_AFTER_POPULATE_BYTES),
        settings.information_after_populate_retries,
        last_untagged=settings.last_retry_untagged,
    )
    answer = read_answer(information, count_blocks(ranges), wants_token=True)
    if answer.foreign_action:
        disk.find(Rule.FOREIGN_ANSWER)
    if answer.foreign_units:
        disk.find(Rule.COUNT_UNITS)
    if answer.rule is not None:
        return Failure(answer.status, disk.find(answer.rule, answer.detail, position_bytes))
    if answer.count_blocks < count_blocks(ranges):
        disk.find(Rule.TOKEN_SHORT, f"{answer.count_blocks} of {count_blocks(ranges)} blocks", position_bytes)
    return Token(answer.token, answer.count_blocks * disk.block_bytes)


def refuse(disk: WindowsDisk, layout: FileLayout, position_bytes: int, size_bytes: int) -> Failure | None:
    """Return the failure of a request that the class driver refuses without sending a command. Returns None if the driver
    accepts the request.
    """
    if disk.capability is None:
        assert disk.no_copy is not None
        return Failure(NtStatus.DEVICE_FEATURE_NOT_SUPPORTED, disk.no_copy)
    max_lifetime_s, wanted_s = disk.capability.max_inactivity_timeout_s, disk.host.settings.token_lifetime_s
    if 0 < max_lifetime_s < wanted_s:
        finding = disk.find(Rule.LIFETIME_TOO_LONG, f"{wanted_s} s, at most {max_lifetime_s} s", position_bytes)
        return Failure(NtStatus.INVALID_PARAMETER, finding)
    ranges = layout.ranges(position_bytes, size_bytes)
    aligned = not position_bytes % disk.block_bytes and not size_bytes % disk.block_bytes
    if not ranges or not aligned or any(part.lba + part.count_blocks > disk.capacity_blocks for part in ranges):
        finding = disk.find(Rule.RANGE_REFUSED, f"{size_bytes} bytes", position_bytes)
        return Failure(NtStatus.INVALID_PARAMETER, finding)
    return None
