"""Facts of nexuses and copy commands that rules compare: the ISID and the list identifier."""

from odx_target.copymgr.commands.parameter_lists import THIRD_PARTY_COPY_IN, THIRD_PARTY_COPY_OUT, ServiceAction
from odx_target.scsi.tasks.task import Task

_LIST_IDENTIFIERS: dict[tuple[int, int], slice] = {
    # (operation code, service action): bytes of the CDB (SPC-4 6)
    (THIRD_PARTY_COPY_OUT, ServiceAction.POPULATE_TOKEN): slice(6, 10),
    (THIRD_PARTY_COPY_OUT, ServiceAction.WRITE_USING_TOKEN): slice(6, 10),
    (THIRD_PARTY_COPY_OUT, ServiceAction.COPY_OPERATION_ABORT): slice(2, 6),
    (THIRD_PARTY_COPY_IN, ServiceAction.RECEIVE_COPY_STATUS_LID4): slice(2, 6),
    (THIRD_PARTY_COPY_IN, ServiceAction.RECEIVE_ROD_TOKEN_INFORMATION): slice(2, 6),
}
_IN_PARAMETER_LIST = {ServiceAction.EXTENDED_COPY_LID1: slice(0, 1), ServiceAction.EXTENDED_COPY_LID4: slice(20, 24)}
"""Bytes of the parameter list of EXTENDED COPY (SPC-4 6.4.3.2 and 6.5)."""


def isid_of(initiator_port_name: str) -> str:
    """Return the ISID in the name of an initiator port (RFC 7143 4.2.7.3), as 12 hexadecimal digits."""
    return initiator_port_name.rpartition("0x")[2].lower()


def list_identifier_of(task: Task) -> int | None:
    """Return the list identifier of a copy command. Return None for any other command."""
    cdb = task.cdb
    place = _LIST_IDENTIFIERS.get((cdb[0], cdb[1] & 0x1F))
    if place is not None:
        return int.from_bytes(cdb[place], "big")
    if cdb[0] != THIRD_PARTY_COPY_OUT or cdb[1] & 0x1F not in _IN_PARAMETER_LIST:
        return None
    found = b"".join(task.data_out)[_IN_PARAMETER_LIST[ServiceAction(cdb[1] & 0x1F)]]
    return int.from_bytes(found, "big") if found else None
