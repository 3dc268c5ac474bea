"""Token commands and their results as rows of tables."""

from collections.abc import Iterable

from odx_target.cli.text.tables import Row
from odx_target.copymgr.describe_fields import (
    describe_populate_token,
    describe_rod_token_information,
    describe_token,
    describe_write_using_token,
    register_descriptions,
)
from odx_target.initiator.cdb import POPULATE_TOKEN, THIRD_PARTY_COPY_OUT, WRITE_USING_TOKEN
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import describe_result
from odx_target.scsi.describe.data import Descriptions, describe_cdb, describe_sense
from odx_target.scsi.describe.reservations import RESERVE_OUT_LISTS
from odx_target.scsi.describe.rows import Row as ScsiRow
from odx_target.scsi.reservations.persistent_reserve_out import PERSISTENT_RESERVE_OUT

_PARAMETER_LISTS = {
    (THIRD_PARTY_COPY_OUT, POPULATE_TOKEN): describe_populate_token,
    (THIRD_PARTY_COPY_OUT, WRITE_USING_TOKEN): describe_write_using_token,
    **{(PERSISTENT_RESERVE_OUT, action): describe for action, describe in RESERVE_OUT_LISTS.items()},
}


def descriptions() -> Descriptions:
    """Return the descriptions of all CDBs and pages, including those of copy by token."""
    found = Descriptions()
    register_descriptions(found)
    return found


def table_rows(rows: Iterable[ScsiRow]) -> list[Row]:
    """Convert rows to the form that `tables` prints."""
    return [(row.name, row.value, row.words) for row in rows]


def describe_sent_command(cdb: bytes, data: bytes) -> list[Row]:
    """Describe a command and its parameter list."""
    describe = _PARAMETER_LISTS.get((cdb[0], cdb[1]))
    return table_rows(describe_cdb(cdb, descriptions())) + (table_rows(describe(data)) if describe and data else [])


def status_words(status: int) -> str:
    """Return the name of a status."""
    try:
        return Status(status).name.replace("_", " ")
    except ValueError:
        return "unknown status"


def describe_command_result(result: CommandResult) -> list[Row]:
    """Describe how a command ended: its status, its sense data, and the residual count."""
    rows = [("status", f"{result.status:02X}h", status_words(result.status))]
    if result.sense:
        rows.append(("sense", result.sense.hex(" "), describe_result(result)))
        rows += _sense_rows(result.sense)
    if result.residual_bytes:
        words = "bytes fewer than expected" if result.residual_bytes > 0 else "bytes more than there was room for"
        rows.append(("residual", str(abs(result.residual_bytes)), words))
    return rows


def _sense_rows(sense: bytes) -> list[Row]:
    try:
        return [(f"  {name}", value, words) for name, value, words in table_rows(describe_sense(sense))]
    except ValueError:
        return []


def describe_copy_operation(data: bytes) -> list[Row]:
    """Describe an answer to RECEIVE ROD TOKEN INFORMATION or RECEIVE COPY STATUS."""
    return table_rows(describe_rod_token_information(data))


def describe_rod_token(token: bytes) -> list[Row]:
    """Describe the fields of a token, without its secret part. Raises ValueError."""
    return table_rows(describe_token(token))
