"""What the token commands sent and received, as rows for a reader."""

from collections.abc import Sequence

from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.rod_token import RodToken, rod_type_words
from odx_target.initiator.sense import describe_result, read_sense
from odx_target.initiator.token_commands import BLOCKS, BlockRange, CopyOperation, CopyOperationStatus
from odx_target.target.commands.sizes import size
from odx_target.target.commands.tables import Row

ACTIONS = {
    0x00: "EXTENDED COPY (LID1)",
    0x01: "EXTENDED COPY (LID4)",
    0x10: "POPULATE TOKEN",
    0x11: "WRITE USING TOKEN",
}
UNITS = {0: "bytes", 1: "KiB", 2: "MiB", 3: "GiB", 4: "TiB", 5: "PiB", 6: "EiB", BLOCKS: "logical blocks"}
DELAYS = {0xFFFFFFFE: "finished", 0xFFFFFFFF: "in progress, no estimate"}


def range_rows(ranges: Sequence[BlockRange]) -> list[Row]:
    rows = [(f"range {index}", f"{part.lba}, {part.count_blocks}", "LBA, blocks") for index, part in enumerate(ranges)]
    return [*rows, ("ranges", str(len(ranges)), f"{sum(part.count_blocks for part in ranges)} blocks in all")]


def populate_rows(
    list_identifier: int, ranges: Sequence[BlockRange], inactivity_timeout_s: int, rod_type: int | None, immediate: bool
) -> list[Row]:
    """The fields of a POPULATE TOKEN."""
    return [
        ("LIST IDENTIFIER", f"{list_identifier:#x}", str(list_identifier)),
        ("IMMED", str(int(immediate)), "runs in the background" if immediate else "status when done"),
        (
            "RTV",
            str(int(rod_type is not None)),
            "the target chooses the type" if rod_type is None else "ROD TYPE is valid",
        ),
        ("INACTIVITY TIMEOUT", str(inactivity_timeout_s), "seconds" if inactivity_timeout_s else "the target's default"),
        ("ROD TYPE", f"{rod_type or 0:08X}h", "" if rod_type is None else rod_type_words(rod_type)),
        *range_rows(ranges),
    ]


def write_rows(
    list_identifier: int, ranges: Sequence[BlockRange], offset_blocks: int, delete_token: bool, immediate: bool
) -> list[Row]:
    """The fields of a WRITE USING TOKEN but for the token."""
    return [
        ("LIST IDENTIFIER", f"{list_identifier:#x}", str(list_identifier)),
        ("DEL_TKN", str(int(delete_token)), "the token is deleted afterwards" if delete_token else "the token is kept"),
        ("IMMED", str(int(immediate)), "runs in the background" if immediate else "status when done"),
        ("OFFSET INTO ROD", str(offset_blocks), "blocks of the destination"),
        *range_rows(ranges),
    ]


def result_rows(result: CommandResult) -> list[Row]:
    """How a command ended."""
    try:
        status = Status(result.status).name.replace("_", " ")
    except ValueError:
        status = "unknown status"
    rows = [("status", f"{result.status:02X}h", status)]
    if result.sense:
        sense = read_sense(result.sense)
        rows.append(("sense", result.sense.hex(" "), describe_result(result) if sense is None else str(sense)))
    if result.residual_bytes:
        words = "bytes fewer than asked for" if result.residual_bytes > 0 else "bytes more than there was room for"
        rows.append(("residual", str(abs(result.residual_bytes)), words))
    return rows


def operation_rows(operation: CopyOperation) -> list[Row]:
    """The answer to RECEIVE ROD TOKEN INFORMATION or RECEIVE COPY STATUS."""
    try:
        status = CopyOperationStatus(operation.status).name.lower().replace("_", " ")
    except ValueError:
        status = "unknown"
    delay = DELAYS.get(operation.update_delay_ms, "milliseconds")
    rows = [
        (
            "RESPONSE TO SERVICE ACTION",
            f"{operation.service_action:02X}h",
            ACTIONS.get(operation.service_action, "unknown"),
        ),
        ("COPY OPERATION STATUS", f"{operation.status:02X}h", status),
        ("OPERATION COUNTER", str(operation.operation_counter), ""),
        ("ESTIMATED STATUS UPDATE DELAY", f"{operation.update_delay_ms:#x}", delay),
        ("EXTENDED COPY COMPLETION STATUS", f"{operation.completion_status:02X}h", _status_words(operation.completion_status)),
        ("TRANSFER COUNT", str(operation.transfer_count), UNITS.get(operation.transfer_count_units, "unknown units")),
        ("SEGMENTS PROCESSED", str(operation.segments_processed), ""),
    ]
    if operation.sense:
        rows.append(("SENSE DATA", operation.sense.hex(" "), str(read_sense(operation.sense) or "unreadable")))
    return [*rows, ("ROD TOKENS", str(len(operation.tokens)), "")]


def token_rows(token: RodToken) -> list[Row]:
    """What a token says of itself; the secret half is never shown."""
    represented = token.bytes_represented
    return [
        ("ROD TYPE", f"{token.rod_type:08X}h", token.type_words),
        ("ROD TOKEN LENGTH", f"{token.length:04X}h", "as it must be" if token.length == 0x1F8 else "not 01F8h"),
        ("COPY MANAGER ROD TOKEN IDENTIFIER", f"{token.identifier:016X}h", ""),
        ("CREATOR LOGICAL UNIT", token.creator_designator.hex(), ""),
        ("NUMBER OF BYTES REPRESENTED", _count(represented), "" if represented is None else size(represented)),
        ("block length", str(token.block_bytes), "bytes"),
    ]


def _count(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _status_words(status: int) -> str:
    try:
        return Status(status).name.replace("_", " ")
    except ValueError:
        return ""
